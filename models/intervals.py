"""Count quantiles whose spread is learnt from rolling-origin errors, per series and step bucket.

The variance of a count of mean mu is taken as phi mu + psi mu^2: noise and bursts (phi), errors of the level
(psi). Both come from squared rolling-origin errors. What is left is measured as a scale on the normal scores of
the actuals: the central scale on recent errors, the two outer ones on all of them, since tails are rare. Small
means take the negative binomial, larger ones the gamma of the same mean and variance by the cube root of Wilson
and Hilferty (The distribution of chi-square, 1931); both are read between the integers, so that the coverage of
counts is not inflated by their steps.
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

HALF_LIFE = 90.0
"""Half-life of the errors behind phi, psi and the central scale, periods."""
NEIGHBOUR = 0.3
"""What the errors of the buckets beside a bucket count."""
OUTLIER = 5.0
"""Squared errors beyond this multiple of a rough variance are cut to it; the scales see them whole."""
MINIMUM_ORIGINS = 6
PHI, PSI, PSEUDO = 1.2, 0.03, 8.0
"""Where phi and psi start, and the number of origins that this start is worth."""
UNKNOWN = (1.5, 0.05, 1.0, 1.0, 1.0)
"""Spread with fewer than MINIMUM_ORIGINS origins."""
SMALL_MEAN = 3.0
"""Below it the normal scores of counts say little, and teach the scales nothing."""
LARGE_MEAN = 30.0
"""From here on the gamma stands for the negative binomial."""
SCALE_SHRINK = 20.0
"""Origins' worth of a scale of 1 that is mixed in."""
FINITE_SAMPLE = 0.3
"""Outer probabilities rise by this share of 1 / (independent windows), in the spirit of conformal prediction."""
BINS, TOP = 400, 8.0
"""Histogram of normal scores: bins on either side of 0, and the largest score told apart."""
SCORES = np.array([NormalDist().inv_cdf(q) for q in QUANTILES])
CENTRAL, OUTER = float(SCORES[-2]), float(SCORES[-1])


@kernel
def learn_spread(combined: Array, counts: Array, origins: Days, bucket: Days, lengths: Array) -> Array:
    """Learn the spread of one series around its rolling-origin forecasts.

    Parameters
    ----------
    combined
        (origins, horizon), each made with what was known at its origin.
    counts, origins, bucket, lengths
        As in `combination.combine`.

    Returns
    -------
    (buckets, 5): phi, psi, central scale, lower and upper outer scale.
    """
    buckets = lengths.size
    spread = np.empty((buckets, 5))
    sums, seen, large = _moments(combined, counts, origins, bucket, lengths)
    for b in range(buckets):
        spread[b] = np.array(UNKNOWN)
        if seen[b] >= MINIMUM_ORIGINS:
            pooled = sums[b].copy()
            for n in (b - 1, b + 1):
                if 0 <= n < buckets:
                    pooled += NEIGHBOUR * sums[n]
            spread[b, 0], spread[b, 1] = _solve(pooled, seen[b])
    recent, ever = _histograms(combined, counts, origins, bucket, lengths, spread)
    first = 1
    for b in range(buckets):
        if seen[b] >= MINIMUM_ORIGINS and large[b] > 0:
            near, far = recent[b].copy(), ever[b].copy()
            for n in (b - 1, b + 1):
                if 0 <= n < buckets:
                    near += NEIGHBOUR * recent[n]
                    far += NEIGHBOUR * ever[n]
            windows = max(8.0, counts.size / (6.0 + first))
            spread[b, 2:] = _scales(near, far, windows, large[b] / (large[b] + SCALE_SHRINK))
        first += int(lengths[b])
    return spread


@kernel
def _moments(combined: Array, counts: Array, origins: Days, bucket: Days, lengths: Array) -> tuple[Array, Array, Array]:
    """Discounted sums behind phi and psi, the origins of each bucket, and those with a mean that scales learn from."""
    faded = 0.5 ** (np.arange(counts.size - 1, -1, -1) / HALF_LIFE)
    sums = np.zeros((lengths.size, 7))
    seen = np.zeros(lengths.size)
    large = np.zeros(lengths.size)
    for o in range(origins.size):
        for step in range(1, min(combined.shape[1], counts.size - 1 - origins[o]) + 1):
            t = origins[o] + step
            if np.isnan(counts[t]):
                continue
            b = bucket[step - 1]
            mean = max(combined[o, step - 1], 1e-6)
            weight = faded[t] / lengths[b]
            squared = min((counts[t] - mean) ** 2, OUTLIER * (mean + 0.1 * mean * mean))
            rough = mean + PSI * mean * mean
            per = weight * mean / (rough * rough)
            sums[b, 0] += weight
            sums[b, 1] += weight * mean
            sums[b, 2] += per * mean
            sums[b, 3] += per * mean * mean
            sums[b, 4] += per * mean * mean * mean
            sums[b, 5] += per * squared
            sums[b, 6] += per * mean * squared
            seen[b] += 1.0 / lengths[b]
            if mean >= SMALL_MEAN:
                large[b] += 1.0 / lengths[b]
    return sums, seen, large


@kernel
def _solve(sums: Array, origins: float) -> tuple[float, float]:
    """Weighted least squares of squared errors on (mu, mu^2), phi >= 1, psi >= 0, near the prior."""
    scale = origins / sums[0]
    mean = sums[1] / sums[0]
    prior = PSEUDO / (mean + PSI * mean * mean) ** 2
    a11 = scale * sums[2] + prior * mean**2
    a12 = scale * sums[3]
    a22 = scale * sums[4] + prior * mean**4
    b1 = scale * sums[5] + prior * mean * PHI * mean
    b2 = scale * sums[6] + prior * mean**2 * PSI * mean**2
    determinant = a11 * a22 - a12 * a12
    phi, psi = (b1 * a22 - b2 * a12) / determinant, (b2 * a11 - b1 * a12) / determinant
    if psi < 0:
        phi, psi = b1 / a11, 0.0
    if phi < 1:
        phi, psi = 1.0, max((b2 - a12) / a22, 0.0)
    return phi, psi


@kernel
def _histograms(
    combined: Array, counts: Array, origins: Days, bucket: Days, lengths: Array, spread: Array
) -> tuple[Array, Array]:
    """Histograms of the actuals' normal scores per bucket, (buckets, 2 BINS): recent, and of all time."""
    faded = 0.5 ** (np.arange(counts.size - 1, -1, -1) / HALF_LIFE)
    recent = np.zeros((lengths.size, 2 * BINS))
    ever = np.zeros((lengths.size, 2 * BINS))
    for o in range(origins.size):
        for step in range(1, min(combined.shape[1], counts.size - 1 - origins[o]) + 1):
            t = origins[o] + step
            mean = combined[o, step - 1]
            if np.isnan(counts[t]) or mean < SMALL_MEAN:
                continue
            b = bucket[step - 1]
            shape = mean / (spread[b, 0] + spread[b, 1] * mean)
            score = 3 * np.sqrt(shape) * (np.cbrt(counts[t] / mean) - 1 + 1 / (9 * shape))
            cell = int(min(max((score + TOP) / TOP * BINS, 0.0), 2.0 * BINS - 1))
            recent[b, cell] += faded[t] / lengths[b]
            ever[b, cell] += 1.0 / lengths[b]
    return recent, ever


@kernel
def _scales(recent: Array, ever: Array, windows: float, trust: float) -> Array:
    """Central, lower and upper outer scale: measured over nominal scores, shrunk to 1, the outer ones to each other."""
    raised = min(0.95 * (1 + FINITE_SAMPLE / windows), 0.999)
    tail = min(0.975 * (1 + FINITE_SAMPLE / 2 / windows), 0.999)
    central = 1 + trust * (_quantile(_folded(recent), 0.8) / CENTRAL - 1)
    outer = 1 + trust * (_quantile(_folded(ever), raised) / OUTER - 1)
    outer = min(max(outer, 0.5), 2.0)
    lower = outer + trust * (
        _quantile(ever[BINS - 1 :: -1], 1 - (1 - tail) / max(_share(ever, True), 1e-9)) / OUTER - outer
    )
    upper = outer + trust * (_quantile(ever[BINS:], 1 - (1 - tail) / max(_share(ever, False), 1e-9)) / OUTER - outer)
    central = min(max(central, 0.5), 2.0)
    return np.array([central, max(min(lower, 2.5), 0.6), max(min(upper, 2.5), 0.6)])


@kernel
def _folded(histogram: Array) -> Array:
    return histogram[BINS:] + histogram[BINS - 1 :: -1]


@kernel
def _share(histogram: Array, below: bool) -> float:
    part = histogram[:BINS].sum()
    return float((part if below else histogram[BINS:].sum()) / histogram.sum())


@kernel
def _quantile(histogram: Array, probability: float) -> float:
    """Quantile of a histogram that starts at score 0; 0 when the probability is not positive."""
    wanted = probability * histogram.sum()
    total = 0.0
    for cell in range(histogram.size):
        if total + histogram[cell] >= wanted and histogram[cell] > 0:
            return float((cell + max(wanted - total, 0.0) / histogram[cell]) * TOP / BINS)
        total += histogram[cell]
    return TOP


@kernel
def count_quantiles(mean: Array, bucket: Days, spread: Array, scores: Array) -> Array:
    """Quantiles of one series, (horizon, len(scores)), >= 0 and ascending, around `mean` (horizon,).

    `spread` is from `learn_spread`; `scores` are the normal scores of the probabilities, the first and last
    of them the outer pair.
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
