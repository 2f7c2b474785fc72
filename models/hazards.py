"""Hazards from discounted tables: the chance of an event per period, by day type, bin of waiting time and class.

hazard = bin's hazard x day type's factor x class's factor x interactions of bin and day type, and of bin and class.
The main effects are fitted in turn, as the row and column factors of a table of rates are (Mantel and Stark,
Computation of indirect-adjusted rates, 1968); an interaction is observed over expected events, shrunk to 1. All is
linear in the tables, so that a correction of a past day is an addition.
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
"""Events' worth of a factor of 1 in each day type, and in each class."""
SPECIAL_WEIGHT = 2.0
"""Events' worth of the last ordinary day's factor in special days."""
CELL_WEIGHT = 8.0
"""Events' worth of an interaction of 1 in each cell of two factors."""


@kernel
def hazards_from_tables(events: Array, at_risk: Array) -> Array:
    """Chance of the event by class, day type and bin.

    Parameters
    ----------
    events, at_risk
        (classes, kinds, bins): discounted numbers of events, and of entities to which it could have happened. The
        last kind is the special day, which starts from the factor of the kind before it (Sunday).

    Returns
    -------
    (classes, kinds, bins), within 0 .. 1; zero when there never was an event.
    """
    classes, kinds, bins = events.shape
    hazards = np.zeros((classes, kinds, bins))
    total, exposed = events.sum(), at_risk.sum()
    if total <= 0.0 or exposed <= 0.0:
        return hazards
    day, group = np.ones(kinds), np.ones(classes)
    base = np.full(bins, total / exposed)
    for _ in range(ROUNDS):
        _fit_days(events, at_risk, base, group, day)
        if classes > 1:
            for c in range(classes):
                happened, expected = events[c].sum(), 0.0
                for d in range(kinds):
                    expected += day[d] * (base * at_risk[c, d]).sum()
                group[c] = (happened + DAY_WEIGHT) / (expected + DAY_WEIGHT)
        _fit_bins(events, at_risk, day, group, total / exposed, base)
    for c in range(classes):
        for d in range(kinds):
            hazards[c, d] = group[c] * day[d] * base
    for b in range(bins):
        for d in range(kinds):
            seen, expected = events[:, d, b].sum(), (hazards[:, d, b] * at_risk[:, d, b]).sum()
            hazards[:, d, b] *= (seen + CELL_WEIGHT) / (expected + CELL_WEIGHT)
        if classes > 1:
            for c in range(classes):
                seen, expected = events[c, :, b].sum(), (hazards[c, :, b] * at_risk[c, :, b]).sum()
                hazards[c, :, b] *= (seen + CELL_WEIGHT) / (expected + CELL_WEIGHT)
    return np.minimum(hazards, 1.0)


@kernel
def _fit_bins(events: Array, at_risk: Array, day: Array, group: Array, mean: float, base: Array) -> None:
    """Hazard of each bin given the factors, in place."""
    for b in range(base.size):
        happened, expected = BIN_WEIGHT * mean, BIN_WEIGHT
        for c in range(group.size):
            for d in range(day.size):
                happened += events[c, d, b]
                expected += group[c] * day[d] * at_risk[c, d, b]
        base[b] = happened / expected


@kernel
def _fit_days(events: Array, at_risk: Array, base: Array, group: Array, day: Array) -> None:
    """Factor of each day type given the rest, in place."""
    for d in range(day.size):
        happened, expected = 0.0, 0.0
        for c in range(group.size):
            happened += events[c, d].sum()
            expected += group[c] * (base * at_risk[c, d]).sum()
        if d < day.size - 1:
            day[d] = (happened + DAY_WEIGHT) / (expected + DAY_WEIGHT)
        else:
            day[d] = (happened + SPECIAL_WEIGHT * day[d - 1]) / (expected + SPECIAL_WEIGHT)
