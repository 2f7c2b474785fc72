"""Entrants who choose a due day, and what is known of them after some periods."""

import numpy as np

from models import conversion
from models.pickup import sought_days
from models.spells import moves_from_days

NEVER = -(2**31)
LONGEST, HORIZON = 120, 28


def bookings(appeal, *, periods, a_day=30.0, lead=12.0, group=1, seed=0):
    """Periods of entry and due periods of entrants who choose their day by its lead, and by how much it is sought."""
    generator = np.random.default_rng(seed)
    leads = np.exp(-np.arange(1, LONGEST) / lead)
    here, due = [], []
    for day in range(periods):
        chance = leads * appeal[day + 1 : day + LONGEST]
        many = generator.poisson(a_day / group)
        chosen = day + 1 + generator.choice(LONGEST - 1, size=many, p=chance / chance.sum())
        due.append(np.repeat(chosen, group))
        here.append(np.full(many * group, day))
    return np.concatenate(here).astype(np.int32), np.concatenate(due).astype(np.int32)


def moves_of(here, due, *, periods, final=None, moved=None):
    """All come on their due day, or on their `final` one."""
    came = due if final is None else final
    arrived, no_exits = np.where(came < periods, came, NEVER).astype(np.int32), np.empty((len(here), 0), dtype=np.int32)
    return moves_from_days(here, arrived, no_exits, due, periods=periods, moved=moved)


def state_after(here, due, *, periods, types=None, since=None):
    """After all but the last `since` periods in one go, and after those one by one."""
    types = np.arange(periods + HORIZON, dtype=np.int64) % 7 if types is None else types
    moves = moves_of(here, due, periods=periods)
    state, first = conversion.make_state(season_length=7), 0
    for end in [periods] if since is None else range(periods - since, periods + 1):
        some = moves[(moves[:, 0] >= first) & (moves[:, 0] < end)].copy()
        some[:, 0] -= first
        state, _ = conversion.advance(
            state,
            some,
            types[first : end + HORIZON],
            observed=np.ones(end - first, dtype=bool),
            origins=np.zeros(0, dtype=np.int64),
            inflow=np.zeros((0, HORIZON)),
        )
        first = end
    return state


def state_of(moves, *, periods, worth=1.0):
    return conversion.advance(
        conversion.make_state(season_length=7),
        moves,
        np.arange(periods + HORIZON, dtype=np.int64) % 7,
        observed=np.ones(periods, dtype=bool),
        origins=np.zeros(0, dtype=np.int64),
        inflow=np.zeros((0, HORIZON)),
        worth=worth,
    )[0]


def appeal_after(state, *, position, days=LONGEST, lead=10):
    return sought_days(state.booked, state.seasons, state.sums, position, days)[lead]


def expected_of_new(state, *, periods, a_day=30.0):
    types = np.arange(periods, periods + HORIZON) % 7
    return conversion.forecast(state, types, np.full(HORIZON, a_day), waiting=False)


def truth_of_new(appeal, *, periods, a_day=30.0, lead=12.0):
    leads, came = np.exp(-np.arange(1, LONGEST) / lead), np.zeros(HORIZON + LONGEST)
    for step in range(HORIZON):
        day = periods + step
        chance = leads * appeal[day + 1 : day + LONGEST]
        came[step + 1 : step + LONGEST] += a_day * chance / chance.sum()
    return came[:HORIZON]


def miss(made, truth):
    return np.abs(made - truth).sum() / truth.sum()


def invoices(terms, *, periods, seed=0, back=False):
    """Entrants of working days, due after one of the terms, rolled off the weekend."""
    generator = np.random.default_rng(seed)
    here = np.repeat(np.arange(periods), generator.poisson(20.0, periods) * (np.arange(periods) % 7 < 5))
    due = here + generator.choice(terms, len(here))
    off = np.array([0, 0, 0, 0, 0, -1, -2] if back else [0, 0, 0, 0, 0, 2, 1])
    return here.astype(np.int32), (due + off[due % 7]).astype(np.int32)
