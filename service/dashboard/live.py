"""What the scorecard shows of published forecasts: how they fared since, and from when on that can be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from models.alerts import ALERT_DAYS, LEVEL
from models.calendar import number_from_day
from models.forecast import STEP_DAYS
from models.live import BLOCKS, DRIFT, DRIFT_LEAST, first_scored
from service.dashboard.scorecard import LEVELS, coverage_chart
from service.live import alerts_document, drifting, score_documents
from service.serving import Served

LISTED = 20
"""Drifting series, and days outside their interval, on the page."""


@dataclass(frozen=True, slots=True)
class LivePage:
    """Of one segment, but for the drifting series, which are those of all.

    scores: by stage, with their chart, which is empty before an actual has arrived. later: steps of which none has,
    and the first day whose forecast will be compared. near: actuals of steps 1-7 of the stage that has most.
    looked, outside: actuals compared with the interval published just before, and those outside it.
    """

    scores: list[tuple[str, str, list[dict[str, Any]]]]
    later: list[tuple[str, date]]
    near: int
    drifting: list[tuple[str, str, float]]
    looked: int
    outside: int
    alerts: list[dict[str, Any]]
    level: int = LEVEL
    periods: int = ALERT_DAYS
    drift: float = DRIFT
    drift_least: int = DRIFT_LEAST


def live_page(served: Served, *, segment: str) -> LivePage | None:
    """How a segment's published forecasts fared; None for a version from before that was measured."""
    if not served.live:
        return None
    sums, revised, looked = (served.live[name] for name in ("sums", "revised", "looked"))
    series = list(served.forecasts)
    rows = [row for row, (each, _) in enumerate(series) if each == segment]
    alerts = [each for each in alerts_document(served, stale=False)["alerts"] if each["segment"] == segment]
    compared, outside = looked[rows].sum(axis=0).tolist()
    scores = [(series[row][1], score_documents(sums[row], revised[row])) for row in rows]
    return LivePage(
        scores=[(stage, live_chart(stage, each), each) for stage, each in scores if each],
        later=later(served, {score["first"] for _, each in scores for score in each if score["n"]}),
        near=int(sums[rows, 0, 0].max(initial=0)),
        drifting=[(*series[row], ratio) for row, ratio in drifting(served.live)[:LISTED]],
        looked=int(compared),
        outside=int(outside),
        alerts=alerts[:LISTED],
    )


def later(served: Served, scored: set[int]) -> list[tuple[str, date]]:
    """Steps without a score, and the first day that will be compared when there is a retrain each period."""
    unit = STEP_DAYS[served.funnel.frequency]
    cutoff = (number_from_day(served.cutoff) - unit + 1) // unit
    first_days = first_scored(cutoff, horizon=served.horizon)
    return [
        (f"{first}-{last}", served.cutoff + timedelta(days=unit * (period - cutoff)))
        for (first, last), period in zip(BLOCKS, first_days, strict=True)
        if period is not None and first not in scored
    ]


def live_chart(stage: str, scores: Sequence[Mapping[str, Any]]) -> str:
    """Two bars a block of steps: how often the 80 % and the 95 % interval held; empty without any actual."""
    known = [score for score in scores if score["n"]]
    if not known:
        return ""
    shares = [tuple(score[f"coverage{level}"] for level in LEVELS) for score in known]
    labels = [f"{score['steps']} ({score['n']})" for score in known]
    return coverage_chart(f"Live coverage at {stage}", labels, shares, by="steps, and of how many actuals", height=110)
