"""Entities waiting at a stage, as moves on clocks: who starts waiting, converts or leaves, in which cell, per period.

An entity waits for the next stage on a clock. AGE counts the periods since it reached the stage. DUE counts the
periods to and past its due day, for entities that have one, in the transition into the due stage. PARKED counts the
periods since an exit: an exit need not be the end, and whether parked entities come back is for their hazard to say.

Moves are additive: late knowledge is told by further moves, with negative numbers where it takes something back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from models.entities import LONGEST_LEAD, NEVER
from models.forecast import STEP_DAYS
from models.history import History

Ints = npt.NDArray[np.int64]
Days = npt.NDArray[np.int32]
Weights = Callable[[int, Ints, int], Ints]

AGE, PARKED, DUE = CLOCKS = 0, 1, 2
ENTERED, CARRIED, CONVERTED, EXITED = 0, 1, 2, 3
"""What a move does. CARRIED: waits elsewhere since before, or before the first period, so is not new; it is taken from
where it waited by a negative number. EXITED: is parked from then on."""
CELLS = np.array([181, 181, LONGEST_LEAD + 46], dtype=np.int64)
"""Cells of each clock; the last one holds all who wait longer."""
DUE_CELL = LONGEST_LEAD
"""Cell of the DUE clock on the due day."""
AGE_BINS = (*range(15), 16, 18, 21, 24, 28, 32, 36, 42, 49, 56, 70, 91, 120, 160)
DUE_BINS = (-270, -180, -130, -90, -60, -45, -35, -28, -21, -17, -14, -12, *range(-10, 8), 10, 14, 21, 28, 42)
"""First age, and first period after the due day, of each bin: cells of a bin share their hazards."""
BINS = max(len(AGE_BINS), len(DUE_BINS) + 1)
"""Bins of the clock that has most."""


def bin_of_cells() -> Ints:
    """Bin of each cell of each clock, (clocks, most cells); cells that a clock does not have are in its last bin."""
    cells = np.arange(CELLS.max())
    age = np.searchsorted(AGE_BINS, cells, side="right") - 1
    due = np.searchsorted(DUE_BINS, cells - DUE_CELL, side="right")
    return np.stack([due if clock == DUE else age for clock in CLOCKS]).astype(np.int64)


def moves_of_history(history: History, *, weights: Weights | None = None) -> list[list[Ints | None]]:
    """Moves of each transition of the total, then of each segment; None into or out of a stage that came as counts.

    `weights` tells what each entity at a stage counts, by row (0: the total), entities and stage; None: one.
    """
    stages = len(history.stages)
    counted = [stage in history.counted for stage in history.stages]
    rows = (1 + len(history.segments)) if history.segments else 1
    moves: list[list[Ints | None]] = [[None] * (stages - 1) for _ in range(rows)]
    entities = history.entities
    if entities is None:
        return moves
    length = STEP_DAYS[history.frequency]
    days, due = periods_from_days(entities.days, length=length), periods_from_days(entities.due, length=length)
    moved = np.column_stack([entities.moved[:, 0], periods_from_days(entities.moved[:, 1:], length=length)])
    for row, (chosen, changes) in enumerate(_members(entities.segment, moved, rows=rows)):
        own, dates = days[chosen], due[chosen]
        for stage in range(stages - 1):
            if not (counted[stage] or counted[stage + 1]):
                dated = history.stages[stage + 1] == history.due_stage
                moves[row][stage] = moves_from_days(
                    own[:, stage],
                    own[:, stage + 1],
                    own[:, stages:],
                    dates if dated else None,
                    moved=changes if dated else None,
                    weight=None if weights is None else weights(row, chosen, stage),
                    periods=history.periods,
                )
    return moves


def _members(segment: Days, moved: Days, *, rows: int) -> Iterator[tuple[Ints, Days]]:
    """Entities of all segments, then of each, and their moved due days, with rows among those entities."""
    yield np.arange(len(segment)), moved
    order = np.argsort(segment, kind="stable")
    ends = np.searchsorted(segment[order], np.arange(rows))
    place = np.empty(len(segment), dtype=np.int64)
    place[order] = np.arange(len(segment)) - ends[segment[order]]
    by_segment = np.argsort(segment[moved[:, 0]], kind="stable")
    moved_ends = np.searchsorted(segment[moved[by_segment, 0]], np.arange(rows))
    for row in range(1, rows):
        changes = moved[by_segment[moved_ends[row - 1] : moved_ends[row]]]
        chosen = order[ends[row - 1] : ends[row]]
        yield chosen, np.column_stack([place[changes[:, 0]].astype(np.int32), changes[:, 1:]])


def periods_from_days(days: Days, *, length: int) -> Days:
    """Index of the period that holds each day; NEVER stays."""
    return np.where(days == NEVER, NEVER, days // length).astype(np.int32)


def moves_from_days(
    here: Days,
    following: Days,
    exits: Days,
    due: Days | None,
    *,
    periods: int,
    moved: Days | None = None,
    weight: Ints | None = None,
) -> Ints:
    """Moves of one transition over the periods 0 .. periods - 1.

    Parameters
    ----------
    here, following
        (entities,), period in which each entity reached the stage and the one after it; NEVER where not.
    exits
        (entities, exits). An exit before the stage was reached says nothing about the wait at it, and one in the
        period of a conversion comes after it.
    due
        (entities,), due period, NEVER without one; None: the clock of this transition is age alone.
    moved
        (changes, 3), see `entities.Entities.moved`, in periods; None: none was.
    weight
        (entities,), what each counts; None: one.

    Returns
    -------
    (moves, 5): period, clock, cell, kind and number of entities, by period.
    """
    end = np.iinfo(np.int32).max
    entered = here != NEVER
    start, following, exits = (part[entered].astype(np.int64) for part in (here, following, exits))
    converted = np.where(following == NEVER, end, following)
    left = np.where(exits < start[:, None], end, exits).min(axis=1, initial=end)
    left = np.where(left >= converted, end, left)
    begun = np.full(len(start), AGE), np.zeros(len(start), dtype=np.int64)
    legs = np.empty((0, 4), dtype=np.int64)
    if due is not None:
        changes = np.empty((0, 3), dtype=np.int64) if moved is None else moved[entered[moved[:, 0]]].astype(np.int64)
        changes[:, 0] = (np.cumsum(entered) - 1)[changes[:, 0]]
        begun, legs = _legs(due[entered].astype(np.int64), changes, start, np.minimum(converted, left), periods=periods)
    ended = _last_place(begun, legs)
    counts = np.ones(len(start), dtype=np.int64) if weight is None else weight[entered]
    wait = _spells(begun, ended, start, converted, left, counts, periods=periods)
    again = left < end
    back = np.full(again.sum(), PARKED), np.zeros(again.sum(), dtype=np.int64)
    never = np.full(again.sum(), end)
    parked = _spells(back, back, left[again], converted[again], never, counts[again], periods=periods)
    parked = parked[parked[:, 3] != ENTERED]  # the exit itself parks them
    return _counted(np.concatenate([wait, _relocations(begun, legs, start, counts), parked]))


Place = tuple[Ints, Ints]
"""Clock and cell of each entity, counted from when it started to wait: see `_aged`."""


def _legs(due: Ints, changes: Ints, start: Ints, stop: Ints, *, periods: int) -> tuple[Place, Ints]:
    """Where entities begin to wait, or are first seen to, and the changes during the wait: entity, period, place."""
    entity, known, dates = changes.T
    first = np.maximum(start, 0)[entity]
    before = known <= first
    last = np.flatnonzero(before)[_last_of_each(entity[before])]
    due, since = due.copy(), start.copy()
    due[entity[last]], since[entity[last]] = dates[last], np.maximum(known, start[entity])[last]
    during = ~before & (known < np.minimum(stop, periods)[entity])
    clock, cell = _begin(dates[during], known[during], start[entity[during]])
    return _begin(due, since, start), np.stack([entity[during], known[during], clock, cell], axis=1)


def _last_of_each(entity: Ints) -> npt.NDArray[np.bool_]:
    """Which of the sorted rows are the last of their entity."""
    return np.append(np.diff(entity) != 0, np.ones(min(len(entity), 1), dtype=np.bool_))


def _begin(due: Ints, since: Ints, start: Ints) -> Place:
    """The place, as of `start`, of entities that are known `since` then to be due; by age without a near due day."""
    on_due = (due != NEVER) & (due - since <= LONGEST_LEAD)
    return np.where(on_due, DUE, AGE), np.where(on_due, DUE_CELL - due + start, 0)


def _last_place(begun: Place, legs: Ints) -> Place:
    """Where entities are after all their changes."""
    clock, cell = begun[0].copy(), begun[1].copy()
    entity, _, clocks, cells = legs[_last_of_each(legs[:, 0])].T
    clock[entity], cell[entity] = clocks, cells
    return clock, cell


def _relocations(begun: Place, legs: Ints, start: Ints, counts: Ints) -> Ints:
    """Moves, one row each, that take entities from where they waited and put them where they wait from then on."""
    entity, period, clock, cell = legs.T
    again = np.zeros(len(legs), dtype=np.bool_)
    again[1:] = np.diff(entity) == 0
    before = [np.where(again, np.roll(now, 1), old[entity]) for now, old in zip((clock, cell), begun, strict=True)]
    carried, waited = np.full(len(legs), CARRIED), period - start[entity]
    away = [period, *_aged((before[0], before[1]), waited), carried, -counts[entity]]
    back = [period, *_aged((clock, cell), waited), carried, counts[entity]]
    return np.concatenate([np.stack(away, axis=1), np.stack(back, axis=1)])


def _spells(
    begun: Place, ended: Place, start: Ints, converted: Ints, left: Ints, counts: Ints, *, periods: int
) -> Ints:
    """Moves, one row each, of spells that begin in `start`; `ended`: the place where they end, as of `start` too."""
    stop = np.minimum(converted, left)
    known = (stop >= 0) & (start < periods)
    first = np.maximum(start, 0)
    kind = np.where(start < 0, CARRIED, ENTERED)
    begin = np.stack([first, *_aged(begun, first - start), kind, counts], axis=1)[known]
    done = known & (stop < periods)
    kind = np.where(left < converted, EXITED, CONVERTED)
    finish = np.stack([stop, *_aged(ended, stop - start), kind, counts], axis=1)[done]
    return np.concatenate([begin, finish])


def _aged(place: Place, waited: Ints) -> Place:
    """Clock and cell after so many periods."""
    clock, cell = place
    return clock, np.minimum(cell + waited, CELLS[clock] - 1)


def _counted(moves: Ints) -> Ints:
    """Equal moves as one row with their number, by period."""
    sizes = (len(CLOCKS), int(CELLS.max()), 4)
    key = np.ravel_multi_index((moves[:, 1], moves[:, 2], moves[:, 3]), sizes) + moves[:, 0] * np.prod(sizes)
    keys, rows = np.unique(key, return_inverse=True)
    number = np.bincount(rows, weights=moves[:, 4], minlength=len(keys)).astype(np.int64)
    period, rest = np.divmod(keys[number != 0], np.prod(sizes))
    return np.stack([period, *np.unravel_index(rest, sizes), number[number != 0]], axis=1).astype(np.int64)
