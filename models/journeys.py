"""Entities' ways through the stages: when each was first where, and which ways have to be mended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.errors import FunnelError
from models.funnel import Funnel
from models.records import NO_DAY, Events

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MOST_STAGES = 60
"""A column with more values than this does not hold stages."""
NOT_YET = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True, eq=False)
class Journeys:
    """What a set of events says about each entity.

    stages
        Names of the columns of `first`.
    first
        int64 (entities, stages), microseconds since the epoch of the first time there; NOT_YET where never.
    due
        int64 (entities,), the latest due day heard of, days since the epoch; NO_DAY without one.
    """

    stages: tuple[str, ...]
    first: Ints
    due: Ints

    def when(self, stage: str) -> Ints:
        """First times at a stage, (entities,)."""
        return self.first[:, self.stages.index(stage)]

    def reached(self, stage: str) -> Mask:
        """Which entities have been at a stage, (entities,)."""
        there: Mask = self.when(stage) != NOT_YET
        return there


def journeys_from_events(events: Events) -> Journeys:
    """Journeys of all entities; raises FunnelError when there are more than MOST_STAGES stages."""
    seen: dict[str, int] = {}
    ids = (seen.setdefault(name, len(seen)) for name in events.entity_id)
    entities = np.fromiter(ids, dtype=np.int64, count=len(events))
    stages: dict[str, int] = {}
    numbers = (stages.setdefault(name, len(stages)) for name in events.stage)
    return journeys_from_codes(
        entities, np.fromiter(numbers, dtype=np.int64, count=len(events)), events.ts, events.due_on, stages=list(stages)
    )


def journeys_from_codes(
    entities: Ints, numbers: Ints, ts: Ints, due_on: npt.NDArray[np.int32], *, stages: list[str]
) -> Journeys:
    """Journeys from any integer that tells entities apart, and stages as numbers into `stages`."""
    if len(stages) > MOST_STAGES:
        raise FunnelError(
            f"{len(stages)} different stages, such as {min(stages)[:40]!r}: is this the column of stages? "
            f"At most {MOST_STAGES} can be told apart without a declaration",
            field="stages",
        )
    ids, rows = np.unique(entities, return_inverse=True)
    first = np.full((len(ids), len(stages)), NOT_YET, dtype=np.int64)
    np.minimum.at(first, (rows, numbers), ts)
    due = np.full(len(ids), NO_DAY, dtype=np.int64)
    np.maximum.at(due, rows, due_on)
    order = sorted(range(len(stages)), key=lambda number: stages[number])
    return Journeys(tuple(stages[number] for number in order), first[:, order], due)


def count_mended(journeys: Journeys, funnel: Funnel) -> dict[str, int]:
    """How many entities reach stages out of order, or an exit before the first stage.

    A later stage implies the earlier ones at the same instant, so such journeys are mended when they
    are counted; this tells how many. Kinds without any are left out.
    """
    path = [journeys.when(stage) for stage in funnel.stages if stage in journeys.stages]
    if not path:
        return {}
    out_of_order = np.zeros(len(journeys.first), dtype=bool)
    latest = np.full(len(journeys.first), np.iinfo(np.int64).min)
    for times in path:
        there = times != NOT_YET
        out_of_order |= there & (times < latest)
        latest = np.where(there, np.maximum(latest, times), latest)
    entry = np.min(path, axis=0)
    early = np.zeros(len(journeys.first), dtype=bool)
    for stage in funnel.exits:
        if stage in journeys.stages:
            early |= (journeys.when(stage) < entry) & (entry != NOT_YET)
    found = {"out_of_order": int(out_of_order.sum()), "exit_before_entry": int(early.sum())}
    return {kind: count for kind, count in found.items() if count}
