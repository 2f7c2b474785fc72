"""Accuracy of forecasts, on plain arrays.

`error` is forecast - actual throughout: positive = over-forecast. Arrays broadcast; missing actuals (NaN) are
left out of every mean. Definitions: Hyndman and Koehler, Another look at measures of forecast accuracy (2006),
for MASE; Gneiting and Raftery, Strictly proper scoring rules (2007), section 6, for pinball and interval score.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.forecast import QUANTILES

Array = npt.NDArray[np.float64]

INNER = slice(1, -1)
"""The nine deciles among QUANTILES: what WQL and SQL average over."""


def pinball(actual: Array, quantiles: Array) -> Array:
    """Pinball loss per probability of QUANTILES; `actual` (...), `quantiles` and result (..., len(QUANTILES))."""
    probabilities = np.array(QUANTILES)
    error = quantiles - actual[..., None]
    return np.maximum((1 - probabilities) * error, -probabilities * error)


def quantile_loss(actual: Array, quantiles: Array) -> Array:
    """Twice the mean pinball loss over the nine deciles, shape of `actual`: an absolute error made probabilistic."""
    return np.asarray(2 * pinball(actual, quantiles)[..., INNER].mean(axis=-1))


def wql(actual: Array, quantiles: Array) -> float:
    """Weighted quantile loss: summed `quantile_loss` over summed actuals; lower is better, NaN without actuals."""
    return _ratio(np.nansum(quantile_loss(actual, quantiles)), np.nansum(actual))


def wmape(actual: Array, median: Array) -> float:
    """Summed absolute error over summed actuals."""
    return _ratio(np.nansum(np.abs(median - actual)), np.nansum(actual))


def bias(actual: Array, mean: Array) -> float:
    """Summed error over summed actuals; positive = over-forecast."""
    return _ratio(np.nansum(mean - actual), np.nansum(actual))


def seasonal_scale(history: Array, *, season_length: int) -> float:
    """Mean absolute seasonal-naive error within the history (periods,): the yardstick of MASE and SQL."""
    differences = np.abs(history[season_length:] - history[:-season_length])
    return float(np.nanmean(differences)) if np.isfinite(differences).any() else np.nan


def mase(actual: Array, median: Array, *, scale: float) -> float:
    """Mean absolute error over `seasonal_scale`."""
    return _ratio(_mean(np.abs(median - actual)), scale)


def sql(actual: Array, quantiles: Array, *, scale: float) -> float:
    """Mean pinball loss over the nine deciles, over `seasonal_scale`."""
    return _ratio(_mean(pinball(actual, quantiles)[..., INNER].mean(axis=-1)), scale)


def coverage(actual: Array, lower: Array, upper: Array) -> float:
    """Share of actuals within [lower, upper]."""
    inside = ((actual >= lower) & (actual <= upper)).astype(float)
    return _mean(np.where(np.isnan(actual), np.nan, inside))


def interval_score(actual: Array, lower: Array, upper: Array, *, level: int) -> float:
    """Mean width plus 2 / (1 - level) for every unit by which an actual lies outside; `level` in percent."""
    miss = np.maximum(lower - actual, 0) + np.maximum(actual - upper, 0)
    return _mean(upper - lower + 2 / (1 - level / 100) * miss)


def _mean(values: Array) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator > 0 else np.nan
