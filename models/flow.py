"""Where entities stand and how they moved lately, and the latest counts: what people look at beside the forecasts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.entities import NEVER
from models.forecast import STEP_DAYS
from models.history import History

Array = npt.NDArray[np.float64]

KEPT = 126
"""Latest periods that are shown."""
WINDOW = 182
"""Days looked back: who entered a stage before them and is still there is not counted as in flight."""
SETTLED = 0.9
"""Conversion is that of entrants older than this quantile of the delays seen."""


def latest_counts(history: History) -> Array:
    """Counts of the last KEPT periods, (len(history.series), periods); NaN where nothing was observed."""
    return np.ascontiguousarray(history.latest(KEPT))


def flow_from_history(history: History) -> Array:
    """In flight, conversion and delay of the total, (3, stages); NaN where there are no entities to tell.

    Rows: entities in the stage at the cutoff that came within WINDOW days; share of the stage before that came here,
    of those who entered it long enough ago; median days from the stage before to here.
    """
    stages = len(history.stages)
    flow = np.full((3, stages), np.nan)
    if history.entities is None:
        return flow
    days = history.entities.days
    cutoff = history.periods * STEP_DAYS[history.frequency] - 1
    for place, stage in enumerate(history.stages):
        if stage in history.counted:
            continue
        entered = days[:, place]
        waiting = (entered > cutoff - WINDOW) & (days[:, place + 1 :] == NEVER).all(axis=1)
        if place + 1 < stages:  # nobody is on the way anywhere at the last stage
            flow[0, place] = waiting.sum()
        if place and history.stages[place - 1] not in history.counted:
            flow[1:, place] = _passage(days[:, place - 1], entered, cutoff=cutoff)
    return flow


def _passage(before: npt.NDArray[np.int32], after: npt.NDArray[np.int32], *, cutoff: int) -> tuple[float, float]:
    """Share that passes and median days it takes, of the entrants of the window that had time to."""
    recent = before > cutoff - WINDOW
    passed = recent & (after != NEVER)
    if not passed.any():
        return float("nan"), float("nan")
    settled = cutoff - float(np.quantile((after - before)[passed], SETTLED))
    asked = recent & (before <= settled)
    passed &= asked
    if not passed.any():
        return float("nan"), float("nan")
    return float(passed.sum() / asked.sum()), float(np.median((after - before)[passed]))
