"""Hazards from discounted tables: the chance of an event per period, by day type and time waited.

hazard(day type, bin) = bin's hazard x day type's factor x interaction. The first two are fitted in turn, as row and
column factors of a table of rates are (Mantel and Stark, Computation of indirect-adjusted rates, 1968); the
interaction is observed over expected events, shrunk to 1. All is linear in the tables, so that a correction of a
past day is an addition.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

Array = npt.NDArray[np.float64]

ROUNDS = 6
"""Alternations between bins and day types."""
BIN_WEIGHT = 0.02
"""Entities' worth of the mean hazard in each bin."""
DAY_WEIGHT = 0.5
"""Events' worth of a factor of 1 in each day type."""
SPECIAL_WEIGHT = 2.0
"""Events' worth of the last ordinary day's factor in special days."""
CELL_WEIGHT = 8.0
"""Events' worth of an interaction of 1 in each cell of the table."""


@kernel
def hazards_from_tables(events: Array, at_risk: Array) -> Array:
    """Chance of the event by day type and bin.

    Parameters
    ----------
    events, at_risk
        (kinds, bins): discounted numbers of events, and of entities to which it could have happened. The last
        kind is the special day, which starts from the factor of the kind before it (Sunday).

    Returns
    -------
    (kinds, bins), within 0 .. 1; zero when there never was an event.
    """
    kinds, bins = events.shape
    hazards = np.zeros((kinds, bins))
    total, exposed = events.sum(), at_risk.sum()
    if total <= 0.0 or exposed <= 0.0:
        return hazards
    mean = total / exposed
    factor = np.ones(kinds)
    base = np.full(bins, mean)
    for _ in range(ROUNDS):
        for b in range(bins):
            happened, expected = BIN_WEIGHT * mean, BIN_WEIGHT
            for d in range(kinds):
                happened += events[d, b]
                expected += factor[d] * at_risk[d, b]
            base[b] = happened / expected
        for d in range(kinds):
            happened, expected = events[d].sum(), (base * at_risk[d]).sum()
            if d < kinds - 1:
                factor[d] = (happened + DAY_WEIGHT) / (expected + DAY_WEIGHT)
            else:
                factor[d] = (happened + SPECIAL_WEIGHT * factor[d - 1]) / (expected + SPECIAL_WEIGHT)
    for d in range(kinds):
        for b in range(bins):
            hazard = base[b] * factor[d]
            expected = hazard * at_risk[d, b]
            hazards[d, b] = min(hazard * (events[d, b] + CELL_WEIGHT) / (expected + CELL_WEIGHT), 1.0)
    return hazards
