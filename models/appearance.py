"""When a segment appeared: what it was before then is not zero, it was not there.

A shop that opens, a product, a channel: on the days before, the funnel was open and nothing of the segment could come.
As zeros they would be its level, its weekdays and its noise for months.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.history import History

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CHANCE = 1e-3
"""A silence before the first period with a count that is less likely than this by chance is no silence."""
LEAST_TOLD = 3
"""Periods with a count, without which nothing is said."""


def absences(history: History) -> Ints:
    """As `periods_absent`, of the total, which is never absent, and the segments: (1 + segments,)."""
    absent = np.zeros(len(history.segments) + 1, dtype=np.int64)
    if history.segments:
        absent[1:] = periods_absent(history.counts)
    return absent


def periods_absent(counts: Array) -> Ints:
    """How many of the first periods are before each segment appeared, (segments,); 0 where it may always have been.

    Periods with a count that lie anywhere alike all lie after a share s of the observed ones with the probability (1 -
    s)^n: counts of one period are one witness, since they may come together. It is asked at every period, and the
    answer stays what it was once: a verdict that comes and goes would move the forecasts with it.

    Parameters
    ----------
    counts
        (segments, stages, periods), NaN where not observed.
    """
    observed = np.isfinite(counts).any(axis=1)
    told = (np.nan_to_num(counts) > 0).any(axis=1)
    first = told.argmax(axis=1)
    before = (observed & (np.arange(counts.shape[2]) < first[:, None])).sum(axis=1, keepdims=True)
    many = told.cumsum(axis=1)
    chance = (1 - before / np.maximum(observed.cumsum(axis=1), 1)) ** many
    return np.where(((many >= LEAST_TOLD) & (chance < CHANCE)).any(axis=1), first, 0)


def hidden(values: Array, absent: Ints) -> Array:
    """The same, (segments, stages, periods), NaN before each segment appeared; not copied where none did."""
    if (absent <= 0).all():
        return values
    periods = np.arange(values.shape[2])
    return np.where(periods < absent[:, None, None], np.nan, values)
