"""Those who wait, cell by cell: how they enter, move on, convert and leave as periods pass, by hazards that are given.

Waiting entities are (clocks, cells) of `models.spells`; hazards (clocks, day types, bins), see `BIN_OF_CELL`. All are
kernels that change in place who is given as waiting.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from models.pickup import enter_due
from models.spells import AGE, BINS, CARRIED, CELLS, CONVERTED, DUE, ENTERED, PARKED, bin_of_cells

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BIN_OF_CELL = bin_of_cells()


@kernel
def move_on(waiting: Array) -> None:
    """One period passes: everyone is one cell further; the last cell keeps its own."""
    for clock in range(waiting.shape[0]):
        last = CELLS[clock] - 1
        waiting[clock, last] += waiting[clock, last - 1]
        for cell in range(last - 1, 0, -1):
            waiting[clock, cell] = waiting[clock, cell - 1]
        waiting[clock, 0] = 0.0


@kernel
def enter(waiting: Array, entries: Array, moves: Ints, worth: float, decay: float) -> None:
    """Who starts to wait in a period, or waits elsewhere from it on, by its moves, see `spells.moves_from_days`."""
    entries *= decay
    for move in moves:
        clock, cell, kind, number = move[1], move[2], move[3], move[4] * worth
        if kind <= CARRIED:
            waiting[clock, cell] += number
        if kind == ENTERED:
            entries[clock, cell] += number


@kernel
def by_bin(waiting: Array) -> Array:
    """Those waiting, (clocks, bins)."""
    here = np.zeros((waiting.shape[0], BINS))
    for clock in range(waiting.shape[0]):
        for cell in range(CELLS[clock]):
            if waiting[clock, cell] != 0.0:
                here[clock, BIN_OF_CELL[clock, cell]] += waiting[clock, cell]
    return here


@kernel
def moved_on(moves: Ints) -> int:
    """Number of conversions among moves."""
    number = 0
    for move in moves:
        number += move[4] if move[3] == CONVERTED else 0
    return number


@kernel
def starts_of(entries: Array) -> Array:
    """Share of entrants that starts in each cell."""
    share: Array = entries / max(entries.sum(), 1e-12)
    if entries.sum() <= 0.0:
        share[AGE, 0] = 1.0
    return share


@kernel
def pass_through(  # noqa: PLR0913, PLR0917 - kernels take arrays, not states
    convert: Array,
    leave: Array,
    here: Array,
    share: Array,
    sought: Array,
    types: Ints,
    inflow: Array,
    since: int,
    out: Array,
) -> None:
    """Everyone's way through the periods of `out`, the first of which is `since` + 1 periods after the last.

    `here` and `share` may leave out the DUE clock when unused; `sought` of its periods, see `pickup.sought_days`.
    """
    for h in range(out.size):
        kind = types[h]
        move_on(here)
        for cell in range(CELLS[AGE]):
            here[AGE, cell] += inflow[h] * share[AGE, cell]
        if share.shape[0] > DUE:
            enter_due(here[DUE], inflow[h], share[DUE], sought, since + h + 1)
        total, gone = 0.0, 0.0
        for clock in range(here.shape[0]):
            for cell in range(CELLS[clock]):
                if here[clock, cell] != 0.0:
                    b = BIN_OF_CELL[clock, cell]
                    done = here[clock, cell] * convert[clock, kind, b]
                    parked = here[clock, cell] * leave[clock, kind, b]
                    here[clock, cell] -= done + parked
                    total += done
                    gone += parked
        here[PARKED, 0] += gone
        out[h] = total


@kernel
def convert_untold(convert: Array, waiting: Array, kind: int, told: float) -> None:
    """Take away those who have likely converted without being told of: of whom nothing was told, by Bayes' rule."""
    for clock in range(waiting.shape[0]):
        for cell in range(CELLS[clock]):
            hazard = convert[clock, kind, BIN_OF_CELL[clock, cell]]
            waiting[clock, cell] *= 1.0 - hazard * (1.0 - told) / (1.0 - hazard * told)
