"""New periods of funnels that are forecast side by side, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.appearance import hidden
from models.declared import Declared

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """New periods of funnels to forecast side by side; each is the same stages of another segment (or of the total).

    counts: (funnels, stages, periods), NaN where missing. moves: per funnel and transition, see
    `spells.moves_from_days`, of the new periods, the first of which is 0; None where a stage came as counts.
    day_types: (periods + horizon,). start_day: absolute number of the first period of all, new or not. worth: of one
    in the numbers of the moves. told: (stages, periods), share of each period's final count that is in the moves, and
    missing: (funnels, stages, periods), what is in the counts alone, see `models.completion`; None: nothing is.
    declared: of the new periods and the horizon; None: nothing is. absent: (funnels,), so many of the new periods are
    before a segment appeared, see `models.appearance`; None: none is.
    """

    counts: Array
    moves: Sequence[Sequence[Ints | None]]
    day_types: Ints
    start_day: int
    season_length: int
    worth: float = 1.0
    told: Array | None = None
    missing: Array | None = None
    declared: Declared | None = None
    absent: Ints | None = None

    def taught(self, stages: int | slice = slice(None)) -> Array:
        """The counts of these stages that teach what is usual: NaN on declared days."""
        counts = self.counts[:, stages]
        return counts if self.declared is None else np.where(self.declared.past[:, stages] > 0, np.nan, counts)

    def present(self) -> Panel:
        """The same, where what was counted of a segment before it appeared is no count: NaN."""
        return self if self.absent is None else replace(self, counts=hidden(self.counts, self.absent))

    @property
    def periods(self) -> int:
        """Number of new periods up to the cutoff."""
        return int(self.counts.shape[2])
