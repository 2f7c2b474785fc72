"""Lasting changes of a level, told apart from noise and from spikes of a few periods.

Two cumulative sums of standardised errors, one a direction, each a DRIFT a period short: Page, Continuous inspection
schemes, Biometrika 41 (1954), pp. 100-115. A sum that passes ALARM says that the level has changed, and that it did so
when the sum was last zero: what came since then is the level's new past.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

Array = npt.NDArray[np.float64]

DRIFT = 2.0
"""Deviations a period that are taken for noise: real counts wander, and a wandering level is no change."""
LARGEST = 6.0
"""No period says more than so many deviations."""
ALARM = 12.0
"""Three periods, however large, are a spike; the fourth makes them a change."""


@kernel
def watch(sums: Array, since: Array, error: float, kind: int, count: float) -> int:
    """Add one period; which direction has changed, as an index, or -1.

    Parameters
    ----------
    sums
        (2,), of the directions up and down; changed in place, and 0 after a change.
    since
        (2, 2, day types), counts and periods since each sum was last zero; changed in place.
    error
        Actual less expected, in standard deviations.
    kind, count
        Day type and count of the period.
    """
    bounded = min(max(error, -LARGEST), LARGEST)
    changed = -1
    for side in range(2):
        sums[side] += (bounded if side == 0 else -bounded) - DRIFT
        if sums[side] <= 0.0:
            sums[side] = 0.0
            since[side] = 0.0
        else:
            since[side, 0, kind] += count
            since[side, 1, kind] += 1.0
            if sums[side] > ALARM:
                changed = side
    if changed >= 0:
        sums[:] = 0.0
    return changed
