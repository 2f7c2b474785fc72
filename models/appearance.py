"""When a segment appeared: what it was before then is not zero, it was not there.

A shop that opens, a product, a channel: on the days before, the funnel was open and nothing of the segment could come.
As zeros they would be its level, its weekdays and its noise for months.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CHANCE = 1e-3
"""A silence before the first period with a count that is less likely than this by chance is no silence."""
LEAST_TOLD = 3
"""Periods with a count, without which nothing is said."""


def periods_absent(counts: Array) -> Ints:
    """How many of the first periods are before each segment appeared, (segments,); 0 where it may always have been.

    Periods with a count that lie anywhere alike all lie after a share s of the observed ones with the probability (1 -
    s)^n: counts of one period are one witness, since they may come together.

    Parameters
    ----------
    counts
        (segments, stages, periods), NaN where not observed.
    """
    observed = np.isfinite(counts).any(axis=1)
    told = (np.nan_to_num(counts) > 0).any(axis=1)
    many, first = told.sum(axis=1), told.argmax(axis=1)
    before = (observed & (np.arange(counts.shape[2]) < first[:, None])).sum(axis=1)
    chance = (1 - before / np.maximum(observed.sum(axis=1), 1)) ** many
    return np.where((many >= LEAST_TOLD) & (chance < CHANCE), first, 0)


def hidden(values: Array, absent: Ints) -> Array:
    """The same, (segments, stages, periods), NaN before each segment appeared; not copied where none did."""
    if not absent.any():
        return values
    periods = np.arange(values.shape[2])
    return np.where(periods < absent[:, None, None], np.nan, values)
