"""From one stage to the next: who is waiting, how fast they convert or leave, and what that promises.

Entities wait on the clocks of `models.spells`. Each period everyone moves one cell on, those who just reached the
stage join, and some convert or leave, by hazards of their clock, day type and time waited. Tables of events and of
entities at risk are discounted sums, so a new period costs the same however many entities went through before, and
the forecasts of all earlier origins come out of one causal pass. The share that converts drifts faster than the delay:
when what came lately is not what the hazards make of who could, they are all lifted or lowered at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from models.hazards import hazards_from_tables, recent_level, watch_weekday
from models.kernel import kernel
from models.passage import BIN_OF_CELL, by_bin, convert_untold, enter, move_on, moved_on, pass_through, starts_of
from models.pickup import DAYS, LEADS, book, place_in_season, sought_days
from models.spells import (
    BINS,
    CELLS,
    CLOCKS,
    CONVERTED,
    DUE,
    EXITED,
    PARKED,
)
from models.weekday import make_places

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

HALF_LIFE = 120.0
"""Half-life of the tables, and of where entrants start, periods."""
LEVEL_HALF_LIFE = 10.0
"""Half-life of what is taken for recent in the level of the hazards, periods."""


@dataclass(frozen=True, slots=True, eq=False)
class ConversionState:
    """What a transition's past leaves behind; float64, no references to the data.

    converted, exited, at_risk: (clocks, day types, bins), discounted. waiting: (clocks, cells), entities at the end
    of the last period. entries: (clocks, cells), discounted entrants by the cell in which they start. exposed: as
    at_risk, and came: (1,), conversions on all clocks; both recent, discounted by LEVEL_HALF_LIFE. booked, seasons and
    sums: for which due periods entrants came, see `pickup.book`. places: (rows, season_length), see
    `weekday.make_places`, of conversions and what all days' hazards make of those at risk, and noise (2,), see
    `weekday.watch_place`.
    """

    converted: Array
    exited: Array
    at_risk: Array
    waiting: Array
    entries: Array
    exposed: Array
    came: Array
    booked: Array
    seasons: Array
    sums: Array
    places: Array
    noise: Array

    def copy(self) -> ConversionState:
        """Own arrays, so that an append leaves the original as it was."""
        return replace(self, **{field.name: getattr(self, field.name).copy() for field in fields(self)})


def stacked(states: Sequence[ConversionState]) -> ConversionState:
    """The states of several funnels as one, whose arrays have a leading axis of funnels."""
    names = ConversionState.__slots__
    return ConversionState(*(np.stack([getattr(state, name) for state in states]) for name in names))


def of_funnel(states: ConversionState, row: int) -> ConversionState:
    """One of those stacked; it shares their arrays."""
    return ConversionState(*(getattr(states, name)[row] for name in ConversionState.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class Untold:
    """What is told of late. share: (periods,), of the conversions that is in the moves; where it is below 1, of those
    waiting as many more are taken to have converted as the hazards make likely. entrants: (periods,), not in the moves.
    """

    share: Array
    entrants: Array


def make_state(*, season_length: int) -> ConversionState:
    """Return the state before the first entity."""
    table = (len(CLOCKS), season_length + 1, BINS)
    cells = (len(CLOCKS), int(CELLS.max()))
    return ConversionState(
        converted=np.zeros(table),
        exited=np.zeros(table),
        at_risk=np.zeros(table),
        waiting=np.zeros(cells),
        entries=np.zeros(cells),
        exposed=np.zeros(table),
        came=np.zeros(1),
        booked=np.zeros((2, DAYS)),
        seasons=np.zeros((2, 1 + LEADS, season_length)),
        sums=np.zeros(7),
        places=make_places(1, sums=2, season_length=season_length)[0],
        noise=np.zeros(2),
    )


def advance(
    state: ConversionState,
    moves: Ints,
    day_types: Ints,
    *,
    observed: Flags,
    origins: Ints,
    inflow: Array,
    worth: float = 1.0,
    untold: Untold | None = None,
) -> tuple[ConversionState, Array]:
    """Run new periods through the state.

    Parameters
    ----------
    state
        Of the periods before; not changed.
    moves
        From `spells.moves_from_days`, of the new periods, the first of which is 0; by period.
    day_types
        (at least periods + horizon,), from the first new period on.
    observed
        (periods,); others move everyone on, but teach nothing.
    origins
        Ascending indices of new periods after which to forecast.
    inflow
        (origins, horizon), expected entrants at the stage after each origin.
    worth
        Of one in the numbers of the moves.
    untold
        What the moves do not hold yet; None: nothing.

    Returns
    -------
    The new state and the expected conversions, (origins, horizon).
    """
    state = state.copy()
    forecasts = np.zeros(inflow.shape)
    _advance(
        state.converted,
        state.exited,
        state.at_risk,
        state.waiting,
        state.entries,
        state.exposed,
        state.came,
        state.booked,
        state.seasons,
        state.sums,
        state.places,
        state.noise,
        moves,
        worth,
        np.ascontiguousarray(day_types, dtype=np.int64),
        observed,
        np.ones(observed.size) if untold is None else np.ascontiguousarray(untold.share),
        np.zeros(observed.size) if untold is None else np.ascontiguousarray(untold.entrants),
        origins,
        np.ascontiguousarray(inflow),
        forecasts,
    )
    return state, forecasts


def forecast(state: ConversionState, day_types: Ints, inflow: Array, *, waiting: bool = True) -> Array:
    """Expected conversions in the periods after the last, (horizon,); linear in the inflow and in those waiting.

    `day_types` and `inflow` are (horizon,); waiting=False: of future entrants alone.
    """
    out = np.zeros(len(inflow))
    convert, leave = _hazards_of(state)
    here = state.waiting.copy() if waiting else np.zeros_like(state.waiting)
    types = np.ascontiguousarray(day_types, dtype=np.int64)
    sought = _sought_of(state, types)
    pass_through(convert, leave, here, starts_of(state.entries), sought, types, np.ascontiguousarray(inflow), 0, out)
    return out


def responses(state: ConversionState, day_types: Ints) -> Array:
    """What `forecast` is linear in, (1 + horizon, horizon): row 0 is the conversions of those waiting, row e those of
    one entrant in period e, so that `forecast` is row 0 + inflow . the others. `day_types` is (horizon,).
    """
    out = np.zeros((1 + len(day_types), len(day_types)))
    convert, leave = _hazards_of(state)
    types = np.ascontiguousarray(day_types, dtype=np.int64)
    _responses(convert, leave, state.waiting, starts_of(state.entries), _sought_of(state, types), types, out)
    return out


def _sought_of(state: ConversionState, types: Ints) -> Array:
    """See `pickup.sought_days`; `types` are of the periods ahead."""
    place = place_in_season(types, state.seasons.shape[2], -1)
    known = DAYS + types.size if state.entries[DUE].any() else 0
    sought: Array = sought_days(state.booked, state.seasons, state.sums, place, known)
    return sought


def _hazards_of(state: ConversionState) -> tuple[Array, Array]:
    hazards: tuple[Array, Array] = _hazards(state.converted, state.exited, state.at_risk, state.exposed, state.came)
    return hazards


@kernel
def _advance(  # noqa: C901, PLR0912, PLR0913, PLR0917 - one pass over time, in one place for the compiler
    converted: Array,
    exited: Array,
    at_risk: Array,
    waiting: Array,
    entries: Array,
    exposed: Array,
    came: Array,
    booked: Array,
    seasons: Array,
    sums: Array,
    places: Array,
    noise: Array,
    moves: Ints,
    worth: float,
    types: Ints,
    observed: Flags,
    share: Array,
    entrants: Array,
    origins: Ints,
    inflow: Array,
    out: Array,
) -> None:
    decay, level_decay = 0.5 ** (1.0 / HALF_LIFE), 0.5 ** (1.0 / LEVEL_HALF_LIFE)
    season = seasons.shape[2]
    row, at, first_place = 0, 0, place_in_season(types, season, 0)
    for t in range(-1, observed.size):  # -1: from the state as it is
        if t >= 0:
            first = row
            while row < len(moves) and moves[row, 0] == t:
                row += 1
            move_on(waiting)
            if entries[DUE].any():
                book(booked, seasons, sums, entries, moves[first:row], worth, (first_place + t) % season)
            enter(waiting, entries, moves[first:row], worth, decay)
            if entrants[t] > 0.0:
                waiting += entrants[t] * starts_of(entries)
            if observed[t]:
                converted *= decay
                exited *= decay
                at_risk *= decay
                exposed *= level_decay
                came *= level_decay
                here, now = by_bin(waiting), worth * moved_on(moves[first:row])
                if types[t] < season:
                    recent = exposed, came[0], LEVEL_HALF_LIFE
                    watch_weekday(converted, exited, at_risk, *recent, places, noise, types[t], here, now)
                at_risk[:, types[t]] += here
                exposed[:, types[t]] += here
                came += now
            for move in moves[first:row]:
                clock, cell, kind, number = move[1], move[2], move[3], move[4] * worth
                if kind < CONVERTED:
                    continue
                waiting[clock, cell] -= number
                if kind == EXITED:
                    waiting[PARKED, 0] += number
                if observed[t]:
                    events = converted if kind == CONVERTED else exited
                    events[clock, types[t], BIN_OF_CELL[clock, cell]] += number
            if share[t] < 1.0:
                convert_untold(_hazards(converted, exited, at_risk, exposed, came)[0], waiting, types[t], share[t])
        while at < origins.size and origins[at] == t:
            convert, leave = _hazards(converted, exited, at_risk, exposed, came)
            known = DAYS + inflow.shape[1] if entries[DUE].any() else 0
            sought = sought_days(booked, seasons, sums, (first_place + t) % season, known)
            pass_through(
                convert, leave, waiting.copy(), starts_of(entries), sought, types[t + 1 :], inflow[at], 0, out[at]
            )
            at += 1


@kernel
def _responses(
    convert: Array, leave: Array, waiting: Array, share: Array, sought: Array, types: Ints, out: Array
) -> None:
    """Row 0: of those waiting; row e: of one entrant in period e."""
    clocks = len(CLOCKS) if share[DUE].any() else DUE
    horizon = types.size
    pass_through(convert, leave, waiting.copy(), share, sought, types, np.zeros(horizon), 0, out[0])
    for entry in range(horizon):
        one = np.zeros(horizon - entry)
        one[0] = 1.0
        nobody = np.zeros((clocks, waiting.shape[1]))
        pass_through(convert, leave, nobody, share[:clocks], sought, types[entry:], one, entry, out[entry + 1, entry:])


@kernel
def _hazards(converted: Array, exited: Array, at_risk: Array, exposed: Array, came: Array) -> tuple[Array, Array]:
    """Hazards of conversion, at their recent level, and of exit, (clocks, day types, bins); together at most 1."""
    convert, leave = np.zeros(converted.shape), np.zeros(converted.shape)
    for clock in CLOCKS:
        convert[clock] = hazards_from_tables(converted[clock], at_risk[clock])
        leave[clock] = hazards_from_tables(exited[clock], at_risk[clock])
    level = recent_level(came[0], (exposed * convert).sum(), half_life=LEVEL_HALF_LIFE)
    if level != 1.0:
        convert = np.minimum(convert * level, 1.0)
    return convert, np.minimum(leave, 1.0 - convert)
