"""What the scorecard shows: skill by step, and whether intervals hold what they promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.funnel import TOTAL
from service.dashboard.plot import Plot
from service.numbers import number
from service.serving import Served

LEVELS = (80, 95)
NARROW = 44
"""Characters that fit under a chart on a narrow screen; the table below has whole names."""


def scorecard_page(served: Served, *, segment: str) -> dict[str, Any]:
    """The scores of one segment, by stage, with their charts."""
    rows = [score for score in served.scorecard if score["segment"] == segment]
    stages = list(dict.fromkeys(score["stage"] for score in rows))
    by_stage = {stage: [score for score in rows if score["stage"] == stage] for stage in stages}
    return {
        "segment": segment,
        "earlier": None,
        "lookback": [],
        "segments": list(dict.fromkeys(score["segment"] for score in served.scorecard)) or [TOTAL],
        "scores": [(stage, skill_chart(stage, scores), scores) for stage, scores in by_stage.items()],
        "calibration": [(stage, [held(scores, level) for level in LEVELS]) for stage, scores in by_stage.items()],
        "calibration_chart": calibration_chart(by_stage) if by_stage else "",
    }


def held(scores: list[dict[str, Any]], level: int) -> tuple[float | None, int]:
    """Share of actuals inside an interval over all steps, and of how many."""
    known = [(score["n"], share) for score in scores if (share := number(score[f"coverage{level}"])) is not None]
    samples = sum(n for n, _ in known)
    return (sum(n * share for n, share in known) / samples if samples else None), samples


def skill_chart(stage: str, scores: list[dict[str, Any]]) -> str:
    """A bar a step bucket: how much of seasonal naive's error is saved; below the middle line it is worse."""
    skills = [number(score["skill"]) for score in scores]
    text = "Share of the error of a seasonal naive forecast that is saved, by steps; figures in the table below."
    plot = Plot(f"Skill at {stage}", text, len(scores), 1.0, height=110, form="percent")
    plot.bars([max(skill or 0.0, 0.0) for skill in skills], kind="bar-expected", share=0.6)
    worse = [place for place, skill in enumerate(skills) if skill is None or skill <= 0]
    plot.words.extend(
        f'<text class="tick middle" x="{plot.x(place) / 10:.2f}%" y="{plot.height - 6}">'
        f"{'not known' if skills[place] is None else 'worse'}</text>"
        for place in worse
    )
    plot.labels((place, score["steps"]) for place, score in enumerate(scores))
    return plot.svg()


def shortened(name: str, longest: int) -> str:
    """A name of at most so many characters."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def calibration_chart(by_stage: dict[str, list[dict[str, Any]]]) -> str:
    """Two bars a stage: how often the 80 % and the 95 % interval held in the backtest."""
    shares = [tuple(held(scores, level)[0] for level in LEVELS) for scores in by_stage.values()]
    longest = max(3, NARROW // len(by_stage))
    labels = [shortened(stage, longest) for stage in by_stage]
    return coverage_chart("Calibration", labels, shares, by="stage", height=160)


def coverage_chart(
    title: str, labels: Sequence[str], shares: Sequence[tuple[float | None, ...]], *, by: str, height: int
) -> str:
    """Two bars a place: how often the 80 % and the 95 % interval held, against dashed lines at what they promise."""
    bars = np.array([[math.nan if share is None else share for share in pair] for pair in shares])
    text = f"Measured coverage of the 80 % and 95 % intervals by {by}; figures in the table below."
    plot = Plot(title, text, len(shares), 1.0, height=height, form="percent")
    plot.bars(bars[:, 0], kind="bar-narrow", shift=-0.2)
    plot.bars(bars[:, 1], kind="bar-expected", shift=0.2)
    for level in LEVELS:
        plot.across(level / 100, kind="nominal")
    plot.labels(enumerate(labels))
    return plot.svg()
