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
from models.spells import CARRIED, DUE, DUE_CELL, ENTERED

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DAYS = DUE_CELL + 1
"""Due periods that are kept, the last one and all ahead of it."""
LEAD_BINS = (*range(36), 42, 49, 56, 63, 70, 91, 120, 180, 270)
"""First lead, periods from entry to the due one, of each bin: terms of payment are told apart to the day."""
LEADS = len(LEAD_BINS)
BIN_OF_LEAD = np.searchsorted(LEAD_BINS, np.arange(DAYS), side="right") - 1
BOOKED_HALF_LIFE = 30.0
"""Half-life of what was booked for a due period, periods: prices and free places move what it is sought for."""
HALF_LIFE = 120.0
"""Half-life of what is learnt from all of them, periods."""
START, SEASON_START = 13.0, 26.0
"""Periods, discounted, after which leads are known well enough to learn from, and places in the season told apart."""
THRESHOLD = 8.0
"""Squared t value up to which differences are those of chance."""
DEVIATIONS = 4.0
"""Deviations from what chance makes of the squares of many differences, up to which they are those of chance."""
LEAST_FACTOR = 0.001
LEAD_WEIGHT = 8.0
"""Entrants' worth, times the size of groups, of a factor of 1 for each bin of leads and place in the season."""
TOGETHER, ALIKE, SQUARES, MEAN, PERIODS, MOVED, ENTRANTS = range(7)
"""Sums: products of what a period books above the usual and what was booked above it before; the same if all of it were
usual; squared errors of what a period books, and its mean; periods; who was taken from a due period, and who entered
with one. All discounted by HALF_LIFE.
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
        (2, 1 + LEADS, season_length), both by place of the due period in the season: of all leads, and then of each bin
        of them, where the second is what the place alone would have made; discounted by HALF_LIFE.
    sums
        (7,), see TOGETHER.
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
        if move[1] == DUE and move[3] == ENTERED and move[2] <= DUE_CELL:
            fresh[DUE_CELL - move[2]] += move[4] * worth
            many += move[4] * worth
        elif move[1] == DUE and move[3] == CARRIED and move[4] < 0:
            sums[MOVED] -= move[4] * worth
    sums[ENTRANTS] += many
    leads = entries[DUE, DUE_CELL::-1]
    known = leads.sum()
    if many <= 0.0 or known <= 0.0 or sums[PERIODS] < START:
        return
    factors, by_lead = _factors(seasons, sums), _factors_of_leads(seasons, sums)
    appeal = _appeal(booked, factors, sums, position, DAYS)
    for day in range(DAYS):
        alike = many * leads[day] / known
        if alike > 0.0 or fresh[day] != 0.0:
            place, lead = (position + day) % factors.size, BIN_OF_LEAD[day]
            alike *= by_lead[lead, place]
            usual, before = alike * factors[place], factors[place] * booked[1, day]
            sums[TOGETHER] += (fresh[day] - usual) * (booked[0, day] - before)
            sums[ALIKE] += usual * before
            sums[SQUARES] += (fresh[day] - alike * appeal[day]) ** 2
            sums[MEAN] += alike * appeal[day]
            seasons[0, 0, place] += fresh[day]
            seasons[1, 0, place] += alike
            seasons[0, 1 + lead, place] += fresh[day]
            seasons[1, 1 + lead, place] += many * leads[day] / known * factors[place]
            booked[0, day] += fresh[day]
            booked[1, day] += alike


@kernel
def sought_days(booked: Array, seasons: Array, sums: Array, position: int, days: int) -> Array:
    """How much each due period from the last one on is sought by who has that lead, (LEADS, days), >= 0; 1 where chance
    explains the differences.

    As many as are taken from due periods do not keep to theirs: by their share of the entrants all are sought alike.
    """
    factors, by_lead = _factors(seasons, sums), _factors_of_leads(seasons, sums)
    appeal = _appeal(booked, factors, sums, position, days)
    kept = max(1.0 - sums[MOVED] / sums[ENTRANTS], 0.0) if sums[ENTRANTS] > 0.0 else 1.0
    out = np.empty((LEADS, days))
    for lead in range(LEADS):
        for day in range(days):
            out[lead, day] = 1.0 + kept * (appeal[day] * by_lead[lead, (position + day) % factors.size] - 1.0)
    return out


@kernel
def enter_due(here: Array, number: float, share: Array, sought: Array, ahead: int) -> None:
    """Add entrants of the period `ahead` of the last one to those `here` on the due clock, both (cells,), in place.

    `share` (cells,) is of entrants by the cell in which they start, whatever their due period; `sought` is that of
    `sought_days`; due periods beyond it count 1. Who enters past the due period is left as they are.
    """
    if number == 0.0:
        return
    plain, weighed = 0.0, 0.0
    for cell in range(DUE_CELL + 1):
        plain += share[cell]
        weighed += share[cell] * _of_day(sought, cell, ahead)
    level = plain / weighed if weighed > 0.0 else 0.0
    for cell in range(DUE_CELL + 1):
        weight = _of_day(sought, cell, ahead) * level if weighed > 0.0 else 1.0
        here[cell] += number * share[cell] * weight
    for cell in range(DUE_CELL + 1, share.size):
        here[cell] += number * share[cell]


@kernel
def place_in_season(types: Ints, season: int, period: int) -> int:
    """Place of a period, counted from the first of `types`, by those of them that are no special days; these have to
    run on through the season, as the days of a week do.
    """
    for t in range(types.size):
        if types[t] < season:
            return int((types[t] + period - t) % season)
    return 0


@kernel
def _of_day(sought: Array, cell: int, ahead: int) -> float:
    day = ahead + DUE_CELL - cell
    return float(sought[BIN_OF_LEAD[DUE_CELL - cell], day]) if day < sought.shape[1] else 1.0


@kernel
def _appeal(booked: Array, factors: Array, sums: Array, position: int, days: int) -> Array:
    """How much each due period is sought whatever the lead, (days,)."""
    appeal = np.empty(days)
    noise, variance = _noise(sums), _variance(sums)
    for day in range(days):
        factor = factors[(position + day) % factors.size]
        appeal[day] = factor
        if variance > 0.0 and noise > 0.0 and day < DAYS:
            prior = noise / variance
            appeal[day] *= max(prior + booked[0, day], 0.0) / (prior + factor * booked[1, day])
    return appeal


@kernel
def _noise(sums: Array) -> float:
    """Variance over mean of what one period books for another."""
    return float(sums[SQUARES] / sums[MEAN]) if sums[MEAN] > 0.0 else 1.0


@kernel
def _between(sums: Array) -> float:
    """Variance of the rates of due periods over their squared mean, as it comes."""
    return float(max(sums[TOGETHER] / sums[ALIKE], 0.0)) if sums[ALIKE] > 0.0 else 0.0


@kernel
def _variance(sums: Array) -> float:
    """The same, 0 where chance explains what there is.

    A positive-part Stein factor, see `hazards.recent_level`, of the squared t value.
    """
    together, alike = sums[TOGETHER], sums[ALIKE]
    if together <= 0.0 or alike <= 0.0:
        return 0.0
    chance = _noise(sums) ** 2 * alike / (1.0 + 0.5 ** (1.0 / HALF_LIFE))
    return float(together / alike * max(1.0 - THRESHOLD * chance / (together * together), 0.0))


@kernel
def _factors(seasons: Array, sums: Array) -> Array:
    """How much due periods are sought by place in the season, (season_length,); 1 where chance explains differences."""
    came, alike = seasons[0, 0], seasons[1, 0]
    factors = np.ones(came.size)
    if sums[PERIODS] < SEASON_START or came.size < 2 or alike.min() <= 0.0 or came.sum() <= 0.0:
        return factors
    usual = alike * (came.sum() / alike.sum())
    square = 0.0
    for place in range(came.size):
        square += (came[place] - usual[place]) ** 2 / _chance(usual[place], came.size, sums)
    kept = 1.0 - (THRESHOLD + came.size - 1) / square if square > 0.0 else 0.0
    if kept > 0.0:
        for place in range(came.size):
            factors[place] = max(1.0 + kept * (came[place] / usual[place] - 1.0), LEAST_FACTOR)
    return factors


@kernel
def _factors_of_leads(seasons: Array, sums: Array) -> Array:
    """What a place in the season is for a bin of leads beside what it is for all of them, (LEADS, season_length)."""
    length = seasons.shape[2]
    factors = np.ones((LEADS, length))
    if sums[PERIODS] < SEASON_START or length < 2:
        return factors
    noise, square, mean, variance = _noise(sums), 0.0, 0.0, 0.0
    for lead in range(LEADS):
        for place in range(length):
            usual = seasons[1, 1 + lead, place]
            if usual > 0.0:  # a square of few entrants varies by more than that of a normal number
                chance = _chance(usual, length, sums)
                scale = chance + noise * noise
                square += (seasons[0, 1 + lead, place] - usual) ** 2 / scale
                mean += chance / scale
                variance += chance * (2.0 * chance + noise * noise) / (scale * scale)
    kept = 1.0 - (mean + DEVIATIONS * np.sqrt(variance)) / square if square > 0.0 else 0.0
    if kept > 0.0:
        weight = LEAD_WEIGHT * noise
        for lead in range(LEADS):
            for place in range(length):
                came, usual = seasons[0, 1 + lead, place], seasons[1, 1 + lead, place]
                factors[lead, place] = max(1.0 + kept * ((came + weight) / (usual + weight) - 1.0), LEAST_FACTOR)
    return factors


@kernel
def _chance(usual: float, length: int, sums: Array) -> float:
    """Variance of a sum of entrants for due periods at one place in the season."""
    noise = _noise(sums) * usual / (1.0 + 0.5 ** (1.0 / HALF_LIFE))
    return float(noise + _between(sums) * usual * usual * length / sums[PERIODS])
