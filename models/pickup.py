"""Which due days future entrants are for: a day booked above what is usual goes on being so, and an empty one too.

Leads alone would spread those who are still to come over all days alike. What was booked lately for a day, beside what
would have been if all were sought alike, tells how much it is sought: the pickup of revenue management (Weatherford and
Kimes, A comparison of forecasting methods for hotel revenue management, International Journal of Forecasting 19, 2003,
pp. 401-415). Here that is the posterior mean of a Gamma-Poisson rate; how much rates differ from day to day, so how far
bookings are followed, is the covariance of a period's bookings with those before it. Days of the season that are sought
more than others, Saturdays say, are told apart from it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from models.spells import DUE, DUE_CELL, ENTERED

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DAYS = DUE_CELL + 1
"""Due periods that are kept, the last one and all ahead of it."""
BOOKED_HALF_LIFE = 30.0
"""Half-life of what was booked for a due period, periods: prices and free places move what it is sought for."""
HALF_LIFE = 120.0
"""Half-life of what is learnt from all of them, periods."""
START, SEASON_START = 13.0, 26.0
"""Periods, discounted, after which leads are known well enough to learn from, and days of the season are told apart."""
THRESHOLD = 8.0
"""Squared t value up to which differences are those of chance."""
LEAST_FACTOR = 0.001
TOGETHER, ALIKE, SQUARES, MEAN, PERIODS = 0, 1, 2, 3, 4
"""Sums: products of what a period books above the usual and what was booked above it before; the same if all of it were
usual; squared errors of what a period books, and its mean; and periods. All discounted by HALF_LIFE.
"""


@kernel
def book(booked: Array, seasons: Array, sums: Array, entries: Array, moves: Ints, worth: float, position: int) -> None:
    """Learn from the entrants of one period more, in place.

    Parameters
    ----------
    booked
        (2, DAYS), entrants by periods to their due one, and how many there would have been if all due periods were
        sought alike; discounted by BOOKED_HALF_LIFE.
    seasons
        (2, season_length), both by place of the due period in the season, discounted by HALF_LIFE.
    sums
        (5,), see TOGETHER.
    entries
        (clocks, cells), discounted entrants by the cell in which they started, up to the period before.
    moves, worth
        Of the period, see `spells.moves_from_days`, and of one of them.
    position
        Place of the period in the season.
    """
    booked[:, :-1] = booked[:, 1:].copy()
    booked[:, -1] = 0.0
    booked *= 0.5 ** (1.0 / BOOKED_HALF_LIFE)
    seasons *= 0.5 ** (1.0 / HALF_LIFE)
    sums *= 0.5 ** (1.0 / HALF_LIFE)
    sums[PERIODS] += 1.0
    fresh, many = np.zeros(DAYS), 0.0
    for move in moves:
        if move[3] == ENTERED and move[1] == DUE and move[2] <= DUE_CELL:
            fresh[DUE_CELL - move[2]] += move[4] * worth
            many += move[4] * worth
    leads = entries[DUE, DUE_CELL::-1]
    known = leads.sum()
    if many <= 0.0 or known <= 0.0 or sums[PERIODS] < START:
        return
    factors = _factors(seasons, sums)
    appeal = appeal_of_days(booked, seasons, sums, position, DAYS)
    for day in range(DAYS):
        alike = many * leads[day] / known
        if alike > 0.0 or fresh[day] != 0.0:
            place = (position + day) % seasons.shape[1]
            usual, before = alike * factors[place], factors[place] * booked[1, day]
            sums[TOGETHER] += (fresh[day] - usual) * (booked[0, day] - before)
            sums[ALIKE] += usual * before
            sums[SQUARES] += (fresh[day] - alike * appeal[day]) ** 2
            sums[MEAN] += alike * appeal[day]
            seasons[0, place] += fresh[day]
            seasons[1, place] += alike
            booked[0, day] += fresh[day]
            booked[1, day] += alike


@kernel
def appeal_of_days(booked: Array, seasons: Array, sums: Array, position: int, days: int) -> Array:
    """How much each due period from the last one on is sought, (days,), >= 0; 1 where chance explains differences."""
    appeal = np.empty(days)
    factors = _factors(seasons, sums)
    noise, variance = _noise(sums), _variance(sums)
    for day in range(days):
        factor = factors[(position + day) % factors.size]
        appeal[day] = factor
        if variance > 0.0 and day < DAYS:
            prior = noise / variance
            appeal[day] *= max(prior + booked[0, day], 0.0) / (prior + factor * booked[1, day])
    return appeal


@kernel
def enter_due(here: Array, number: float, share: Array, appeal: Array, ahead: int) -> None:
    """Add entrants of the period `ahead` of the last one to those `here` on the due clock, both (cells,), in place.

    `share` (cells,) is of entrants by the cell in which they start, whatever their due period; those who enter past it,
    or with one beyond `appeal`, are left as they are.
    """
    plain, sought = 0.0, 0.0
    for cell in range(DUE_CELL + 1):
        plain += share[cell]
        sought += share[cell] * _of_day(appeal, ahead + DUE_CELL - cell)
    level = plain / sought if sought > 0.0 else 1.0
    for cell in range(DUE_CELL + 1):
        here[cell] += number * share[cell] * _of_day(appeal, ahead + DUE_CELL - cell) * level
    for cell in range(DUE_CELL + 1, share.size):
        here[cell] += number * share[cell]


@kernel
def place_in_season(types: Ints, season: int, period: int) -> int:
    """Place of a period, counted from the first of `types`, by those of them that are no special days."""
    for t in range(types.size):
        if types[t] < season:
            return int((types[t] + period - t) % season)
    return 0


@kernel
def _of_day(appeal: Array, day: int) -> float:
    return float(appeal[day]) if day < appeal.size else 1.0


@kernel
def _noise(sums: Array) -> float:
    """Variance over mean of what one period books for another."""
    return float(sums[SQUARES] / sums[MEAN]) if sums[MEAN] > 0.0 else 1.0


@kernel
def _variance(sums: Array) -> float:
    """Variance of the rates of due periods over their squared mean; 0 where chance explains what there is.

    A positive-part Stein factor, see `hazards.recent_level`, of the squared t value.
    """
    together, alike = sums[TOGETHER], sums[ALIKE]
    if together <= 0.0 or alike <= 0.0:
        return 0.0
    chance = _noise(sums) ** 2 * alike / (1.0 + 0.5 ** (1.0 / HALF_LIFE))
    return float(max(together / alike * (1.0 - THRESHOLD * chance / (together * together)), 0.0))


@kernel
def _factors(seasons: Array, sums: Array) -> Array:
    """How much due periods are sought by place in the season, (season_length,); 1 where chance explains differences."""
    length = seasons.shape[1]
    factors = np.ones(length)
    if sums[PERIODS] < SEASON_START or length < 2 or seasons[1].min() <= 0.0 or seasons[0].sum() <= 0.0:
        return factors
    between = max(sums[TOGETHER] / sums[ALIKE], 0.0) if sums[ALIKE] > 0.0 else 0.0
    usual = seasons[1] * (seasons[0].sum() / seasons[1].sum())
    square = 0.0
    for place in range(length):
        chance = _noise(sums) * usual[place] / (1.0 + 0.5 ** (1.0 / HALF_LIFE))
        chance += between * usual[place] ** 2 * length / sums[PERIODS]
        square += (seasons[0, place] - usual[place]) ** 2 / chance
    kept = 1.0 - (THRESHOLD + length - 1) / square if square > 0.0 else 0.0
    if kept > 0.0:
        for place in range(length):
            factors[place] = max(1.0 + kept * (seasons[0, place] / usual[place] - 1.0), LEAST_FACTOR)
    return factors
