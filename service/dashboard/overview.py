"""What the overview shows: the funnel, and the next days' totals against the last ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.forecast import STEP_DAYS, Forecast
from models.funnel import TOTAL
from service.dashboard.figures import spark
from service.dashboard.plot import funnel_shape
from service.dashboard.rendering import percent
from service.selection import refused_from
from service.serving import Served

SPANS = {"day": (7, 28), "week": (1, 4)}
"""Steps that are summed, by frequency."""
MOST_SPARKS = 20
"""Stages with a small chart: a funnel of more is a table."""


@dataclass(frozen=True, slots=True)
class Sum:
    """The next `steps` against the last; None where it is not known, or refused by the funnel's gate.

    low, high: the sums of the steps' 80 % bounds, which is as wide as the interval of the sum can reasonably be: all
    steps off to the same side.
    """

    steps: int
    expected: float | None
    low: float | None
    high: float | None
    before: float | None
    change: float | None


def sum_of(served: Served, forecast: Forecast, steps: int) -> Sum:
    """Next and last so many steps of a series."""
    observed = served.observed.get((forecast.segment, forecast.stage), np.zeros(0))[-steps:]
    before = float(observed.sum()) if len(observed) == steps and np.isfinite(observed).all() else None
    _, last = refused_from(forecast, horizon=steps, funnel=served.funnel)
    if last < steps:
        return Sum(steps, None, None, None, before, None)
    expected = float(forecast.mean[:steps].sum())
    low, high = (float(side[:steps].sum()) for side in forecast.interval(80))
    return Sum(steps, expected, low, high, before, expected / before - 1 if before else None)


def overview(served: Served) -> dict[str, Any]:
    """Stages of the total with their shapes and sums, and the segments' sums by stage."""
    stages = [stage for stage in served.funnel.stages if (TOTAL, stage) in served.forecasts]
    spans = SPANS[served.funnel.frequency]
    sums = {stage: [sum_of(served, served.forecasts[TOTAL, stage], steps) for steps in spans] for stage in stages}
    sizes = [max(sums[stage][1].before or sums[stage][1].expected or 0.0, 0.0) for stage in stages]
    top = max(sizes, default=0.0) or 1.0
    rows = []
    for place, stage in enumerate(stages):
        after = sizes[min(place + 1, len(sizes) - 1)]
        flow = flow_at(served, stage)
        rows.append(
            {
                "stage": stage,
                "shape": funnel_shape(sizes[place] / top, after / top),
                "spark": spark_of(served, stage, spans[1]) if len(stages) <= MOST_SPARKS else "",
                "sums": sums[stage],
                "forecast": served.forecasts[TOTAL, stage],
                **flow,
            }
        )
    return {"rows": rows, "spans": spans, "segments": segment_rows(served, stages, spans[1]), "stages": stages}


def spark_of(served: Served, stage: str, steps: int) -> str:
    """The total of a stage in a small chart, as far as the funnel's gate lets it be seen."""
    forecast = served.forecasts[TOTAL, stage]
    _, last = refused_from(forecast, horizon=steps, funnel=served.funnel)
    return spark(forecast, served.observed.get((TOTAL, stage), np.zeros(0)), last=last) if last else ""


def flow_at(served: Served, stage: str) -> dict[str, float | None]:
    """In flight at a stage, and conversion and delay of the way to it."""
    names = ("in_flight", "conversion", "delay")
    if served.flow is None or stage not in served.funnel.stages:
        return dict.fromkeys(names)
    column = served.flow[:, served.funnel.stages.index(stage)].tolist()
    return {name: value if math.isfinite(value) else None for name, value in zip(names, column, strict=True)}


def segment_rows(served: Served, stages: list[str], steps: int) -> list[tuple[str, list[Sum | None]]]:
    """For each segment its sums, stage by stage."""
    segments = dict.fromkeys(segment for segment, _ in served.forecasts if segment != TOTAL)
    return [
        (
            segment,
            [
                sum_of(served, forecast, steps) if (forecast := served.forecasts.get((segment, stage))) else None
                for stage in stages
            ],
        )
        for segment in segments
    ]


def last_day_note(served: Served) -> str:
    """What the cutoff means, and of which stages it is not all told yet."""
    unit = "day" if STEP_DAYS[served.funnel.frequency] == 1 else "week"
    young = [
        f"{each['stage']} is {percent(day['share'])} complete"
        for each in served.quality.get("completeness", ())
        for day in each["days"]
        if str(day["ds"]) == str(served.cutoff) and day["share"] < 1
    ]
    told = f" (as far as it is told of, {', '.join(young)})" if young else ""
    return f"the last {unit} that is over is that of {served.cutoff}{told}; what came after it is not read as a drop"
