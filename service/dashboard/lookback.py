"""The forecasts of an earlier version beside what came since, and how far the present ones have moved from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.forecast import STEP_DAYS
from service.serving import Served

MOST_STEPS = 7
"""Latest steps that are compared."""
AHEAD = 28
"""Steps ahead over which the movement is told."""


@dataclass(frozen=True, slots=True)
class Lookback:
    """One stage, over the steps that both are known of; None where they are not.

    error: forecast - came. inside: steps whose actual was in the 80 % interval. moved: by how much the forecasts of the
    same days ahead differ from the earlier ones, share of their sum, taken day by day; drift: the same with its sign.
    """

    stage: str
    forecast: float
    came: float
    error: float
    inside: int
    steps: int
    moved: float | None
    drift: float | None


def steps_between(earlier: Served, served: Served) -> int:
    """Steps that were observed since the earlier version."""
    return (served.cutoff - earlier.cutoff).days // STEP_DAYS[served.funnel.frequency]


def look_back(earlier: Served, served: Served, *, segment: str) -> list[Lookback]:
    """The stages of a segment in their order, without those that were not forecast then, or not observed since."""
    since = steps_between(earlier, served)
    found = []
    for stage in served.funnel.stages:
        before, now = earlier.forecasts.get((segment, stage)), served.forecasts.get((segment, stage))
        observed = served.observed.get((segment, stage), np.zeros(0))
        if before is None or now is None or not 0 < since <= before.horizon or len(observed) < since:
            continue
        first = max(0, since - MOST_STEPS)
        came = observed[len(observed) - since :][first:]
        known = np.isfinite(came)
        if not known.any():
            continue
        low, high = (side[first:since][known] for side in before.interval(80))
        mean, came = before.mean[first:since][known], came[known]
        ahead = min(AHEAD, before.horizon - since, now.horizon)
        then, present = before.mean[since : since + ahead], now.mean[:ahead]
        total = float(then.sum())
        found.append(
            Lookback(
                stage=stage,
                forecast=float(mean.sum()),
                came=float(came.sum()),
                error=float((mean - came).sum()),
                inside=int(((low <= came) & (came <= high)).sum()),
                steps=len(came),
                moved=float(np.abs(present - then).sum()) / total if total > 0 else None,
                drift=float((present - then).sum()) / total if total > 0 else None,
            )
        )
    return found
