"""Rolling origins, the past periods that forecasts are made at to learn from, and the step buckets learnt for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Days = npt.NDArray[np.int64]

BUCKETS: tuple[tuple[int, int], ...] = ((1, 1), (2, 3), (4, 7), (8, 14), (15, 28), (29, 56))
"""First and last step of each bucket."""
ORIGIN_GAP = 5
"""Days between rolling origins; no divisor of a week, so that step 1 meets every weekday. Of weeks each is one: a year
has only so many."""
FIRST_ORIGIN = 14
"""Periods of history before the first rolling origin."""


def bucket_of_steps(horizon: int) -> Days:
    """Index into BUCKETS of steps 1..horizon, shape (horizon,)."""
    return np.array([next(b for b, (_, last) in enumerate(BUCKETS) if step <= last) for step in range(1, horizon + 1)])


@dataclass(frozen=True, slots=True, eq=False)
class Origins:
    """Rolling origins as indices of the new periods, the first of which is 0.

    pending: before them, with targets among or after them. fresh: among them. cutoff: the last period known, which is
    forecast from, but is a rolling origin only if it is among `fresh` too. gap: periods between them.
    """

    pending: Days
    fresh: Days
    cutoff: int
    gap: int = ORIGIN_GAP

    @property
    def asked(self) -> Days:
        """Where new forecasts are made."""
        return np.append(self.fresh, self.cutoff).astype(np.int64)

    @property
    def every(self) -> Days:
        """Where there are forecasts, made or being made."""
        return np.concatenate([self.pending, self.asked]).astype(np.int64)

    def waiting(self, *, periods: int, horizon: int) -> npt.NDArray[np.bool_]:
        """Which of pending and fresh have targets after the new periods."""
        return np.append(self.pending, self.fresh) + horizon >= periods


def gap_of(season_length: int) -> int:
    """Periods between rolling origins of series with such a season, 1 without one."""
    return ORIGIN_GAP if season_length > 1 else 1


def make_origins(start_day: int, *, periods: int, horizon: int, seen: int = 0, gap: int = ORIGIN_GAP) -> Origins:
    """The rolling origins of `periods` new periods after `seen` earlier ones, every `gap` periods.

    `start_day` numbers the first period of all absolutely, so that a longer history keeps its origins.
    """
    index = np.arange(max(FIRST_ORIGIN, seen - horizon), seen + periods)
    chosen = index[(index + start_day) % gap == 0].astype(np.int64) - seen
    return Origins(chosen[chosen < 0], chosen[chosen >= 0], periods - 1, gap)
