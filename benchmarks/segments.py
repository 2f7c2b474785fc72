"""Segments that share their total, beside each segment alone by the expert that is best in hindsight.

All are the product but for what is taken out, so that holidays, doubts and intervals are made alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from benchmarks.cases import case_folders
from benchmarks.losses import HORIZON, Rows, history_at, real_sources
from benchmarks.report import Bar, Result
from models import cascade, engine, transition, univariate
from models.calendar import make_calendar
from models.forecast import Forecast
from models.funnel import TOTAL, Funnel
from models.history import History
from models.metrics import quantile_loss

Array = npt.NDArray[np.float64]

EXPERTS = (*univariate.EXPERTS, "univariate", "cascade")
"""What can answer for a stage of a segment alone; `univariate` combines those before it."""
MUCH = 10**9
MOST, MOST_APART = 1.0, 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """segments, totals: (series, 2 + len(EXPERTS)), losses of their stages, summed over cutoffs and steps: ours, ours
    before the segments share the total, and each expert's. apart: largest distance of the segments' sum from the total.
    """

    segments: Array
    totals: Array
    apart: float


def run() -> Result:
    """Every case at all its cutoffs."""
    cases = {
        name: compared(rows, funnel, start, cutoffs)
        for name, rows, funnel, start, cutoffs in real_sources(case_folders())
    }
    bars = [
        (
            Bar(f"{name}: over the best expert", max(over_each(case.segments)), at_most=MOST),
            Bar(f"{name}: sum of the segments from their total", case.apart, at_most=MOST_APART),
        )
        for name, case in cases.items()
    ]
    return Result(
        name="segments",
        question=f"WQL of each segment and stage, {HORIZON} steps, over that of others; geometric mean",
        rows=tuple(row(name, case) for name, case in cases.items()) or ({"case": "none", "picked": "-"},),
        bars=tuple(bar for pair in bars for bar in pair),
        notes=(
            "the best expert is that of the case; picked: of each segment and stage, which nobody could have known",
            "unshared: ours before the segments share the total; totals: their stages, over the one picked for each",
        )
        if cases
        else ("skipped: NEARCAST_CASES names no directory with cases",),
    )


def row(name: str, case: Compared) -> dict[str, str | float]:
    """One line of the table."""
    names = (expert.removeprefix("smoothing_") for expert in EXPERTS)
    return {
        "case": name,
        **dict(zip(names, over_each(case.segments), strict=True)),
        "picked": over_picked(case.segments),
        "unshared": over(case.segments, case.segments[:, 1]),
        "totals": over_picked(case.totals),
    }


def over(losses: Array, others: Array) -> float:
    """Our WQL over that of others, geometric mean over series; both are of the same actuals."""
    return float(np.exp(np.mean(np.log(losses[:, 0] / others))))


def over_each(losses: Array) -> list[float]:
    """Our WQL over that of each expert."""
    return [over(losses, losses[:, place]) for place in range(2, losses.shape[1])]


def over_picked(losses: Array) -> float:
    """Our WQL over that of the best expert of each series."""
    return over(losses, losses[:, 2:].min(axis=1))


def compared(rows: Rows, funnel: Funnel, start: date | None, cutoffs: list[date]) -> Compared:
    """One case."""
    truth = history_at(rows, funnel, start, cutoff=max(cutoffs) + timedelta(days=HORIZON))
    actuals = dict(zip(truth.series, truth.matrix, strict=True))
    losses: dict[tuple[str, str], Array] = {}
    apart = 0.0
    for cutoff in cutoffs:
        history = history_at(rows, funnel, start, cutoff=cutoff)
        made = [forecasts(history, funnel)]
        apart = max(apart, distance(made[0]))
        for expert in (None, *EXPERTS):
            with alone(expert):
                made.append(forecasts(history, funnel))
        for ways in zip(*made, strict=True):
            series = ways[0].segment, ways[0].stage
            came = actuals[series][history.periods : history.periods + HORIZON]
            lost = np.array([np.nansum(quantile_loss(came, way.quantiles[: len(came)])) for way in ways])
            losses[series] = losses.get(series, 0.0) + lost
    segments, totals = (
        [lost for name, lost in losses.items() if (name[0] == TOTAL) is whole] for whole in (False, True)
    )
    return Compared(np.array(segments), np.array(totals), apart)


def forecasts(history: History, funnel: Funnel) -> tuple[Forecast, ...]:
    """Of all series of a history."""
    return engine.fit(history, calendar=make_calendar(funnel), horizon=HORIZON, scored=False).forecasts


def distance(made: tuple[Forecast, ...]) -> float:
    """Largest distance of the segments' sum from the total's forecast, at any stage and step, in counts."""
    stages = [forecast.stage for forecast in made if forecast.segment == TOTAL]
    means = np.array([forecast.mean for forecast in made]).reshape(-1, len(stages), HORIZON)
    return float(np.abs(means[1:].sum(axis=0) - means[0]).max())


@contextmanager
def alone(expert: str | None) -> Iterator[None]:
    """The product with segments that do not share the total; by one expert of each, if that is given."""
    changes: list[tuple[ModuleType, str, object]] = [(engine, "coherent", lambda *parts: parts)]
    if expert == "cascade":
        changes += [(transition, "RIDGE", float(MUCH)), (transition, "SAME_PERIOD", 1.0)]
    elif expert is not None:
        changes.append((cascade, "LEAST_OBSERVED", MUCH))
    if expert in univariate.EXPERTS:
        changes += [(univariate, "run_experts", run_only(expert)), (univariate, "EXPERTS", (expert,))]
    with ExitStack() as stack:
        for change in changes:
            stack.enter_context(patch.object(*change))
        yield


def run_only(expert: str) -> Callable[..., tuple[Array, Any, Any]]:
    """As `univariate.run_experts`, of one of them."""
    place, run_all = univariate.EXPERTS.index(expert), univariate.run_experts

    def run_one(*arguments: Any, **named: Any) -> tuple[Array, Any, Any]:
        made, silent, states = run_all(*arguments, **named)
        return made[[place]], np.zeros_like(silent), states  # alone it has all the weight, silent or not

    return run_one
