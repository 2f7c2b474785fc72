"""Forecasts from the smoothed states of one series: by the best points of the grid, with trends followed so far."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from models.recursion import SETTLED

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

BEST = 3
"""Number of grid points averaged."""
CAUTION = 4
"""Until SETTLED periods were seen, a trend is followed less at every step, by this power of seasons since the first."""


@kernel
def extrapolate(  # noqa: PLR0913, PLR0917 - one series, for the compiler
    level: Array,
    trend: Array,
    season: Array,
    loss: Array,
    grid: Array,
    types: Days,
    t: int,
    seen: float,
    cap: float,
    out: Array,
) -> None:
    """Average the forecasts of the BEST points of the grid, step by step: the points run side by side.

    A trend of the second and third week may be two counts that came by chance: each step follows it less far.
    """
    length = season.shape[0]
    followed = 1.0
    if length > 1 and seen < SETTLED:
        followed = max(1.0 - (length / max(seen - length, 1.0)) ** CAUTION, 0.0)
    best = _smallest(loss, min(BEST, loss.size))
    where, slope, phi = level[best], trend[best], grid[best, 3]
    profile = np.empty((length, best.size))
    for k in range(length):
        for p in range(best.size):
            profile[k, p] = season[k, best[p]]
    share = 1.0 / best.size
    for h in range(out.size):
        kind = min(types[t + 1 + h], length - 1) if length > 1 else 0
        total = 0.0
        for p in range(best.size):
            slope[p] *= phi[p] * followed
            where[p] += slope[p]
            total += min(where[p] + profile[kind, p], cap)
        out[h] = total * share


@kernel
def _smallest(values: Array, many: int) -> Days:
    """Indices of the `many` smallest values, ascending; far cheaper than sorting them all."""
    chosen = np.empty(many, dtype=np.int64)
    held = 0
    for p in range(values.size):
        if held < many or values[p] < values[chosen[held - 1]]:
            place = held if held < many else many - 1
            while place > 0 and values[chosen[place - 1]] > values[p]:
                chosen[place] = chosen[place - 1]
                place -= 1
            chosen[place] = p
            held = min(held + 1, many)
    return chosen
