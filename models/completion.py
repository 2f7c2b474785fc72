"""Periods that are not told in full yet: what they will come to, so that a forecast starts from that.

A part of a period's final count is told, and the forecast from the days before says what to expect of it. Both speak:
the more is told, the less the expectation counts. In claims reserving this lies between the chain ladder (told / share)
and told + (1 - share) x expected (Bornhuetter and Ferguson, The actuary and IBNR, 1972): it is the mean given what is
told when the final count is Poisson about a Gamma variable with the forecast's mean and variance, and each of those
counted is told of with the probability of the share.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.calibration import SeriesForecasts
from models.forecast import QUANTILES
from models.panel import Panel
from models.value import Priced

Array = npt.NDArray[np.float64]

NORMAL_80 = 2 * 1.2815515655446004
"""Width of the central 80 percent in standard deviations."""


def completed(
    panel: Panel, priced: Priced | None, told: Array, made: SeriesForecasts, valued: SeriesForecasts | None
) -> tuple[Panel, Priced | None]:
    """The last periods of funnels with what is missing in them added; what was told is left as it is in the moves.

    Parameters
    ----------
    panel, priced
        The periods that are not told in full, of counts and of value.
    told
        (stages, periods), share of the final count that is told; 1 where all is.
    made, valued
        Forecasts from the period before, step 1 being the first of the panel's.
    """
    shape = panel.counts.shape
    steps = _steps(shape[2], horizon=made.mean.shape[1], season_length=panel.season_length)
    expected = made.mean[:, steps].reshape(shape)
    missing = missing_counts(panel.counts, told, expected, _variance(made)[:, steps].reshape(shape))
    whole = replace(panel, counts=panel.counts + missing, told=told, missing=missing)
    if priced is None or valued is None:
        return whole, priced
    money = valued.mean[:, steps].reshape(shape) / priced.units[:, None, None]
    usual = np.divide(money, expected, out=np.zeros(shape), where=expected > 0)
    each = np.divide(priced.amounts, panel.counts, out=usual, where=panel.counts > 0)
    worth = np.where(np.isnan(each), 0.0, missing * each)
    return whole, replace(priced, amounts=priced.amounts + worth, missing=worth)


def missing_counts(told: Array, share: Array, expected: Array, variance: Array) -> Array:
    """How many more are likely to be told of: the mean given those told, 0 where nothing is expected or observed.

    Parameters
    ----------
    told
        (funnels, stages, periods), counts so far, NaN where not observed.
    share
        (stages, periods), of the final count that is told by now on average, within 0..1.
    expected, variance
        As `told`, of the final count before anything was told.
    """
    usable = np.isfinite(told) & np.isfinite(expected) & (expected > 0) & np.isfinite(variance)
    mean = np.where(usable, expected, 1.0)
    spread = np.where(usable, np.maximum(variance - expected, 0.0), 0.0) / mean**2
    learnt = (1 + spread * np.nan_to_num(told)) / (1 + spread * share * mean)
    return np.asarray(np.where(usable, (1 - share) * mean * learnt, 0.0))


def _variance(made: SeriesForecasts) -> Array:
    """Of each step, (n, horizon), by the width of the 80 percent interval."""
    low, high = QUANTILES.index(0.1), QUANTILES.index(0.9)
    return np.asarray(((made.quantiles[..., high] - made.quantiles[..., low]) / NORMAL_80) ** 2)


def _steps(periods: int, *, horizon: int, season_length: int) -> npt.NDArray[np.int64]:
    """Index of the step that speaks for each period; past the horizon that of the same place in its last season."""
    steps = np.arange(periods)
    season = min(season_length, horizon)
    return np.where(steps < horizon, steps, horizon - season + (steps - horizon) % season)
