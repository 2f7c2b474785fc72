"""From counts of one stage to counts of the next, where no entity is known: a non-negative distributed lag.

The expected count is level x day type's factor x (weights . recent counts of the stage before), the recent counts
being means over a season, summed over ranges of lags. Weights are non-negative least squares on a discounted Gram
matrix, so that a transition without any delay and one of a month are the same to it; the level, the recent ratio
of actual to expected, follows quickly, because the share that moves on drifts faster than the delay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from models.weekday import make_places, watch_place

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """How far a transition looks back, in periods.

    lags: (2, ranges), first and last lag of each range of lags. half_life: of what the weights are learnt from, and of
    the day types' factors; level_half_life: of the level.
    """

    lags: Ints
    half_life: float
    level_half_life: float


DAYS = Reach(
    np.array([[0, 2, 4, 7, 10, 14, 18, 22, 28], [1, 3, 6, 9, 13, 17, 21, 27, 35]]), half_life=90.0, level_half_life=5.0
)
WEEKS = Reach(np.array([[0, 1, 2, 3, 4, 6], [0, 1, 2, 3, 5, 8]]), half_life=26.0, level_half_life=2.0)
LEVEL_WEIGHT = 5.0
"""Counts' worth of a level of 1."""
RIDGE = 0.02
"""Added to the diagonal of the Gram matrix, scaled to ones."""
ITERATIONS = 60
"""Sweeps of coordinate descent; the Gram matrix is small and well conditioned thanks to the ridge."""


@dataclass(frozen=True, slots=True, eq=False)
class LagState:
    """What a counted transition's past leaves behind in n funnels; all float64.

    gram (n, ranges, ranges), cross (n, ranges): discounted products. total, days (n, day types): shares of the running
    mean, and days. smooth (n, longest lag + 1), window (n, season_length): season means and counts of the stage before,
    newest last. expected (n, ranges), actual (n, 1): of the level. size (n, 2): running sum of the stage after, and its
    weight.
    places: see `models.weekday.make_places`, of total and days, and noise (n, 2), see `models.weekday.watch_place`.
    """

    gram: Array
    cross: Array
    total: Array
    days: Array
    smooth: Array
    window: Array
    expected: Array
    actual: Array
    size: Array
    places: Array
    noise: Array

    def copy(self) -> LagState:
        """Own arrays, so that an append leaves the original as it was."""
        return LagState(*[getattr(self, name).copy() for name in LagState.__slots__])


def reach_of(season_length: int) -> Reach:
    """Of periods with a season they are days, without one weeks."""
    return DAYS if season_length > 1 else WEEKS


def make_state(funnels: int, *, season_length: int) -> LagState:
    """Return the state before the first period."""
    reach, kinds = reach_of(season_length), season_length + 1
    lags, longest = reach.lags.shape[1], int(reach.lags[1, -1])
    return LagState(
        gram=np.zeros((funnels, lags, lags)),
        cross=np.zeros((funnels, lags)),
        total=np.zeros((funnels, kinds)),
        days=np.zeros((funnels, kinds)),
        smooth=np.full((funnels, longest + 1), np.nan),
        window=np.full((funnels, season_length), np.nan),
        expected=np.zeros((funnels, lags)),
        actual=np.zeros((funnels, 1)),
        size=np.zeros((funnels, 2)),
        places=make_places(funnels, sums=2, season_length=season_length),
        noise=np.zeros((funnels, 2)),
    )


def advance(
    state: LagState, before: Array, after: Array, day_types: Ints, *, origins: Ints, inflow: Array
) -> tuple[LagState, Array]:
    """Run new periods through the state.

    `before` and `after` are (n, periods), counts of the two stages, NaN where missing; `inflow` and the forecasts (n,
    origins, horizon); the rest as in `conversion.advance`. Of an origin that is there twice the forecasts are by the
    same weights.
    """
    state, reach = state.copy(), reach_of(state.window.shape[1])
    forecasts = np.zeros(inflow.shape)
    _advance(
        state.gram,
        state.cross,
        state.total,
        state.days,
        state.smooth,
        state.window,
        state.expected,
        state.actual,
        state.size,
        state.places,
        state.noise,
        reach.lags,
        0.5 ** (1.0 / reach.half_life),
        0.5 ** (1.0 / reach.level_half_life),
        np.ascontiguousarray(before),
        np.ascontiguousarray(after),
        np.ascontiguousarray(day_types, dtype=np.int64),
        origins,
        np.ascontiguousarray(inflow),
        forecasts,
    )
    return state, forecasts


def responses(state: LagState, day_types: Ints) -> Array:
    """What forecasts are linear in, (n, 1 + horizon, horizon), as in `conversion.responses`; row 0 is of the past."""
    horizon, lags = len(day_types), reach_of(state.window.shape[1]).lags
    out = np.zeros((len(state.gram), 1 + horizon, horizon))
    types, nobody = np.ascontiguousarray(day_types, dtype=np.int64), np.zeros(horizon)
    for row, answer in enumerate(out):
        weights = _scaled_weights(state.gram[row], state.cross[row], state.expected[row], state.actual[row])
        factors = _factors(state.total[row], state.days[row])
        _forecast(state.smooth[row], state.window[row], weights, lags, factors, types, nobody, answer[0])
        _responses(state.window[row], weights, lags, factors, types, answer[1:])
    return out


@kernel
def _advance(  # noqa: PLR0913, PLR0917 - one pass over time, in one place for the compiler
    gram: Array,
    cross: Array,
    total: Array,
    days: Array,
    smooth: Array,
    window: Array,
    expected: Array,
    actual: Array,
    size: Array,
    places: Array,
    noise: Array,
    lags: Ints,
    decay: float,
    level_decay: float,
    before: Array,
    after: Array,
    types: Ints,
    origins: Ints,
    inflow: Array,
    out: Array,
) -> None:
    for row in range(before.shape[0]):
        grams, crosses, recent, running = gram[row], cross[row], smooth[row], window[row]
        totals, kinds, promised, came, mean = total[row], days[row], expected[row], actual[row], size[row]
        at = 0
        for t in range(-1, before.shape[1]):  # -1: from the state as it is
            if t >= 0:
                _push(recent, running, before[row, t])
                features, count = _features(recent, lags), after[row, t]
                if not np.isnan(count):
                    totals *= decay
                    kinds *= decay
                    mean *= level_decay
                    mean[0] += count
                    mean[1] += 1.0
                    level = mean[0] / mean[1] + 0.5
                    if types[t] < window.shape[1]:
                        watch_place(places[row], noise[row], (totals, kinds), types[t], count / level, 1.0, level)
                    totals[types[t]] += count / level  # a share, so that a wave does not tilt the factors
                    kinds[types[t]] += 1.0
                    factor = _factors(totals, kinds)[types[t]]
                    weight = min(factor, 1.0) / level
                    grams *= decay
                    crosses *= decay
                    promised *= level_decay
                    came *= level_decay
                    for i in range(features.size):
                        crosses[i] += weight * features[i] * count / factor
                        promised[i] += factor * features[i]
                        for j in range(features.size):
                            grams[i, j] += weight * features[i] * features[j]
                    came[0] += count
            if at < origins.size and origins[at] == t:
                weights, factors = _scaled_weights(grams, crosses, promised, came), _factors(totals, kinds)
                while at < origins.size and origins[at] == t:
                    _forecast(recent, running, weights, lags, factors, types[t + 1 :], inflow[row, at], out[row, at])
                    at += 1


@kernel
def _push(smooth: Array, window: Array, count: float) -> None:
    """Append a count of the stage before, and its season mean: of what was observed, or as before."""
    window[:-1] = window[1:]
    window[-1] = count
    smooth[:-1] = smooth[1:]
    mean = np.nanmean(window)
    if not np.isnan(mean):
        smooth[-1] = mean


@kernel
def _features(smooth: Array, lags: Ints) -> Array:
    """Sums of season means over the ranges of lags; before the first period it was as in the first."""
    features = np.zeros(lags.shape[1])
    first = 0
    while first < smooth.size - 1 and np.isnan(smooth[first]):
        first += 1
    for i in range(features.size):
        for lag in range(lags[0, i], lags[1, i] + 1):
            value = smooth[max(smooth.size - 1 - lag, first)]
            if not np.isnan(value):
                features[i] += value
    return features


@kernel
def _factors(total: Array, days: Array) -> Array:
    """Factor of each day type; a special day starts from the last ordinary one's."""
    last = total.size - 1
    factors = np.ones(total.size)
    mean = total[:last].sum() / max(days[:last].sum(), 1e-9)
    if mean > 0.0:
        for kind in range(last):
            factors[kind] = (total[kind] / mean + 0.3) / (days[kind] + 0.3)
        factors[last] = (total[last] / mean + 2.0 * factors[last - 1]) / (days[last] + 2.0)
    return np.maximum(factors, 1e-3)


@kernel
def _scaled_weights(gram: Array, cross: Array, expected: Array, actual: Array) -> Array:
    """Weights of the lags times the level."""
    weights = _weights(gram, cross)
    return np.asarray(weights * (actual[0] + LEVEL_WEIGHT) / ((expected * weights).sum() + LEVEL_WEIGHT))


@kernel
def _weights(gram: Array, cross: Array) -> Array:
    """Non-negative least squares by coordinate descent on the Gram matrix scaled to a unit diagonal."""
    lags = cross.size
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-12))
    unit, aim, weights = np.empty((lags, lags)), np.empty(lags), np.zeros(lags)
    for i in range(lags):
        aim[i] = cross[i] / scale[i]
        for j in range(lags):
            unit[i, j] = gram[i, j] / scale[i] / scale[j]
    for _ in range(ITERATIONS):
        for i in range(lags):
            left = aim[i]
            for j in range(lags):
                if j != i:
                    left -= unit[i, j] * weights[j]
            weights[i] = max(left / (1.0 + RIDGE), 0.0)
    return weights / scale


@kernel
def _forecast(
    smooth: Array, window: Array, weights: Array, lags: Ints, factors: Array, types: Ints, inflow: Array, out: Array
) -> None:
    later, recent = smooth.copy(), window.copy()
    for h in range(out.size):
        _push(later, recent, inflow[h])
        out[h] = factors[types[h]] * (weights * _features(later, lags)).sum()


@kernel
def _responses(window: Array, weights: Array, lags: Ints, factors: Array, types: Ints, out: Array) -> None:
    """What one entrant at each step (row) brings: it raises the season means of its step and of those after it."""
    season, horizon = window.size, types.size
    by_lag = np.zeros(lags[1, -1] + 1)
    for i in range(weights.size):
        by_lag[lags[0, i] : lags[1, i] + 1] = weights[i]
    for h in range(horizon):
        for step in range(h + 1):
            for later in range(step, min(step + season, h + 1)):
                seen = min(later + 1, season)
                for back in range(season - later - 1):
                    seen += not np.isnan(window[season - 1 - back])
                out[step, h] += by_lag[h - later] / seen if h - later < by_lag.size else 0.0
            out[step, h] *= factors[types[h]]
