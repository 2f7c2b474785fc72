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
    mean = total / exposed
    group, day, base = np.ones(classes), np.ones(kinds), np.full(bins, mean)
    for _ in range(ROUNDS):
        _fit_days(events, at_risk, group, day, base)
        if classes > 1:
            _fit_classes(events, at_risk, group, day, base)
        _fit_bins(events, at_risk, group, day, base, mean)
    for c in range(classes):
        for d in range(kinds):
            for b in range(bins):
                hazards[c, d, b] = group[c] * day[d] * base[b]
    for b in range(bins):
        for d in range(kinds):
            _correct(events, at_risk, hazards, (0, classes), (d, d + 1), b)
        if classes > 1:
            for c in range(classes):
                _correct(events, at_risk, hazards, (c, c + 1), (0, kinds), b)
    return np.minimum(hazards, 1.0)


@kernel
def _fit_days(events: Array, at_risk: Array, group: Array, day: Array, base: Array) -> None:
    """Factor of each day type given the rest, in place."""
    for d in range(day.size):
        happened, expected = 0.0, 0.0
        for c in range(group.size):
            for b in range(base.size):
                happened += events[c, d, b]
                expected += group[c] * base[b] * at_risk[c, d, b]
        if d < day.size - 1:
            day[d] = (happened + DAY_WEIGHT) / (expected + DAY_WEIGHT)
        else:
            day[d] = (happened + SPECIAL_WEIGHT * day[d - 1]) / (expected + SPECIAL_WEIGHT)


@kernel
def _fit_classes(events: Array, at_risk: Array, group: Array, day: Array, base: Array) -> None:
    """Factor of each class given the rest, in place."""
    for c in range(group.size):
        happened, expected = 0.0, 0.0
        for d in range(day.size):
            for b in range(base.size):
                happened += events[c, d, b]
                expected += day[d] * base[b] * at_risk[c, d, b]
        group[c] = (happened + DAY_WEIGHT) / (expected + DAY_WEIGHT)


@kernel
def _fit_bins(events: Array, at_risk: Array, group: Array, day: Array, base: Array, mean: float) -> None:
    """Hazard of each bin given the factors, in place."""
    for b in range(base.size):
        happened, expected = BIN_WEIGHT * mean, BIN_WEIGHT
        for c in range(group.size):
            for d in range(day.size):
                happened += events[c, d, b]
                expected += group[c] * day[d] * at_risk[c, d, b]
        base[b] = happened / expected


@kernel
def _correct(
    events: Array, at_risk: Array, hazards: Array, classes: tuple[int, int], kinds: tuple[int, int], b: int
) -> None:
    """Multiply one cell of two factors, first to last (exclusive) of the third, by what happened over expected."""
    happened, expected = CELL_WEIGHT, CELL_WEIGHT
    for c in range(classes[0], classes[1]):
        for d in range(kinds[0], kinds[1]):
            happened += events[c, d, b]
            expected += hazards[c, d, b] * at_risk[c, d, b]
    for c in range(classes[0], classes[1]):
        for d in range(kinds[0], kinds[1]):
            hazards[c, d, b] *= happened / expected
