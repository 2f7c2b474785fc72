"""Those who wait, cell by cell: how they move on, convert and leave while periods pass, by hazards that are given.

Waiting entities are (clocks, cells) of `models.spells`; hazards (clocks, day types, bins), see `BIN_OF_CELL`. All are
kernels that change in place who is given as waiting.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from models.spells import AGE, CELLS, DUE, PARKED, bin_of_cells

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
def pass_through(
    convert: Array, leave: Array, here: Array, share: Array, types: Ints, inflow: Array, out: Array
) -> None:
    """Everyone's way through the periods of `out`; `here` and `share` may leave out the DUE clock when unused."""
    for h in range(out.size):
        kind = types[h]
        move_on(here)
        for clock in (AGE, DUE):
            if clock < share.shape[0]:
                for cell in range(CELLS[clock]):
                    here[clock, cell] += inflow[h] * share[clock, cell]
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
