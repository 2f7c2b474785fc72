"""What an upload says about the funnel as a whole, in bounded memory."""

from __future__ import annotations

import zlib
from collections import Counter

import numpy as np
import numpy.typing as npt

from models.errors import InputError, Problem
from models.journeys import Journeys, journeys_from_codes
from models.records import Counts, Events

LIMIT = 1_000_000
"""Rows kept; beyond, every second entity is dropped, whole, and again."""
MOST_NAMES = 1000
"""Different stages in one upload; more are not stages."""


class Sample:
    """Rows by stage, the volume of counted stages, and journeys of all entities, or of one in `every`."""

    def __init__(self, *, limit: int = LIMIT) -> None:
        self.rows: Counter[str] = Counter()
        self.volumes: dict[str, float] = {}
        self.every = 1
        self._limit = limit
        self._numbers: dict[str, int] = {}
        self._parts: list[tuple[npt.NDArray[np.int64], ...]] = []
        self._kept = 0
        self._journeys: Journeys | None = None

    def add_events(self, events: Events) -> None:
        """Take note of a chunk of events."""
        numbers = self._count(events.stage)
        entities = np.fromiter(map(hash, events.entity_id), dtype=np.int64, count=len(events))
        # Not by Python's hash: it differs from process to process, and the sample must not.
        lots = np.fromiter(map(zlib.crc32, map(str.encode, events.entity_id)), dtype=np.int64, count=len(events))
        self._keep((lots, entities, numbers, events.ts, events.due_on.astype(np.int64)))

    def add_counts(self, counts: Counts) -> None:
        """Take note of a chunk of counts."""
        numbers = self._count(counts.stage)
        sums = np.bincount(numbers, weights=counts.y, minlength=len(self._numbers))
        for stage, number in self._numbers.items():
            self.volumes[stage] = self.volumes.get(stage, 0.0) + float(sums[number])

    def journeys(self) -> Journeys | None:
        """Journeys of the entities kept; None when no events were added.

        Raises FunnelError when there are too many stages for a funnel.
        """
        if self._parts and self._journeys is None:
            _, entities, numbers, ts, due_on = (np.concatenate(part) for part in zip(*self._parts, strict=True))
            stages = list(self._numbers)
            self._journeys = journeys_from_codes(entities, numbers, ts, due_on.astype(np.int32), stages=stages)
        return self._journeys

    def _count(self, stages: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
        known = self._numbers
        names = stages.tolist()
        for stage in dict.fromkeys(names):
            known.setdefault(stage, len(known))
        numbers = np.array([known[stage] for stage in names], dtype=np.int64)
        if len(known) > MOST_NAMES:
            raise InputError(
                Problem(f"more than {MOST_NAMES} different stages", field="stage", remedy="map the column of stages")
            )
        rows = np.bincount(numbers, minlength=len(known))
        self.rows.update({stage: int(rows[number]) for stage, number in known.items() if rows[number]})
        return numbers

    def _keep(self, part: tuple[npt.NDArray[np.int64], ...]) -> None:
        chosen = part if self.every == 1 else tuple(column[part[0] % self.every == 0] for column in part)
        self._journeys = None
        self._parts.append(chosen)
        self._kept += len(chosen[0])
        while self._kept > self._limit:
            self.every *= 2
            self._parts = [tuple(column[old[0] % self.every == 0] for column in old) for old in self._parts]
            kept = sum(len(old[0]) for old in self._parts)
            if kept == self._kept:
                return  # a single entity with more rows than the limit
            self._kept = kept
