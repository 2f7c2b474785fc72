"""Weights of the experts, per series and step bucket, learnt from rolling-origin forecasts before the cutoff.

Running sums over the targets that have arrived hold all that the weights need: discounted absolute errors and
the Gram matrix of the experts' forecasts. The weights are the least-squares combination on the simplex, held
near inverse-error weights, which are held near the prior while there is little evidence: Bates and Granger,
The combination of forecasts (1969); Diebold and Pauly, The use of prior information in forecast combination
(1990), for the shrinkage.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from models.origins import Origins, bucket_of_steps
from models.simplex import least_squares, quadratic

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

CHECKPOINT_GAP = 6
"""Origins between two looks at the weights: each origin is combined by weights that it could have known."""
HALF_LIFE = 365.0
"""Half-life of the evidence, periods."""
NEIGHBOUR = 0.15
"""What the evidence of the buckets beside a bucket counts."""
POWER = 3.0
"""Weights start from absolute error to the minus POWER."""
RIDGE = 0.2
"""Pull towards the starting weights, in units of their residual sum of squares."""
MINIMUM_ORIGINS = 4
"""With fewer origins a bucket takes the weights of the bucket before it (the first: the prior)."""


@dataclass(frozen=True, slots=True, eq=False)
class CombinationState:
    """Running sums of n series by bucket (b) and expert (e); a period multiplies the worth of newer ones instead of
    fading all older, since only ratios matter.

    absolute, cross, weights: (n, b, e). gram: (n, b, e, e), lower triangle. square, mass, seen: (n, b). running:
    (n, 2), sum of counts and their mass. clock: (n, 2), worth of the last period, and rolling origins passed.
    """

    absolute: Array
    cross: Array
    weights: Array
    gram: Array
    square: Array
    mass: Array
    seen: Array
    running: Array
    clock: Array

    def copy(self) -> CombinationState:
        """Own arrays, so that an append leaves the original as it was."""
        return replace(self, **{field.name: getattr(self, field.name).copy() for field in fields(self)})


def make_state(series: int, *, experts: int, horizon: int) -> CombinationState:
    """Return the state before the first period."""
    flat = (series, len(np.unique(bucket_of_steps(horizon))))
    return CombinationState(
        absolute=np.zeros((*flat, experts)),
        cross=np.zeros((*flat, experts)),
        weights=np.full((*flat, experts), np.nan),
        gram=np.zeros((*flat, experts, experts)),
        square=np.zeros(flat),
        mass=np.zeros(flat),
        seen=np.zeros(flat),
        running=np.zeros((series, 2)),
        clock=np.tile([1.0, 0.0], (series, 1)),
    )


def advance(
    state: CombinationState,
    forecasts: Array,
    counts: Array,
    *,
    origins: Origins,
    combined: Array,
    prior: Array | None = None,
    ridge: float = RIDGE,
    half_life: float = HALF_LIFE,
) -> tuple[CombinationState, Array, Array]:
    """Run new counts through the sums and combine the experts at the new origins, each with the weights known there.

    Parameters
    ----------
    state
        Of the periods before; not changed.
    forecasts
        (experts, n, origins.every, horizon).
    counts
        (n, periods), the new ones, NaN where missing.
    combined
        (n, origins.pending, horizon), as returned when those were new.
    prior
        (n, origins.every, experts), weights without evidence as they were at each origin, summing to 1, towards which
        evidence is shrunk; None: equal ones.
    ridge
        Pull towards the starting weights, in units of their residual sum of squares.
    half_life
        Of the evidence, periods.

    Returns
    -------
    The new state, the combined forecasts (n, origins.every, horizon), and the weights at the new origins and the cutoff
    (n, origins.asked, buckets, experts).
    """
    state = state.copy()
    experts, series, many, horizon = forecasts.shape
    bucket = bucket_of_steps(horizon)
    if prior is None:
        prior = np.full((series, many, experts), 1 / experts)
    together = np.zeros((series, many, horizon))
    together[:, : combined.shape[1]] = combined
    known = np.zeros((series, len(origins.asked), *state.weights.shape[1:]))
    _advance(
        state.absolute,
        state.cross,
        state.weights,
        state.gram,
        state.square,
        state.mass,
        state.seen,
        state.running,
        state.clock,
        np.ascontiguousarray(forecasts),
        np.ascontiguousarray(counts),
        origins.every,
        len(origins.pending),
        bucket,
        np.bincount(bucket).astype(np.float64),
        np.ascontiguousarray(prior),
        ridge,
        2.0 ** (1.0 / half_life),
        together,
        known,
    )
    return state, together, known


@kernel
def _advance(  # noqa: PLR0913, PLR0917 - one pass over time, in one place for the compiler
    absolute: Array,
    cross: Array,
    weights: Array,
    gram: Array,
    square: Array,
    mass: Array,
    seen: Array,
    running: Array,
    clock: Array,
    forecasts: Array,
    counts: Array,
    origins: Days,
    pending: int,
    bucket: Days,
    lengths: Array,
    prior: Array,
    ridge: float,
    growth: float,
    combined: Array,
    known: Array,
) -> None:
    horizon, last = forecasts.shape[3], origins.size - 1
    for i in range(counts.shape[0]):
        together = np.ascontiguousarray(np.transpose(forecasts[:, i], (1, 2, 0)))
        oldest, at = 0, pending
        for t in range(counts.shape[1]):
            clock[i, 0] *= growth
            worth, y = clock[i, 0], counts[i, t]
            if not np.isnan(y):
                running[i, 0] += worth * y
                running[i, 1] += worth
                floor = 0.3 * running[i, 0] / running[i, 1]
                while oldest < last and t - origins[oldest] > horizon:
                    oldest += 1
                for o in range(oldest, last):
                    step = t - origins[o]
                    if step < 1:
                        break
                    b = bucket[step - 1]
                    seen[i, b] += 1.0
                    share = worth / lengths[b]
                    _learn(
                        together[o, step - 1],
                        y,
                        floor,
                        share,
                        absolute[i, b],
                        gram[i, b],
                        cross[i, b],
                        square[i],
                        mass[i],
                        b,
                    )
            while at < last and origins[at] == t:
                if clock[i, 1] % CHECKPOINT_GAP == 0:
                    _weigh(
                        absolute[i],
                        gram[i],
                        cross[i],
                        square[i],
                        mass[i],
                        seen[i] / lengths,
                        prior[i, at],
                        ridge,
                        weights[i],
                    )
                clock[i, 1] += 1.0
                known[i, at - pending] = weights[i]
                _mix(together[at], weights[i], bucket, combined[i, at])
                at += 1
        now = known[i, last - pending]
        _weigh(absolute[i], gram[i], cross[i], square[i], mass[i], seen[i] / lengths, prior[i, last], ridge, now)
        _mix(together[last], now, bucket, combined[i, last])


@kernel
def _mix(together: Array, weights: Array, bucket: Days, out: Array) -> None:
    """Weighted forecasts of one origin, in place."""
    for step in range(out.size):
        value = 0.0
        for e in range(weights.shape[1]):
            value += weights[bucket[step], e] * together[step, e]
        out[step] = value


@kernel
def _learn(  # noqa: PLR0913, PLR0917 - the sums, spread out for the compiler
    predicted: Array,
    y: float,
    floor: float,
    share: float,
    absolute: Array,
    gram: Array,
    cross: Array,
    square: Array,
    mass: Array,
    b: int,
) -> None:
    """Add one arrived target to the sums; errors count relative to the level, so that no wave drowns the rest."""
    scale = max(_agreed(predicted), floor) + 1e-6
    weight = share / (scale * np.sqrt(scale))
    for e in range(predicted.size):
        absolute[e] += share * abs(predicted[e] - y) / scale
        weighted = weight * predicted[e]
        cross[e] += weighted * y
        for f in range(e + 1):
            gram[e, f] += weighted * predicted[f]
    square[b] += weight * y * y
    mass[b] += share


@kernel
def _agreed(predicted: Array) -> float:
    """Mean of the experts without the highest and the lowest, which would set the scale of its own error; of two, of
    both.
    """
    total, lowest, highest = 0.0, np.inf, 0.0
    for value in predicted:
        total += value
        lowest, highest = min(lowest, value), max(highest, value)
    if predicted.size > 2:
        return float((total - lowest - highest) / (predicted.size - 2))
    return float(total / predicted.size)


@kernel
def _weigh(  # noqa: PLR0913, PLR0917 - the sums, spread out for the compiler
    absolute: Array,
    gram: Array,
    cross: Array,
    square: Array,
    mass: Array,
    seen: Array,
    prior: Array,
    ridge: float,
    weights: Array,
) -> None:
    """Turn the sums into weights, bucket by bucket, in place."""
    buckets = len(absolute)
    for b in range(buckets):
        if seen[b] < MINIMUM_ORIGINS:
            weights[b] = weights[b - 1] if b > 0 else prior
            continue
        a, g, c = absolute[b].copy(), gram[b].copy(), cross[b].copy()  # of g, the lower triangle
        s, m = square[b], mass[b]
        for n in (b - 1, b + 1):
            if 0 <= n < buckets:
                a += NEIGHBOUR * absolute[n]
                g += NEIGHBOUR * gram[n]
                c += NEIGHBOUR * cross[n]
                s += NEIGHBOUR * square[n]
                m += NEIGHBOUR * mass[n]
        start = prior * (a / m + 1e-9) ** -POWER
        start /= start.sum()
        shrink = max(0.2, 1.0 / (1.0 + seen[b] / 12.0))
        start = (1 - shrink) * start + shrink * prior
        rss = max(s - 2 * (c * start).sum() + quadratic(g, start), 0.0)
        weights[b] = least_squares(g, c, start, ridge * rss + 1e-9 * np.trace(g) + 1e-12)
