"""The univariate engine: experts, their combination and intervals, for a block of series at once.

Pure arrays in, plain arrays out, and no series looks at another: a block can be cut anywhere and its parts run
in threads, processes or on other machines with the same result to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models import level, smoothing
from models.combination import bucket_of_steps, combine, rolling_origins
from models.intervals import SCORES, count_quantiles, learn_spread
from models.kernel import kernel

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

EXPERTS: tuple[str, ...] = ("level_10", "level_90", "smoothing_log", "smoothing_sqrt")
GROWTH = 7.0
"""No expert forecasts more than this multiple of the recent maximum (plus one): the explosion guard."""
RECENT = 120
"""Periods over which the recent maximum is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Rolling:
    """Combined forecasts of a block of n series at all rolling origins, each by what was known there.

    mean: (n, origins, horizon). origins: indices of periods, the cutoff last. weights: (n, buckets, len(EXPERTS)),
    at the cutoff. caps: (n, origins), the explosion guard in counts. states: the experts' states after the cutoff,
    arrays with n rows each, named expert.field.
    """

    mean: Array
    origins: Days
    weights: Array
    caps: Array
    states: dict[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class SeriesForecasts:
    """Forecasts of a block of n series: mean (n, horizon), quantiles (n, horizon, len(QUANTILES)).

    in_flight: (n, horizon), the part of the mean from entities in the funnel at the cutoff. ceiling: (n,), the
    explosion guard in counts. cascaded: (n,), whether the funnel before the stage was used. states: see `Rolling`.
    """

    mean: Array
    quantiles: Array
    in_flight: Array
    ceiling: Array
    cascaded: npt.NDArray[np.bool_]
    states: dict[str, Array]


def forecast_series(
    counts: Array, day_types: Days, *, start_day: int, horizon: int, season_length: int
) -> SeriesForecasts:
    """Fit and forecast every row of `counts` by itself; arguments as in `roll`."""
    rolling = roll(counts, day_types, start_day=start_day, horizon=horizon, season_length=season_length)
    mean = rolling.mean[:, -1]
    return SeriesForecasts(
        mean=mean,
        quantiles=quantiles_of(rolling.mean, counts, origins=rolling.origins),
        in_flight=np.zeros_like(mean),
        ceiling=rolling.caps[:, -1],
        cascaded=np.zeros(len(counts), dtype=np.bool_),
        states=rolling.states,
    )


def roll(counts: Array, day_types: Days, *, start_day: int, horizon: int, season_length: int) -> Rolling:
    """Run and combine the experts of every row of `counts`, at all rolling origins.

    Parameters
    ----------
    counts
        (n, periods), >= 0, NaN where missing; the last period is the cutoff.
    day_types
        (periods + horizon,), see `smoothing.advance`.
    start_day
        Absolute number of the first period.
    """
    n = len(counts)
    origins = rolling_origins(start_day, counts.shape[1])
    caps = GROWTH * (recent_maximum(counts, origins) + 1)
    forecasts, states = run_experts(
        counts, day_types, origins=origins, horizon=horizon, season_length=season_length, caps=caps
    )
    bucket = bucket_of_steps(horizon)
    lengths = lengths_of(bucket)
    mean = np.zeros((n, len(origins), horizon))
    weights = np.zeros((n, len(lengths), len(EXPERTS)))
    for i in range(n):
        mean[i], weights[i] = combine(forecasts[:, i], counts[i], origins, bucket, lengths)
    return Rolling(mean, origins, weights, caps, states)


def quantiles_of(mean: Array, counts: Array, *, origins: Days) -> Array:
    """Quantiles at the cutoff, (n, horizon, len(QUANTILES)), from the errors of `mean` (n, origins, horizon)."""
    bucket = bucket_of_steps(mean.shape[2])
    lengths = lengths_of(bucket)
    quantiles = np.zeros((len(mean), mean.shape[2], len(SCORES)))
    for i in range(len(mean)):
        spread = learn_spread(mean[i], counts[i], origins, bucket, lengths)
        quantiles[i] = count_quantiles(mean[i, -1], bucket, spread, SCORES)
    return quantiles


def lengths_of(bucket: Days) -> Array:
    """Steps in each bucket, as floats, (buckets,)."""
    return np.bincount(bucket).astype(np.float64)


def run_experts(
    counts: Array, day_types: Days, *, origins: Days, horizon: int, season_length: int, caps: Array
) -> tuple[Array, dict[str, Array]]:
    """Forecasts of every expert at every origin, (experts, n, origins, horizon), >= 0, and the states after.

    Where an expert cannot speak yet (less than a season seen), the short level speaks for it.
    """
    n = len(counts)
    level_state, levels = level.advance(
        level.make_state(n, season_length=season_length), counts, day_types, origins=origins, horizon=horizon
    )
    fresh = smoothing.make_state(n, season_length=season_length)
    log_state, logs = smoothing.advance(
        fresh, np.log1p(counts), day_types, origins=origins, horizon=horizon, caps=np.log1p(caps)
    )
    root_state, roots = smoothing.advance(
        fresh, np.sqrt(counts), day_types, origins=origins, horizon=horizon, caps=np.sqrt(caps)
    )
    states = {
        f"{name}.{field}": getattr(state, field)
        for name, state in (("level", level_state), ("smoothing_log", log_state), ("smoothing_sqrt", root_state))
        for field in state.__dataclass_fields__
    }
    return _collect(levels, logs, roots, caps), states


@kernel
def _collect(levels: Array, logs: Array, roots: Array, caps: Array) -> Array:
    """All experts on the scale of counts, within 0 and the caps; the first level where one is silent, else 0."""
    many = levels.shape[0]
    out = np.empty((many + 2, *logs.shape))
    for i in range(logs.shape[0]):
        for o in range(logs.shape[1]):
            for h in range(logs.shape[2]):
                silent = levels[0, i, o, h] if not np.isnan(levels[0, i, o, h]) else 0.0
                for m in range(many):
                    out[m, i, o, h] = levels[m, i, o, h]
                out[many, i, o, h] = np.expm1(max(logs[i, o, h], 0.0)) if not np.isnan(logs[i, o, h]) else silent
                root = max(roots[i, o, h], 0.0)
                out[many + 1, i, o, h] = root * root if not np.isnan(roots[i, o, h]) else silent
                for m in range(many + 2):
                    value = out[m, i, o, h]
                    out[m, i, o, h] = min(value, caps[i, o]) if not np.isnan(value) else silent
    return out


def recent_maximum(counts: Array, origins: Days) -> Array:
    """Largest count of the last RECENT periods up to each origin, (n, origins); 0 where nothing was seen."""
    padded = np.pad(np.nan_to_num(counts), ((0, 0), (RECENT - 1, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, RECENT, axis=1)
    return np.asarray(windows[:, origins].max(axis=2))
