"""Baselines: seasonal naive, against which skill is measured, and weekday means, which answer from the first week.

Both give quantiles, so that comparing with them is fair: seasonal naive a normal whose variance grows by season
(Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., section 5.5), settled on whole numbers as
ours are, weekday means the spread of a count, which the engine settles.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.intervals import UNKNOWN
from models.quantiles import SCORES, are_whole, count_quantiles, settled

Array = npt.NDArray[np.float64]

SEASONS = 8
"""Weekday means look back over so many seasons."""


def seasonal_naive(counts: Array, *, horizon: int, season_length: int) -> tuple[Array, Array]:
    """Repeat the last season.

    `counts` is (n, periods), NaN where missing: then the last observed count of the same place in the season
    speaks, or else 0. Returns mean (n, horizon) and quantiles (n, horizon, len(QUANTILES)), >= 0.
    """
    n, periods = counts.shape
    filled = _carried(counts, season_length)
    place = np.arange(periods, periods + horizon)
    season = (place - periods) // season_length + 1
    mean = np.zeros((n, horizon))
    reach = place - season * season_length
    mean[:, reach >= 0] = np.nan_to_num(filled[:, reach[reach >= 0]])
    errors = counts[:, season_length:] - counts[:, :-season_length]
    observed = np.maximum((~np.isnan(errors)).sum(axis=1), 1)
    deviation = np.sqrt(np.nansum(errors**2, axis=1) / observed)
    spread = deviation[:, None] * np.sqrt(season)
    quantiles = np.maximum(mean[:, :, None] + spread[:, :, None] * SCORES, 0)
    whole = are_whole(counts)
    quantiles[whole] = settled(mean[whole], quantiles[whole])
    return mean, quantiles


def weekday_mean(counts: Array, *, horizon: int, season_length: int) -> tuple[Array, Array]:
    """Mean of the same place in the season over the last SEASONS seasons; the mean of all while one was not seen.

    Arguments and results as in `seasonal_naive`.
    """
    n, periods = counts.shape
    recent = counts[:, -SEASONS * season_length :]
    place = np.arange(periods - recent.shape[1], periods) % season_length
    overall = _means(recent)
    mean = np.zeros((n, horizon))
    for step in range(horizon):
        same = _means(recent[:, place == (periods + step) % season_length])
        mean[:, step] = np.where(np.isnan(same), overall, same)
    mean = np.nan_to_num(mean)
    bucket = np.zeros(horizon, dtype=np.int64)
    spread = np.array([UNKNOWN])
    return mean, np.stack([count_quantiles(row, bucket, spread, SCORES) for row in mean])


def _means(values: Array) -> Array:
    """Mean over the last axis of what was observed; NaN where nothing was."""
    observed = (~np.isnan(values)).sum(axis=1)
    return np.where(observed > 0, np.nansum(values, axis=1) / np.maximum(observed, 1), np.nan)


def _carried(counts: Array, season_length: int) -> Array:
    """Missing counts replaced by the one a season before."""
    filled = counts.copy()
    for t in range(season_length, filled.shape[1]):
        missing = np.isnan(filled[:, t])
        filled[missing, t] = filled[missing, t - season_length]
    return filled
