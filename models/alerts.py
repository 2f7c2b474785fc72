"""Alerts: actuals that left the interval of the version before them, and how far outside they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.forecast import Forecast

Array = npt.NDArray[np.float64]

LEVEL = 95
"""An actual outside this interval is an alert."""
NEAR = 28
"""An actual is looked at for alerts when it came within so many steps of the version before it."""
ALERT_DAYS = 28
"""Periods for which alerts are kept."""
MOST_ALERTS = 1000
"""Alerts kept, the farthest outside first."""
LEAST_TOLD = 0.5
"""An actual of which less is known raises no alert."""


def look(alerts: Array, bounds: Array, counts: Array, *, start: int, since: int) -> tuple[Array, Array]:
    """The alerts with those of new periods, the latest and farthest outside only; and what was looked at.

    Parameters
    ----------
    alerts
        (a, 5): row of the series, period, actual, lower and upper bound.
    bounds
        (n, NEAR, 2), interval of the periods after `since`, from `bounds_of`.
    counts
        (n, periods) of the same series, NaN where missing, the first of period `start`; those after `since` are new.

    Returns
    -------
    The alerts, and (n, 2): actuals looked at, and those outside.
    """
    looked, found = np.zeros((len(counts), 2)), [alerts]
    cutoff = start + counts.shape[1] - 1
    for period in range(max(since + 1, start), min(cutoff, since + NEAR) + 1):
        y, interval = counts[:, period - start], bounds[:, period - since - 1]
        known = np.isfinite(y) & np.isfinite(interval[:, 0])
        outside = known & ((y < interval[:, 0]) | (y > interval[:, 1]))
        looked += np.stack([known, outside], axis=1)
        rows = np.flatnonzero(outside)
        found.append(np.column_stack([rows, np.full(len(rows), period), y[rows], interval[rows]]))
    together = np.concatenate(found)
    together = together[together[:, 1] > cutoff - ALERT_DAYS]
    farthest = np.argsort(-severity(together), kind="stable")[:MOST_ALERTS]
    return together[np.sort(farthest)], looked


def severity(alerts: Array) -> Array:
    """How far outside, in widths of the interval (at least one count)."""
    _, _, y, low, high = alerts.T
    return np.asarray(np.maximum(low - y, y - high) / np.maximum(high - low, 1.0))


def bounds_of(forecasts: Sequence[Forecast]) -> Array:
    """Interval in which actuals raise no alert, (forecasts, NEAR, 2); NaN past the horizon."""
    bounds = np.full((len(forecasts), NEAR, 2), np.nan)
    for row, forecast in enumerate(forecasts):
        low, high = forecast.interval(LEVEL)
        near = min(NEAR, forecast.horizon)
        bounds[row, :near] = np.stack([low[:near], high[:near]], axis=1)
    return bounds


def likely(counts: Array, told: Array | None) -> Array:
    """Counts with the last ones as they will likely be, NaN where too little of them is known to tell."""
    if told is None:
        return counts
    young = np.where(
        told >= LEAST_TOLD, counts[:, counts.shape[1] - told.shape[1] :] / np.maximum(told, LEAST_TOLD), np.nan
    )
    return np.concatenate([counts[:, : counts.shape[1] - told.shape[1]], young], axis=1)
