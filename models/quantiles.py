"""Quantiles of a count from its mean and spread, see `models.intervals` for where the spread comes from.

Small means take the negative binomial, larger ones the gamma of the same mean and variance by the cube root of Wilson
and Hilferty (The distribution of chi-square, 1931); both are read between the integers, so that they can be scaled and
mixed, and the coverage of counts is not inflated by their steps. What is served is `settled` on whole numbers.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from models.forecast import QUANTILES
from models.kernel import kernel

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

LARGE_MEAN = 30.0
"""From here on the gamma stands for the negative binomial."""
LEAST_OVER = 1e-6
"""With less over the variance of a Poisson, relative to the mean, it is one."""
FARTHEST = 100.0
"""Steps of a small mean's distribution that are told apart."""
SCORES = np.array([NormalDist().inv_cdf(q) for q in QUANTILES])
"""Normal scores of the probabilities."""
BOUNDS = 2
"""So many of the lowest and of the highest quantiles bound the intervals that are measured: 95 and 80 percent."""


@kernel
def count_quantiles(mean: Array, bucket: Days, spread: Array, scores: Array) -> Array:
    """Quantiles of one series, (horizon, len(scores)), >= 0 and ascending, around `mean` (horizon,).

    `spread` is of one series, (buckets, 5), see `advance`; `scores` are the normal scores of the probabilities, the
    first and last of them the outer pair.
    """
    out = np.zeros((mean.size, scores.size))
    for h in range(mean.size):
        phi, psi, central, lower, upper = spread[bucket[h]]
        mu = mean[h]
        if mu < 1e-9:
            continue
        scaled = scores * central
        scaled[0] = scores[0] * lower
        scaled[-1] = scores[-1] * upper
        if mu < LARGE_MEAN:
            _negative_binomial(mu, phi * mu + psi * mu * mu, scaled, out[h])
        else:
            shape = mu / (phi + psi * mu)
            for j in range(scores.size):
                root = 1 - 1 / (9 * shape) + scaled[j] / (3 * np.sqrt(shape))
                out[h, j] = mu * max(root, 0.0) ** 3
        for j in range(1, scores.size):
            out[h, j] = max(out[h, j], out[h, j - 1])
    return out


@kernel
def _negative_binomial(mean: float, variance: float, scores: Array, out: Array) -> None:
    """Quantiles of the negative binomial, linear between the middles of the steps of its distribution."""
    size = mean * mean / max(variance - mean, 1e-6 * mean)
    odds = mean / (size + mean)
    mass = np.exp(-size * np.log1p(mean / size))
    below, before, count = 0.0, 0.0, 0
    middle = 0.5 * mass
    for j in range(scores.size):
        wanted = 0.5 * (1 + math.erf(scores[j] / math.sqrt(2.0)))
        while middle < wanted and count < 10_000:
            below += mass
            mass *= (count + size) / (count + 1) * odds
            before, middle = middle, below + 0.5 * mass
            count += 1
        out[j] = max(count - (middle - wanted) / max(middle - before, 1e-300), 0.0)


@kernel
def settle(mean: float, quantiles: Array) -> None:
    """Settle the quantiles of a count, (probabilities,), in place on whole numbers, as far as their coverage allows.

    Between the middles of the steps at k and at k + 1 lies the jump from one to the other, at the share p(k) /
    (p(k) + p(k + 1)) of the way, by a Poisson distribution of that mean. A quantile before it costs least at k, one
    after it at k + 1: the smaller the mean, the more a quantile between costs. Those between the bounds go where they
    belong, and are the least count whose distribution function reaches the probability. The bounds, the first and
    last BOUNDS, go where they belong unless their interval would hold a count more: it holds those that it held.
    """
    last = quantiles.size - 1
    low, high = quantiles[BOUNDS - 1], quantiles[-BOUNDS]
    for j in range(quantiles.size):
        below = np.floor(quantiles[j])
        above = (quantiles[j] - below) * (below + 1 + mean) > below + 1
        if above and j <= last - BOUNDS:
            quantiles[j] = below + 1
        elif not above and j >= BOUNDS:
            quantiles[j] = below
    if quantiles[BOUNDS - 1] > quantiles[-BOUNDS]:  # no count lies between them
        quantiles[BOUNDS - 1], quantiles[-BOUNDS] = low, high
    for j in range(BOUNDS - 1):
        quantiles[j] = min(quantiles[j], quantiles[BOUNDS - 1])
        quantiles[last - j] = max(quantiles[last - j], quantiles[-BOUNDS])
    for j in range(BOUNDS, quantiles.size - BOUNDS):
        quantiles[j] = min(max(quantiles[j], quantiles[BOUNDS - 1]), quantiles[-BOUNDS])


def are_whole(counts: Array) -> npt.NDArray[np.bool_]:
    """Whether all that was observed of each series, (n, periods), are whole numbers."""
    return np.asarray((np.isnan(counts) | (counts == np.floor(counts))).all(axis=1))


@kernel
def settled(mean: Array, quantiles: Array) -> Array:
    """The quantiles of n series, (n, horizon, probabilities), each settled at its mean, (n, horizon)."""
    out = quantiles.copy()
    for i in range(mean.shape[0]):
        for h in range(mean.shape[1]):
            settle(mean[i, h], out[i, h])
    return out


@kernel
def count_probability(mean: float, phi: float, psi: float, position: float) -> tuple[float, float]:
    """Probability of what lies below a position, where a count k takes the step from k to k + 1; and of any event.

    By the negative binomial of variance phi mean + psi mean^2, with phi >= 1.
    """
    over = phi - 1 + psi * mean
    mass = math.exp(-mean * math.log1p(over) / over) if over > LEAST_OVER else math.exp(-mean)
    below, told = 0.0, 1 - mass
    position = min(position, FARTHEST)
    count = int(position)
    for k in range(count):
        below += mass
        mass *= (mean + k * over) / ((k + 1) * (1 + over))
    return below + (position - count) * mass, told
