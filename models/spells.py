"""Entities waiting at a stage, as moves on clocks: who starts waiting, converts or leaves, in which cell, per period.

An entity waits for the next stage on a clock. AGE counts the periods since it reached the stage. The DUE clocks
count the periods to and past its due day, for entities that have one, in the transition into the due stage; there is
one for each age up to OLD, because the newest are the likeliest to be cancelled. PARKED counts the periods since an
exit: an exit need not be the end, and whether parked entities come back is for their hazard to say.

Moves are additive: late knowledge is told by further moves, with negative numbers where it takes something back.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.entities import NEVER
from models.forecast import STEP_DAYS
from models.history import History

Ints = npt.NDArray[np.int64]
Days = npt.NDArray[np.int32]

AGE, PARKED, DUE = 0, 1, 2
"""Clocks; DUE is the first of OLD + 1, by age."""
OLD = 14
"""Age from which all wait on the last of the DUE clocks."""
ENTERED, CARRIED, CONVERTED, EXITED = 0, 1, 2, 3
"""What a move does. CARRIED: waits since before the first period, so is not new. EXITED: is parked from then on."""
LONGEST_LEAD = 365
"""A due day further away than this many periods is like none."""
CLOCKS = DUE + OLD + 1
CELLS = np.array([181, 181] + [LONGEST_LEAD + 46] * (OLD + 1), dtype=np.int64)
"""Cells of each clock; the last one holds all who wait longer."""
DUE_CELL = LONGEST_LEAD
"""Cell of the DUE clock on the due day."""
AGE_BINS = (*range(15), 16, 18, 21, 24, 28, 32, 36, 42, 49, 56, 70, 91, 120, 160)
DUE_BINS = (-270, -180, -130, -90, -60, -45, -35, -28, -21, -17, -14, -12, *range(-10, 8), 10, 14, 21, 28, 42)
"""First age, and first period after the due day, of each bin: cells of a bin share their hazards."""


AGE_CLASSES = (0, 1, 3, 7, 14)
"""First age of each class of DUE clocks, which share their hazards."""
TABLE_OF_CLOCK = np.array(
    [AGE, PARKED, *(DUE - 1 + np.searchsorted(AGE_CLASSES, np.arange(OLD + 1), side="right"))], dtype=np.int64
)
"""Table of each clock: AGE, PARKED, then one for each class."""


def bin_of_cells() -> Ints:
    """Bin of each cell of each clock, (CLOCKS, most cells); cells that a clock does not have are in its last bin."""
    cells = np.arange(CELLS.max())
    age = np.searchsorted(AGE_BINS, cells, side="right") - 1
    due = np.searchsorted(DUE_BINS, cells - DUE_CELL, side="right")
    return np.stack([due if clock >= DUE else age for clock in range(CLOCKS)]).astype(np.int64)


def moves_of_history(history: History) -> list[list[Ints | None]]:
    """Moves of each transition of the total, then of each segment; None into or out of a stage that came as counts."""
    stages = len(history.stages)
    counted = [stage in history.counted for stage in history.stages]
    rows = (1 + len(history.segments)) if history.segments else 1
    moves: list[list[Ints | None]] = [[None] * (stages - 1) for _ in range(rows)]
    entities = history.entities
    if entities is None:
        return moves
    length = STEP_DAYS[history.frequency]
    days, due = periods_from_days(entities.days, length=length), periods_from_days(entities.due, length=length)
    order = np.argsort(entities.segment, kind="stable")
    ends = np.searchsorted(entities.segment[order], np.arange(rows))
    members = [np.arange(len(order)), *(order[ends[row - 1] : ends[row]] for row in range(1, rows))]
    for row, chosen in enumerate(members):
        own, dates = days[chosen], due[chosen]
        for stage in range(stages - 1):
            if not (counted[stage] or counted[stage + 1]):
                moves[row][stage] = moves_from_days(
                    own[:, stage],
                    own[:, stage + 1],
                    own[:, stages:],
                    dates if history.stages[stage + 1] == history.due_stage else None,
                    periods=history.periods,
                )
    return moves


def periods_from_days(days: Days, *, length: int) -> Days:
    """Index of the period that holds each day; NEVER stays."""
    return np.where(days == NEVER, NEVER, days // length).astype(np.int32)


def moves_from_days(here: Days, following: Days, exits: Days, due: Days | None, *, periods: int) -> Ints:
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
    clock, cell = np.full(len(start), AGE), np.zeros(len(start), dtype=np.int64)
    if due is not None:
        dated = due[entered].astype(np.int64)
        lead = dated - start
        on_due = (dated != NEVER) & (lead <= LONGEST_LEAD)
        clock[on_due] = DUE
        cell[on_due] = DUE_CELL - lead[on_due]
    wait = _spells(clock, cell, start, converted, left, periods=periods)
    again = left < end
    back = np.full(again.sum(), PARKED)
    parked = _spells(back, 0 * back, left[again], converted[again], 0 * back + end, periods=periods)
    return _counted(np.concatenate([wait, parked[parked[:, 3] != ENTERED]]))  # the exit itself parks them


def _spells(clock: Ints, cell: Ints, start: Ints, converted: Ints, left: Ints, *, periods: int) -> Ints:
    """Moves (period, clock, cell, kind), one row each, of spells that begin in `start` at `cell`."""
    stop = np.minimum(converted, left)
    known = (stop >= 0) & (start < periods)
    first = np.maximum(start, 0)
    kind = np.where(start < 0, CARRIED, ENTERED)
    begin = np.stack([first, *_place(clock, cell, first - start), kind], axis=1)[known]
    done = known & (stop < periods)
    kind = np.where(left < converted, EXITED, CONVERTED)
    finish = np.stack([stop, *_place(clock, cell, stop - start), kind], axis=1)[done]
    return np.concatenate([begin, finish])


def _place(clock: Ints, cell: Ints, waited: Ints) -> tuple[Ints, Ints]:
    """Clock and cell after so many periods on a clock that was entered at `cell`."""
    now = np.where(clock == DUE, DUE + np.minimum(waited, OLD), clock)
    return now, np.minimum(cell + waited, CELLS[now] - 1)


def _counted(moves: Ints) -> Ints:
    """Equal moves as one row with their number, by period."""
    sizes = (CLOCKS, int(CELLS.max()), 4)
    key = np.ravel_multi_index((moves[:, 1], moves[:, 2], moves[:, 3]), sizes) + moves[:, 0] * np.prod(sizes)
    keys, number = np.unique(key, return_counts=True)
    period, rest = np.divmod(keys, np.prod(sizes))
    return np.stack([period, *np.unravel_index(rest, sizes), number], axis=1).astype(np.int64)
