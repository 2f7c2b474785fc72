"""Weights of the experts, per series and step bucket, learnt from rolling-origin forecasts before the cutoff.

Running sums over the targets that have arrived hold all that the weights need: discounted absolute errors and
the Gram matrix of the experts' forecasts. The weights are the least-squares combination on the simplex, held
near inverse-error weights, which are held near the prior while there is little evidence: Bates and Granger,
The combination of forecasts (1969); Diebold and Pauly, The use of prior information in forecast combination
(1990), for the shrinkage.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

BUCKETS: tuple[tuple[int, int], ...] = ((1, 1), (2, 3), (4, 7), (8, 14), (15, 28), (29, 56))
"""First and last step of each bucket."""
ORIGIN_GAP = 5
"""Periods between rolling origins; no divisor of a week, so that step 1 meets every weekday."""
CHECKPOINT_GAP = 6
"""Origins between two looks at the weights: each origin is combined by weights that it could have known."""
FIRST_ORIGIN = 14
"""Periods of history before the first rolling origin."""
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


def bucket_of_steps(horizon: int) -> Days:
    """Index into BUCKETS of steps 1..horizon, shape (horizon,)."""
    return np.array([next(b for b, (_, last) in enumerate(BUCKETS) if step <= last) for step in range(1, horizon + 1)])


def rolling_origins(start_day: int, periods: int, *, most: int = 240) -> Days:
    """Indices of the rolling origins before the cutoff, then the cutoff itself (periods - 1).

    `start_day` numbers the first period absolutely, so that a longer history keeps its origins.
    """
    index = np.arange(FIRST_ORIGIN, periods - 1)
    chosen = index[(index + start_day) % ORIGIN_GAP == 0][-most:]
    return np.append(chosen, periods - 1).astype(np.int64)


def combine(
    forecasts: Array,
    counts: Array,
    origins: Days,
    bucket: Days,
    lengths: Array,
    *,
    prior: Array | None = None,
    ridge: float = RIDGE,
    half_life: float = HALF_LIFE,
) -> tuple[Array, Array]:
    """Combine the experts of one series at every origin, each with the weights known there.

    Parameters
    ----------
    forecasts
        (experts, origins, horizon).
    counts
        (periods,), NaN where missing; the last one is the cutoff.
    origins
        As from `rolling_origins`.
    bucket, lengths
        Of `bucket_of_steps`, and the number of steps in each bucket.
    prior
        (experts,), weights without evidence, summing to 1, towards which evidence is shrunk; None: equal ones.
    ridge
        Pull towards the starting weights, in units of their residual sum of squares.
    half_life
        Of the evidence, periods.

    Returns
    -------
    Combined forecasts (origins, horizon) and the weights at the cutoff (buckets, experts).
    """
    weights = np.zeros((len(lengths), len(forecasts)))
    weights[:] = 1 / len(forecasts) if prior is None else prior
    combined = np.zeros(forecasts.shape[1:])
    _combine(np.ascontiguousarray(forecasts), counts, origins, bucket, lengths, ridge, half_life, weights, combined)
    return combined, weights


@kernel
def _combine(  # noqa: PLR0913, PLR0917 - one pass over time, in one place for the compiler
    forecasts: Array,
    counts: Array,
    origins: Days,
    bucket: Days,
    lengths: Array,
    ridge: float,
    half_life: float,
    weights: Array,
    combined: Array,
) -> None:
    """Fill `combined` and update `weights`, which come as the prior."""
    experts, many, horizon = forecasts.shape
    buckets = lengths.size
    together = np.ascontiguousarray(np.transpose(forecasts, (1, 2, 0)))
    growth = 2.0 ** (1.0 / half_life)  # newer evidence grows instead of all older fading: only ratios matter
    worth = 1.0
    absolute = np.zeros((buckets, experts))
    gram = np.zeros((buckets, experts, experts))
    cross = np.zeros((buckets, experts))
    square = np.zeros(buckets)
    mass = np.zeros(buckets)
    seen = np.zeros(buckets)
    prior = weights[0].copy()
    running, running_mass = 0.0, 0.0
    oldest, at = 0, 0
    for t in range(counts.size):
        worth *= growth
        y = counts[t]
        if not np.isnan(y):
            running += worth * y
            running_mass += worth
            while oldest < many and t - origins[oldest] > horizon:
                oldest += 1
            for o in range(oldest, many):
                step = t - origins[o]
                if step < 1:
                    break
                b = bucket[step - 1]
                seen[b] += 1.0
                _learn(
                    together[o, step - 1],
                    y,
                    0.3 * running / running_mass,
                    worth / lengths[b],
                    absolute[b],
                    gram[b],
                    cross[b],
                    square,
                    mass,
                    b,
                )
        while at < many and origins[at] == t:
            if at % CHECKPOINT_GAP == 0 or at == many - 1:
                _weigh(absolute, gram, cross, square, mass, seen / lengths, prior, ridge, weights)
            for step in range(horizon):
                value = 0.0
                for e in range(experts):
                    value += weights[bucket[step], e] * together[at, step, e]
                combined[at, step] = value
            at += 1


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
    total = 0.0
    for e in range(predicted.size):
        total += predicted[e]
    scale = max(total / predicted.size, floor) + 1e-6
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
        rss = max(s - 2 * (c * start).sum() + _quadratic(g, start), 0.0)
        weights[b] = _least_squares(g, c, start, ridge * rss + 1e-9 * np.trace(g) + 1e-12)


@kernel
def _quadratic(gram: Array, vector: Array) -> float:
    """v'Gv of a symmetric matrix of which the lower triangle is filled."""
    total = 0.0
    for i in range(vector.size):
        total += vector[i] * gram[i, i] * vector[i]
        for j in range(i):
            total += 2 * vector[i] * gram[i, j] * vector[j]
    return total


@kernel
def _least_squares(gram: Array, cross: Array, start: Array, ridge: float) -> Array:
    """Minimise w'Gw - 2c'w + ridge |w - start|^2 on the simplex by dropping the most negative weight in turn."""
    experts = start.size
    active = np.ones(experts, dtype=np.bool_)
    weights = np.empty(experts)
    while True:
        _on_the_plane(gram, cross, start, ridge, active, weights)
        worst = np.argmin(weights)
        if weights[worst] >= 0.0:
            return np.asarray(weights / weights.sum())
        active[worst] = False


@kernel
def _on_the_plane(
    gram: Array, cross: Array, start: Array, ridge: float, active: npt.NDArray[np.bool_], weights: Array
) -> None:
    """Solve for the active weights with sum 1, in place; the system is positive definite thanks to the ridge."""
    experts = start.size
    lower = np.zeros((experts, experts))
    free, unit = np.zeros(experts), np.zeros(experts)
    for i in range(experts):
        if not active[i]:
            continue
        for j in range(i + 1):
            if active[j]:
                value = gram[i, j] + (ridge if i == j else 0.0)
                for k in range(j):
                    value -= lower[i, k] * lower[j, k]
                lower[i, j] = np.sqrt(max(value, 1e-300)) if i == j else value / lower[j, j]
        free[i], unit[i] = cross[i] + ridge * start[i], 1.0
        for k in range(i):
            free[i] -= lower[i, k] * free[k]
            unit[i] -= lower[i, k] * unit[k]
        free[i] /= lower[i, i]
        unit[i] /= lower[i, i]
    for i in range(experts - 1, -1, -1):
        if active[i]:
            for k in range(i + 1, experts):
                free[i] -= lower[k, i] * free[k]
                unit[i] -= lower[k, i] * unit[k]
            free[i] /= lower[i, i]
            unit[i] /= lower[i, i]
    multiplier = (1.0 - free.sum()) / unit.sum()
    for i in range(experts):
        weights[i] = free[i] + multiplier * unit[i] if active[i] else 0.0
