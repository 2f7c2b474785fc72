"""Count quantiles whose spread is learnt from rolling-origin errors, per series and step bucket.

The variance of a count of mean mu is taken as phi mu + psi mu^2: noise and bursts (phi), errors of the level
(psi). Both come from squared rolling-origin errors. What is left is measured as a scale on the normal scores of
the actuals: the central scale on recent errors, the two outer ones on those of a year, since tails are rare. A count
is a step of its distribution; its score is read at a place within, as if drawn (randomized quantile residuals: Dunn
and Smyth, 1996), so that scores are normal for small means too where the forecast holds.
`models.quantiles` makes quantiles of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from models.origins import Origins, bucket_of_steps
from models.quantiles import SCORES, count_probability

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

HALF_LIFE = 60.0
"""Half-life of the errors behind phi, psi and the central scale, periods."""
OUTER_HALF_LIFE = 365.0
"""Half-life of the errors behind the outer scales, periods."""
NEIGHBOUR = 0.3
"""What the errors of the buckets beside a bucket count."""
OUTLIER = 5.0
"""Squared errors beyond this multiple of a rough variance are cut to it; the scales see them whole."""
MINIMUM_ORIGINS = 6
PHI, PSI, PSEUDO = 1.2, 0.02, 50.0
"""Where phi and psi start, and the number of origins that this start is worth."""
MOST_PRIOR = 2.0
"""The start of psi is at most so many times the mean squared relative error: large counts can be known to a percent."""
UNKNOWN = (1.5, 0.05, 1.0, 1.0, 1.0)
"""Spread with fewer than MINIMUM_ORIGINS origins."""
SMALL_MEAN = 10.0
"""Below it scores are read from the negative binomial itself; the gamma has no lower tail like it there."""
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
"""Places within the steps are multiples of it, modulo 1: as even as they can be, and the same in every run."""
SCALE_SHRINK = 20.0
"""Origins' worth of a scale of 1 that is mixed in."""
FIRST_EDGE, LAST_EDGE, BINS = 0.6, 5.4, 46
"""Histograms of the size of normal scores: the first bin ends at FIRST_EDGE, the last begins at LAST_EDGE, and those
between are equal on the scale of square roots. The scales are clipped to what lies between, and nothing is kept of a
score but its bin."""
FIRST_ROOT = math.sqrt(FIRST_EDGE)
ROOT_BINS = (BINS - 2) / (math.sqrt(LAST_EDGE) - FIRST_ROOT)
HALVES = np.array([0.5 * math.erf((FIRST_ROOT + k / ROOT_BINS) ** 2 / math.sqrt(2.0)) for k in range(BINS - 1)])
"""Probability of a normal score between 0 and each edge."""
CENTRAL, OUTER = float(SCORES[-2]), float(SCORES[-1])


@dataclass(frozen=True, slots=True, eq=False)
class IntervalState:
    """Running sums of n series by bucket (b); newer errors grow in worth instead of all older fading.

    sums: (n, b, 7), behind phi and psi. basis: (n, b, 2), phi and psi as of the last origin, by which arriving actuals
    are scored. seen: (n, b), origins. recent, below, above: (n, b, BINS), histograms of the size of the scores, which
    count by the probability of any event: discounted by HALF_LIFE, and by OUTER_HALF_LIFE on either side of 0. clock:
    (n, 2), worth of the last period to the former, and periods.
    """

    sums: Array
    basis: Array
    seen: Array
    recent: Array
    below: Array
    above: Array
    clock: Array

    def copy(self) -> IntervalState:
        """Own arrays, so that an append leaves the original as it was."""
        return replace(self, **{field.name: getattr(self, field.name).copy() for field in fields(self)})


def make_state(series: int, *, horizon: int) -> IntervalState:
    """Return the state before the first period."""
    flat = (series, len(np.unique(bucket_of_steps(horizon))))
    return IntervalState(
        sums=np.zeros((*flat, 7)),
        basis=np.tile([PHI, PSI], (*flat, 1)),
        seen=np.zeros(flat),
        recent=np.zeros((*flat, BINS)),
        below=np.zeros((*flat, BINS)),
        above=np.zeros((*flat, BINS)),
        clock=np.tile([1.0, 0.0], (series, 1)),
    )


def advance(
    state: IntervalState, mean: Array, counts: Array, *, origins: Origins, wanted: npt.NDArray[np.bool_]
) -> tuple[IntervalState, Array]:
    """Run new counts through the sums and tell the spread at the cutoff, and at the new origins that are wanted.

    Parameters
    ----------
    state
        Of the periods before; not changed.
    mean
        (n, origins.every, horizon), each made with what was known at its origin.
    counts
        (n, periods), the new ones, NaN where missing.
    wanted
        (origins.every,), where the spread is asked for.

    Returns
    -------
    The new state and the spread, (n, origins.every, buckets, 5): phi, psi, central scale, lower and upper outer
    scale; zeros where it was not asked for.
    """
    state = state.copy()
    bucket = bucket_of_steps(mean.shape[2])
    spread = np.zeros((*mean.shape[:2], state.seen.shape[1], 5))
    _advance(
        state.sums,
        state.basis,
        state.seen,
        state.recent,
        state.below,
        state.above,
        state.clock,
        np.ascontiguousarray(mean),
        np.ascontiguousarray(counts),
        origins.every,
        len(origins.pending),
        bucket,
        np.bincount(bucket).astype(np.float64),
        wanted,
        spread,
    )
    return state, spread


@kernel
def _advance(  # noqa: C901, PLR0912, PLR0913, PLR0917 - one pass over time, in one place for the compiler
    sums: Array,
    basis: Array,
    seen: Array,
    recent: Array,
    below: Array,
    above: Array,
    clock: Array,
    mean: Array,
    counts: Array,
    origins: Days,
    pending: int,
    bucket: Days,
    lengths: Array,
    wanted: npt.NDArray[np.bool_],
    spread: Array,
) -> None:
    growth, last, horizon = 2.0 ** (1.0 / HALF_LIFE), origins.size - 1, mean.shape[2]
    for i in range(counts.shape[0]):
        own = sums[i]
        oldest, at = 0, pending
        for t in range(counts.shape[1]):
            clock[i, 0] *= growth
            clock[i, 1] += 1.0
            outer_worth = 2.0 ** (clock[i, 1] / OUTER_HALF_LIFE)
            y = counts[i, t]
            position = y + GOLDEN * clock[i, 1] % 1.0
            root = np.cbrt(max(position - 0.5, 0.0))
            while oldest < last and t - origins[oldest] > horizon:
                oldest += 1
            for o in range(oldest, last):
                step = t - origins[o]
                if step < 1 or np.isnan(y):
                    break
                b = bucket[step - 1]
                share = 1.0 / lengths[b]
                worth = clock[i, 0] * share
                expected = max(mean[i, o, step - 1], 1e-6)
                if expected < SMALL_MEAN:
                    size, told = count_probability(expected, basis[i, b, 0], basis[i, b, 1], position)
                    size -= 0.5
                    cell = int(np.searchsorted(HALVES, abs(size)))
                else:
                    size, told = _score(expected, root, basis[i, b, 0], basis[i, b, 1]), 1.0
                    cell = _bin(abs(size))
                recent[i, b, cell] += told * worth
                if size < 0:
                    below[i, b, cell] += told * outer_worth * share
                else:
                    above[i, b, cell] += told * outer_worth * share
                _learn(own, b, expected, y, worth)
                seen[i, b] += share
            while at < last and origins[at] == t:
                for b in range(lengths.size):
                    if seen[i, b] > 0:
                        basis[i, b, 0], basis[i, b, 1] = _solve(_pooled(sums[i], b), seen[i, b])
                if wanted[at]:
                    _tell(sums[i], seen[i], recent[i], below[i], above[i], outer_worth, spread[i, at])
                at += 1
        if wanted[last]:
            outer_worth = 2.0 ** (clock[i, 1] / OUTER_HALF_LIFE)
            _tell(sums[i], seen[i], recent[i], below[i], above[i], outer_worth, spread[i, last])


@kernel
def _tell(
    sums: Array,
    seen: Array,
    recent: Array,
    below: Array,
    above: Array,
    outer_worth: float,
    spread: Array,
) -> None:
    """Spread by bucket from the sums, in place."""
    for b in range(seen.size):
        spread[b] = np.array(UNKNOWN)
        if seen[b] >= MINIMUM_ORIGINS:
            spread[b, 0], spread[b, 1] = _solve(_pooled(sums, b), seen[b])
            told = (below[b].sum() + above[b].sum()) / outer_worth
            if told > 0:
                trust = told / (told + SCALE_SHRINK)
                spread[b, 2:] = _scales(_pooled(recent, b), _pooled(below, b), _pooled(above, b), trust)


@kernel
def _pooled(sums: Array, b: int) -> Array:
    """Sums of a bucket, with some of its neighbours'."""
    pooled = sums[b].copy()
    for n in (b - 1, b + 1):
        if 0 <= n < len(sums):
            pooled += NEIGHBOUR * sums[n]
    return np.asarray(pooled)


@kernel
def _learn(sums: Array, b: int, mean: float, count: float, weight: float) -> None:
    """Add one arrived target to the sums behind phi and psi."""
    error = count - mean
    squared = min(error * error, OUTLIER * (mean + 0.1 * mean * mean))
    rough = 1.0 + PSI * mean
    first = weight / (rough * rough)  # the weight of mu^2, over mu
    second = first * mean
    sums[b, 0] += weight
    sums[b, 1] += weight * mean
    sums[b, 2] += first
    sums[b, 3] += second
    sums[b, 4] += second * mean
    sums[b, 5] += first / mean * squared
    sums[b, 6] += first * squared


@kernel
def _score(mean: float, root: float, phi: float, psi: float) -> float:
    """Normal score of an actual whose cube root is given."""
    shape = mean / (phi + psi * mean)
    return float(3 * np.sqrt(shape) * (root / np.cbrt(mean) - 1 + 1 / (9 * shape)))


@kernel
def _bin(size: float) -> int:
    """Bin of a score's size; the root costs a fraction of a logarithm, and every arrived target takes one."""
    if size < FIRST_EDGE:
        return 0
    return 1 + int(min((math.sqrt(size) - FIRST_ROOT) * ROOT_BINS, BINS - 2.0))


@kernel
def _solve(sums: Array, origins: float) -> tuple[float, float]:
    """Weighted least squares of squared errors on (mu, mu^2), phi >= 1, psi >= 0, near the prior."""
    scale = origins / sums[0]
    mean = sums[1] / sums[0]
    psi_before = min(PSI, MOST_PRIOR * sums[6] / sums[4])
    prior = PSEUDO / (mean + psi_before * mean * mean) ** 2
    a11 = scale * sums[2] + prior * mean**2
    a12 = scale * sums[3]
    a22 = scale * sums[4] + prior * mean**4
    b1 = scale * sums[5] + prior * mean * PHI * mean
    b2 = scale * sums[6] + prior * mean**2 * psi_before * mean**2
    determinant = a11 * a22 - a12 * a12
    phi, psi = (b1 * a22 - b2 * a12) / determinant, (b2 * a11 - b1 * a12) / determinant
    if psi < 0:
        phi, psi = b1 / a11, 0.0
    if phi < 1:
        phi, psi = 1.0, max((b2 - a12) / a22, 0.0)
    return phi, psi


@kernel
def _scales(recent: Array, below: Array, above: Array, trust: float) -> Array:
    """Central, lower and upper outer scale: measured over nominal scores, shrunk to 1, the outer ones to each other."""
    central = 1 + trust * (_quantile(recent, 0.8) / CENTRAL - 1)
    outer = 1 + trust * (_quantile(below + above, 0.95) / OUTER - 1)
    outer = min(max(outer, 0.5), 2.0)
    total = below.sum() + above.sum()
    lower = outer + trust * (_quantile(below, 1 - 0.025 / max(below.sum() / total, 1e-9)) / OUTER - outer)
    upper = outer + trust * (_quantile(above, 1 - 0.025 / max(above.sum() / total, 1e-9)) / OUTER - outer)
    central = min(max(central, 0.5), 2.0)
    return np.array([central, max(min(lower, 2.5), 0.6), max(min(upper, 2.5), 0.6)])


@kernel
def _quantile(histogram: Array, probability: float) -> float:
    """Quantile of a histogram of sizes, linear within its bins; 0 when the probability is not positive."""
    wanted = probability * histogram.sum()
    total, low, high = 0.0, 0.0, FIRST_EDGE
    for cell in range(histogram.size):
        if total + histogram[cell] >= wanted and histogram[cell] > 0:
            return float(low + max(wanted - total, 0.0) / histogram[cell] * (high - low))
        total += histogram[cell]
        low, high = high, (FIRST_ROOT + (cell + 1) / ROOT_BINS) ** 2
    return float(low)
