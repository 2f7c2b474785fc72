"""The one gate from rows to grids: events and counts become a daily or weekly history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from models.forecast import STEP_DAYS
from models.funnel import TOTAL, Frequency

NEVER = -(2**31)
"""Day index of something that did not happen."""


@dataclass(frozen=True, slots=True, eq=False)
class Entities:
    """Per entity the first day at each stage and exit, as day indices since `History.start`.

    days
        int32 (entities, stages + exits); NEVER where not reached. A later stage implies the earlier ones.
    segment
        int32 (entities,), index into `History.segments`; 0 when there are none.
    due
        int32 (entities,), day index of `due_on`, NEVER without one.
    value
        float64 (entities,), NaN without one.
    """

    days: npt.NDArray[np.int32]
    segment: npt.NDArray[np.int32]
    due: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Counts per segment, stage and period, from `start` up to and including the cutoff.

    counts
        float64 (max(1, segments), stages, periods), >= 0; NaN where nothing was observed.
    value
        The same shape, sums of `value`; None when no row carries one.
    entities
        None when all stages came as counts. Day indices are days even where periods are weeks.
    """

    start: date
    frequency: Frequency
    segments: tuple[str, ...]
    stages: tuple[str, ...]
    counts: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64] | None = None
    entities: Entities | None = None

    @property
    def periods(self) -> int:
        """Number of periods on the grid."""
        return int(self.counts.shape[2])

    @property
    def cutoff(self) -> date:
        """Last observed day, inclusive."""
        return self.start + timedelta(days=STEP_DAYS[self.frequency] * self.periods - 1)

    @property
    def series(self) -> tuple[tuple[str, str], ...]:
        """(segment, stage) of each row of `matrix`: the total's stages first."""
        return tuple((segment, stage) for segment in (TOTAL, *self.segments) for stage in self.stages)

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """Counts of all series, (len(series), periods): the total first, then the segments."""
        total = self.counts.sum(axis=0)
        return np.concatenate([total, self.counts.reshape(-1, self.periods)]) if self.segments else total
