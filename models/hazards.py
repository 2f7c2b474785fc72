"""Hazards from discounted tables: the chance of an event per period, by day type and bin of waiting time.

hazard = bin's hazard x day type's factor x interaction of both. The main effects are fitted in turn, as the row and
column factors of a table of rates are (Mantel and Stark, Computation of indirect-adjusted rates, 1968); the interaction
is observed over expected events, shrunk to 1. All is linear in the tables, so that a correction of a past day is an
addition.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from models.weekday import watch_place

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
"""Events' worth of an interaction of 1 in each cell."""
THRESHOLD = 8.0
"""Squared t value up to which a level is that of chance."""
LEAST_LEVEL, TINY = 0.05, 1e-9


@kernel
def hazards_from_tables(events: Array, at_risk: Array) -> Array:
    """Chance of the event by day type and bin.

    Parameters
    ----------
    events, at_risk
        (kinds, bins): discounted numbers of events, and of entities to which it could have happened. The last kind is
        the special day, which starts from the factor of the kind before it (Sunday).

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
    day, base = np.ones(kinds), np.full(bins, mean)
    for _ in range(ROUNDS):
        _fit_days(events, at_risk, day, base)
        _fit_bins(events, at_risk, day, base, mean)
    for d in range(kinds):
        for b in range(bins):
            expected = day[d] * base[b]
            interaction = (events[d, b] + CELL_WEIGHT) / (expected * at_risk[d, b] + CELL_WEIGHT)
            hazards[d, b] = min(expected * interaction, 1.0)
    return hazards


@kernel
def _fit_days(events: Array, at_risk: Array, day: Array, base: Array) -> None:
    """Factor of each day type given the bins, in place."""
    for d in range(day.size):
        happened, expected = 0.0, 0.0
        for b in range(base.size):
            happened += events[d, b]
            expected += base[b] * at_risk[d, b]
        if d < day.size - 1:
            day[d] = (happened + DAY_WEIGHT) / (expected + DAY_WEIGHT)
        else:
            day[d] = (happened + SPECIAL_WEIGHT * day[d - 1]) / (expected + SPECIAL_WEIGHT)


@kernel
def _fit_bins(events: Array, at_risk: Array, day: Array, base: Array, mean: float) -> None:
    """Hazard of each bin given the day types, in place."""
    for b in range(base.size):
        happened, expected = BIN_WEIGHT * mean, BIN_WEIGHT
        for d in range(day.size):
            happened += events[d, b]
            expected += day[d] * at_risk[d, b]
        base[b] = happened / expected


@kernel
def watch_weekday(  # noqa: PLR0913, PLR0917 - kernels take arrays, not states
    converted: Array,
    exited: Array,
    at_risk: Array,
    exposed: Array,
    lately: float,
    half_life: float,
    places: Array,
    noise: Array,
    kind: int,
    here: Array,
    came: float,
) -> None:
    """Look at a period before it is learnt. Where its weekday has another place in the week, see `models.weekday`, the
    tables of its day type become what the hazards of all days make of it there, as heavy as the days that say so.

    Parameters
    ----------
    converted, exited, at_risk
        (clocks, kinds, bins), without this period; changed in place.
    exposed, lately
        At risk as above, and conversions, discounted by `half_life`: how high conversions are by now.
    places, noise
        See `weekday.watch_place`; changed in place.
    here
        (clocks, bins), at risk in this period.
    came
        Conversions in it.
    """
    alike = converted.sum(axis=1) / np.maximum(at_risk.sum(axis=1), TINY)
    kinds = converted.shape[1]
    happened, promised, recent = np.zeros(kinds), np.zeros(kinds), 0.0
    for k in range(kinds):
        happened[k], promised[k] = converted[:, k].sum(), (alike * at_risk[:, k]).sum()
        recent += (alike * exposed[:, k]).sum() * happened[k] / max(promised[k], TINY)
    level = max(recent_level(lately, recent, half_life), LEAST_LEVEL)
    before, expected = promised[kind], (alike * here).sum()
    if before > 0.0 and watch_place(places, noise, (happened, promised), kind, came / level, expected, level):
        share = promised[kind] / before
        at_risk[:, kind] *= share
        exited[:, kind] *= share
        converted[:, kind] = alike * at_risk[:, kind] * (happened[kind] / max(promised[kind], TINY))


@kernel
def recent_level(came: float, expected: float, half_life: float) -> float:
    """How high events are lately against what was to be expected, >= 0: exactly 1 where chance explains the difference.

    A positive-part Stein factor (Baranchik, A family of minimax estimators of the mean of a multivariate normal
    distribution, 1970) of the squared t value, with the variance of a Poisson number in sums discounted by `half_life`.
    """
    variance = expected / (1.0 + 0.5 ** (1.0 / half_life))
    off = came - expected
    if expected <= 0.0 or off * off <= THRESHOLD * variance:
        return 1.0
    return float(max(1.0 + off / expected * (1.0 - THRESHOLD * variance / (off * off)), 0.0))
