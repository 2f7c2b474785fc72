"""Counts whose Saturdays change, and what each model that knows weekdays makes of them."""

import numpy as np

from models import conversion, lag, level, smoothing
from models.spells import moves_from_days

NEVER, HORIZON = -(2**31), 28
WEEK = np.array([1.2, 1.2, 1.1, 1.1, 1.0, 0.8, 0.6])
DAYS = 210
"""Thirty weeks from a Monday on."""
LAST = np.array([DAYS - 1])
TYPES = np.arange(DAYS + 200 + HORIZON) % 7
SATURDAY = 5


def weeks(factors, *, mean=200.0, seed=1):
    """Counts of days by weekday, the last weeks of Saturday times these factors."""
    counts = np.random.default_rng(seed).poisson(mean * WEEK[TYPES[:DAYS]]).astype(float)
    for back, factor in enumerate(reversed(factors)):
        counts[DAYS - 2 - 7 * back] *= factor
    return counts


def of_level(counts):
    state = level.make_state(1, season_length=7)
    return level.advance(state, counts[None], TYPES, origins=np.array([len(counts) - 1]), horizon=HORIZON)[1][0, 0]


def of_smoothing(counts):
    state, caps = smoothing.make_state(1, season_length=7), np.full((1, 1), 1e9)
    made = smoothing.advance(
        state, np.log1p(counts)[None], TYPES, origins=np.array([len(counts) - 1]), horizon=HORIZON, caps=caps
    )
    return np.expm1(made[1][0, 0])


def of_lag(counts):
    state, before = lag.make_state(1, season_length=7), np.full((1, len(counts)), 500.0)
    origins, inflow = np.array([len(counts) - 1]), np.full((1, 1, HORIZON), 500.0)
    return lag.advance(state, before, counts[None], TYPES, origins=origins, inflow=inflow)[1][0, 0]


def of_conversion(counts):
    moves = moves_of(counts)
    return conversion.advance(
        conversion.make_state(season_length=7),
        moves,
        TYPES,
        observed=np.ones(len(counts), dtype=bool),
        origins=np.array([len(counts) - 1]),
        inflow=np.full((1, HORIZON), 300.0),
    )[1][0]


def moves_of(counts):
    """Of those who wait as many as the counts say convert, and one in ten leaves; 300 enter a day, so 200 can."""
    generator = np.random.default_rng(2)
    entered = np.repeat(np.arange(len(counts)), 300)
    converted, gone = np.full((2, len(entered)), NEVER, dtype=np.int32)
    here = np.zeros(len(entered), dtype=bool)
    for day, count in enumerate(counts.astype(int)):
        here[300 * day : 300 * (day + 1)] = True
        who = generator.permutation(np.flatnonzero(here))
        converted[who[:count]] = day
        leaving = who[count:][generator.random(len(who[count:])) < 0.1]
        gone[leaving] = day
        here[who[:count]] = here[leaving] = False
    return moves_from_days(entered.astype(np.int32), converted, gone[:, None], None, periods=len(counts))
