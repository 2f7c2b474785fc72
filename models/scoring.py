"""Scores of the forecasts made at past origins, kept as running sums as their actuals arrive.

Every SCORED rolling origins one is scored: its forecast, and the spread around it, are those that were
possible there. The sums of the last ORIGINS_KEPT scored origins are held apart, so that the oldest can go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from models.forecast import MEDIAN, QUANTILES
from models.kernel import kernel
from models.origins import bucket_of_steps
from models.quantiles import SCORES, count_quantiles, settle
from models.skill import MEASURES

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

SCORED = 5
"""One of so many rolling origins is scored: of days every 25th, no multiple of a week, so that weekdays take turns."""
ORIGINS_KEPT = 8
LEAST_SCORED = 28
"""Periods of history before the first scored origin."""
PROBABILITIES = np.array(QUANTILES)


@dataclass(frozen=True, slots=True, eq=False)
class ScoringState:
    """What scoring n series needs of the past.

    sums: (n, ORIGINS_KEPT, buckets, len(MEASURES)). season, carried: (n, season_length), the last counts, NaN where
    missing, and with the season before them for those. naive: (n, 3), squared and absolute errors of the seasonal
    naive forecast one season ahead, and their number. fractions: (n,), actuals that were no whole numbers; until there
    is one, quantiles are those of a count.
    """

    sums: Array
    season: Array
    carried: Array
    naive: Array
    fractions: Array

    def copy(self) -> ScoringState:
        """Own arrays, so that an append leaves the original as it was."""
        return replace(self, **{field.name: getattr(self, field.name).copy() for field in fields(self)})


@dataclass(frozen=True, slots=True, eq=False)
class Issued:
    """Forecasts at the origins that are scored (s), pending ones first.

    mean (n, s, horizon); spread (n, s, buckets, 5); naive (n, s, season_length + 1), the season that the naive forecast
    repeats, and its deviation. doubts: as the mean, see `calibration.calibrate`.
    """

    mean: Array
    spread: Array
    naive: Array
    doubts: Array | None = None


def is_scored(origins: Days, start_day: int, *, seen: int, gap: int) -> npt.NDArray[np.bool_]:
    """Which rolling origins are scored, of one every `gap` periods; they are indices after `seen` periods, the first of
    which is `start_day`.
    """
    index = origins + seen
    return np.asarray(((index + start_day) % (SCORED * gap) == 0) & (index >= LEAST_SCORED))


def make_state(series: int, *, horizon: int, season_length: int, counted: bool = True) -> ScoringState:
    """Return the state before the first period, of counts or of amounts."""
    buckets = len(np.unique(bucket_of_steps(horizon)))
    return ScoringState(
        sums=np.zeros((series, ORIGINS_KEPT, buckets, len(MEASURES))),
        season=np.full((series, season_length), np.nan),
        carried=np.full((series, season_length), np.nan),
        naive=np.zeros((series, 3)),
        fractions=np.full(series, 0.0 if counted else 1.0),
    )


def advance(state: ScoringState, issued: Issued, counts: Array, *, origins: Days, slots: Days) -> ScoringState:
    """Run new counts through the sums.

    Parameters
    ----------
    state
        Of the periods before; not changed.
    issued
        The naive forecasts of new origins are filled in, in place.
    counts
        (n, periods), the new ones, NaN where missing.
    origins, slots
        (s,), scored origins as indices of new periods, negative where pending; and where each is kept.
    """
    state = state.copy()
    bucket = bucket_of_steps(issued.mean.shape[2])
    # An origin whose place is taken by a later one leaves nothing behind, and need not be scored.
    kept = np.array([slot not in slots[place + 1 :] for place, slot in enumerate(slots)], dtype=np.bool_)
    _advance(
        state.sums,
        state.season,
        state.carried,
        state.naive,
        state.fractions,
        np.ascontiguousarray(issued.mean),
        np.ascontiguousarray(issued.spread),
        np.zeros(issued.mean.shape) if issued.doubts is None else np.ascontiguousarray(issued.doubts),
        issued.naive,
        np.ascontiguousarray(counts),
        origins,
        slots,
        kept,
        bucket,
    )
    return state


def measured(state: ScoringState) -> tuple[Array, Array]:
    """Sums by bucket, (n, buckets, len(MEASURES)), and the mean absolute seasonal-naive error, (n,)."""
    scale = np.full(len(state.naive), np.nan)
    np.divide(state.naive[:, 1], state.naive[:, 2], out=scale, where=state.naive[:, 2] > 0)
    return state.sums.sum(axis=1), scale


@kernel
def _advance(  # noqa: PLR0913, PLR0917 - one pass over time, in one place for the compiler
    sums: Array,
    season: Array,
    carried: Array,
    naive: Array,
    fractions: Array,
    mean: Array,
    spread: Array,
    doubts: Array,
    made: Array,
    counts: Array,
    origins: Days,
    slots: Days,
    kept: npt.NDArray[np.bool_],
    bucket: Days,
) -> None:
    length, horizon, only = season.shape[1], mean.shape[2], np.zeros(1, dtype=np.int64)
    for i in range(counts.shape[0]):
        for t in range(counts.shape[1]):
            y = counts[i, t]
            if not np.isnan(y) and y != math.floor(y):
                fractions[i] += 1.0
            for o in range(origins.size):
                step = t - origins[o]
                if kept[o] and 1 <= step <= horizon and not np.isnan(y):
                    b = bucket[step - 1]
                    wide = spread[i, o, b : b + 1].copy()
                    wide[0, 1] += doubts[i, o, step - 1]
                    own = count_quantiles(mean[i, o, step - 1 : step], only, wide, SCORES)
                    mean_naive, other = _naive_quantiles(made[i, o], step)
                    if fractions[i] == 0:
                        settle(mean[i, o, step - 1], own[0])
                        settle(mean_naive, other)
                    _measure(y, mean[i, o, step - 1], own[0], other, sums[i, slots[o], b])
            error = y - season[i, 0]
            if not np.isnan(error):
                naive[i, 0] += error * error
                naive[i, 1] += abs(error)
                naive[i, 2] += 1.0
            last = carried[i, 0] if np.isnan(y) else y
            for k in range(length - 1):
                season[i, k], carried[i, k] = season[i, k + 1], carried[i, k + 1]
            season[i, -1], carried[i, -1] = y, last
            for o in range(origins.size):
                if origins[o] == t:
                    sums[i, slots[o]] = 0.0
                    made[i, o, :-1] = carried[i]
                    made[i, o, -1] = np.sqrt(naive[i, 0] / max(naive[i, 2], 1.0))


@kernel
def _naive_quantiles(made: Array, step: int) -> tuple[float, Array]:
    """Mean and quantiles of the seasonal naive forecast, see `baseline.seasonal_naive`."""
    length = made.size - 1
    last = made[(step - 1) % length]
    mean = 0.0 if np.isnan(last) else last
    deviation = made[-1] * np.sqrt((step - 1) // length + 1)
    return mean, np.maximum(mean + deviation * SCORES, 0.0)


@kernel
def _measure(y: float, mean: float, own: Array, other: Array, sums: Array) -> None:
    """Add one actual to the sums, in the order of MEASURES."""
    sums[0] += 1.0
    sums[1] += y
    sums[2] += _quantile_loss(y, own)
    sums[3] += _quantile_loss(y, other)
    sums[4] += abs(own[MEDIAN] - y)
    sums[5] += mean - y
    sums[6] += 1.0 if own[1] <= y <= own[-2] else 0.0
    sums[7] += 1.0 if own[0] <= y <= own[-1] else 0.0


@kernel
def _quantile_loss(y: float, quantiles: Array) -> float:
    """Twice the mean pinball loss over the deciles, as `metrics.quantile_loss`."""
    total = 0.0
    for j in range(1, quantiles.size - 1):
        error = quantiles[j] - y
        total += max((1 - PROBABILITIES[j]) * error, -PROBABILITIES[j] * error)
    return 2 * total / (quantiles.size - 2)
