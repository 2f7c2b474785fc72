"""Declared days of funnels side by side: which campaigns, launches and closures each period of each series holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import numpy.typing as npt

from models.calendar import Calendar
from models.forecast import STEP_DAYS
from models.funnel import SEASON_LENGTH, TOTAL, DeclaredDay

Kinds = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

LONGEST = 8
"""Seasons in a row: what is declared for longer is taken for ordinary, as too little else is left to learn from."""
WINDOW, MOST_SHARE = 26, 2 / 3
"""So is what holds more than this share (and one) of the same weekday in the last so many seasons."""


@dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """What is declared for the periods of funnels and for the horizon after them, as far as it is the exception.

    names: as `key_of` has them, of what touches any series. kinds: (funnels, stages, periods + horizon), 0 where
    nothing is declared, else a row of `holds`: (kinds, names), which names those are.
    """

    names: tuple[str, ...]
    holds: Flags
    kinds: Kinds
    horizon: int

    @property
    def past(self) -> Kinds:
        """The kinds without those of the horizon."""
        return self.kinds[:, :, : self.kinds.shape[2] - self.horizon]

    @property
    def ahead(self) -> Kinds:
        """The kinds of the horizon."""
        return self.kinds[:, :, self.kinds.shape[2] - self.horizon :]

    def part(self, rows: Sequence[int], *, since: int, until: int) -> Declared:
        """Some funnels, from a period on and before another; the horizon is that after the latter."""
        return replace(self, kinds=self.kinds[:, :, since : until + self.horizon][np.asarray(rows)])


def key_of(name: str) -> str:
    """What names are compared by: neither case nor space makes another campaign of one."""
    return " ".join(name.casefold().split())


def make_declared(
    calendar: Calendar,
    start: date,
    *,
    periods: int,
    horizon: int,
    segments: Sequence[str],
    stages: Sequence[str],
) -> Declared | None:
    """What is declared for the total and the segments from `start` on; None where nothing is that is an exception.

    A week holds what is declared for any of its days. The total holds what is declared for any of its segments; a
    segment that is not there has none. A name that is ordinary does not hide the others; days that together leave too
    little to learn from are ordinary as well.
    """
    days = [day for day in calendar.declared_days if not day.segments or not set(day.segments).isdisjoint(segments)]
    if not days:
        return None
    length, season = STEP_DAYS[calendar.frequency], SEASON_LENGTH[calendar.frequency]
    seen = periods + horizon + LONGEST * season  # so far that the length of what begins within the horizon is told
    touched = {
        (day.segments, day.stages): [day.concerns(stage, segment) for segment in (TOTAL, *segments) for stage in stages]
        for day in {(day.segments, day.stages): day for day in days}.values()
    }
    # Most series share the days that concern them: each such set is worked out once.
    alike, which = np.unique([touched[day.segments, day.stages] for day in days], axis=1, return_inverse=True)
    by_name: dict[str, list[tuple[DeclaredDay, Flags]]] = {}
    for day, here in zip(days, alike, strict=True):
        by_name.setdefault(key_of(day.name), []).append((day, here))
    kinds = np.zeros((alike.shape[1], seen), dtype=np.int32)
    sets: dict[frozenset[str], int] = {frozenset(): 0}
    for name, own in sorted(by_name.items()):
        rows = np.flatnonzero(np.any([here for _, here in own], axis=0))
        flags = np.zeros((len(rows), seen), dtype=np.bool_)
        for day, here in own:
            first, last = max((day.start - start).days // length, 0), (day.end - start).days // length
            flags[here[rows], first : max(last + 1, 0)] = True
        flags = _is_exception(flags, season=season)
        held = kinds[rows]
        more = {kind: found | {name} for found, kind in list(sets.items()) if (held[flags] == kind).any()}
        for kind, found in more.items():
            kinds[rows] = np.where(flags & (held == kind), sets.setdefault(found, len(sets)), kinds[rows])
    kinds = np.where(_is_exception(kinds > 0, season=season), kinds, 0)[:, : periods + horizon]
    used = np.unique(kinds)
    if not used.any():
        return None
    listed = list(sets)
    names = tuple(sorted(set().union(*(listed[kind] for kind in used))))
    holds = np.array([[name in held for name in names] for held in listed])
    return Declared(names, holds, kinds[which].reshape(1 + len(segments), len(stages), -1), horizon)


def _is_exception(declared: Flags, *, season: int) -> Flags:
    """Which declared periods are neither in a long row nor usual for their place in the season, by those up to them;
    (sets of days, periods).
    """
    found = np.zeros_like(declared)
    for place in range(season):
        here = declared[:, place::season]
        total = np.cumsum(here, axis=1)
        before = np.concatenate([np.zeros((len(total), WINDOW)), total], axis=1)[:, : total.shape[1]]
        many = np.minimum(np.arange(1, total.shape[1] + 1), WINDOW)
        found[:, place::season] = here & (total - before <= MOST_SHARE * many + 1)
    for row, flags in enumerate(declared):
        edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            if last - first > LONGEST * season:
                found[row, first:last] = False
    return found
