"""Events become entities: the first day of each at every stage, with segment, due day and value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from models.calendar import days_from_instants
from models.coded import CodedEvents, Codes, Column, codes_from_names, distinct
from models.funnel import TOTAL, Funnel
from models.records import Events
from models.repairs import Repair, repair_of_days

NEVER = -(2**31)
"""Day index of something that did not happen."""
UNKNOWN = "unknown"
"""Segment of rows that name none in a funnel that has segments."""
FAR = 2**31 - 1
LONGEST_LEAD = 365
"""A due day further away than this many days (periods, once there are any) is like none."""

Days = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Entities:
    """Per entity the first day at each stage and exit, as day indices since `History.start`.

    Sorted by entity id. An entity is here when it reached a stage up to the cutoff, before the start too
    (then with negative indices), and holds only what was known at the cutoff.

    days
        int32 (entities, stages + exits); NEVER where not reached. A later stage implies the earlier ones.
    segment
        int32 (entities,), index into `History.segments`; 0 when there are none.
    due
        int32 (entities,), day index of the `due_on` known on the day of entry, NEVER without one.
    value
        float64 (entities,), the last known, NaN without one.
    moved
        int32 (changes, 3), due days heard of later: row of the entity, day from which it is known, and due day; by
        entity and day.
    amounts
        float64 (entities, stages): value of the entity when it reached the stage, NaN if not known by then;
        None when no row carries a value.
    """

    days: npt.NDArray[np.int32]
    segment: npt.NDArray[np.int32]
    due: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]
    moved: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 3), dtype=np.int32))
    amounts: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Entities whose days are days since 1970, and what their rows tell besides.

    segments
        Sorted names that `entities.segment` points to; empty when the funnel has none.
    """

    entities: Entities
    segments: tuple[str, ...]
    repairs: tuple[Repair, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Events of declared stages and exits up to the cutoff, as numbers; all (rows,)."""

    entity: Codes
    code: Codes
    day: Days
    ts: Codes


def tracks_from_events(events: Events | CodedEvents, *, funnel: Funnel, cutoff: int) -> Tracks:
    """What the rows up to `cutoff` (days since 1970, inclusive) tell of each entity; later rows leave no trace.

    The first time at a stage counts, and a later stage implies the earlier ones at the same instant. An
    exit before the entry is moved to it; an entity with an exit and no stage is left out. An entity in two
    segments belongs to that of its first row, so that past days do not move as more becomes known.
    """
    day = days_from_instants(events.ts, timezone=funnel.timezone)
    code = codes_from_names(events.stage, (*funnel.stages, *funnel.exits))
    undeclared = undeclared_stages(events.stage, day, (day <= cutoff) & (code < 0))
    kept = np.flatnonzero((day <= cutoff) & (code >= 0))
    events = events if len(kept) == len(day) else events.take(kept)
    entity = codes_from_names(events.entity_id, distinct(events.entity_id))
    rows = Rows(entity, code[kept], day[kept], events.ts)

    own, repeated = _first_days(rows, funnel)
    reached, order = _in_order(own, funnel)
    segment, names, split = _segments(events, rows, funnel)
    amounts, value = _values(events, rows, own=own, reached=reached, stages=len(funnel.stages))
    due, moved = _dues(events, rows, entry=reached[:, 0])
    entered = reached[:, 0] != FAR
    used, position = np.unique(segment[entered], return_inverse=True)
    entities = Entities(
        days=np.where(reached == FAR, NEVER, reached)[entered].astype(np.int32),
        segment=position.astype(np.int32),
        due=due[entered],
        value=value[entered],
        moved=moved,
        amounts=None if amounts is None else amounts[entered],
    )
    return Tracks(
        entities=entities,
        segments=tuple(names[code] for code in used) if funnel.segment_by else (),
        repairs=(
            *undeclared,
            *repeated,
            *order,
            *split,
            *_due_repairs(_first_heard(due[entered], moved), reached[entered, 0]),
        ),
    )


def undeclared_stages(stage: Column, day: Days, rows: npt.NDArray[np.bool_]) -> tuple[Repair, ...]:
    """One repair for each stage that the funnel does not declare, over the given rows."""
    chosen, days = stage[rows], day[rows]
    names = distinct(chosen)
    codes = codes_from_names(chosen, names)
    return tuple(
        repair
        for code, name in enumerate(names)
        for repair in repair_of_days(
            "undeclared_stage",
            days[codes == code],
            "{count} [row|rows] of a stage that the funnel does not have",
            stage=name,
        )
    )


def settle(group: Codes, size: int, *, values: Values, keys: Sequence[Values], last: bool = False) -> Codes:
    """Row that decides for each of `size` groups (-1: none): the first (or last) by `keys`, then by value."""
    extreme = np.maximum if last else np.minimum
    rows = np.arange(len(group))
    for key in (*keys, values):
        best = np.empty(size, dtype=key.dtype)
        best[group[rows]] = key[rows]
        extreme.at(best, group[rows], key[rows])
        rows = rows[key[rows] == best[group[rows]]]
    chosen = np.full(size, -1, dtype=np.int64)
    chosen[group[rows]] = rows
    return chosen


def taken(values: Values, rows: Codes, *, missing: float) -> Values:
    """`values[rows]`, with `missing` where the row is -1."""
    found = np.full(len(rows), missing, dtype=values.dtype)
    found[rows >= 0] = values[rows[rows >= 0]]
    return found


def _first_days(rows: Rows, funnel: Funnel) -> tuple[Days, list[Repair]]:
    """First day of each entity at each stage and exit by its own rows, FAR where there is none."""
    names = (*funnel.stages, *funnel.exits)
    own = np.full((int(rows.entity.max(initial=-1)) + 1, len(names)), FAR, dtype=np.int32)
    np.minimum.at(own.reshape(-1), rows.entity * len(names) + rows.code, rows.day)
    said = np.bincount(rows.code, minlength=len(names)) - (own != FAR).sum(axis=0)
    text = "{count} [row says|rows say] again that an entity reached this stage; the first time counts"
    repairs = [
        repair
        for code in np.flatnonzero(said)
        for repair in repair_of_days(
            "repeated_stage", rows.day[rows.code == code], text, stage=names[code], count=int(said[code])
        )
    ]
    return own, repairs


def _in_order(own: Days, funnel: Funnel) -> tuple[Days, list[Repair]]:
    """First days after stages imply the earlier ones and no exit comes before the entry."""
    stages = len(funnel.stages)
    reached = own.copy()
    reached[:, :stages] = np.minimum.accumulate(own[:, :stages][:, ::-1], axis=1)[:, ::-1]
    repairs: list[Repair] = []
    for code, stage in enumerate(funnel.stages):
        late = (reached[:, code] < own[:, code]) & (own[:, code] != FAR)
        skipped = (reached[:, code] != FAR) & (own[:, code] == FAR)
        text = "{count} [entity|entities] reached a later stage before this one; this one is taken to be no later"
        repairs += repair_of_days("out_of_order", own[late, code], text, stage=stage)
        text = "{count} [entity has|entities have] no row for this stage, which a later one implies"
        repairs += repair_of_days("implied_stage", reached[skipped, code], text, stage=stage)
    entry = reached[:, 0]
    for code, stage in enumerate(funnel.exits, start=stages):
        orphan = (reached[:, code] != FAR) & (entry == FAR)
        early = (reached[:, code] < entry) & ~orphan
        text = (
            "{count} [entity has this exit and no stage, and is|entities have this exit and no stage, and are] left out"
        )
        repairs += repair_of_days("exit_without_stage", own[orphan, code], text, stage=stage)
        text = "{count} [entity left before its|entities left before their] entry, which counts as on its day"
        repairs += repair_of_days("exit_before_entry", own[early, code], text, stage=stage)
        reached[early, code] = entry[early]
    return reached, repairs


def _segments(events: Events | CodedEvents, rows: Rows, funnel: Funnel) -> tuple[Codes, list[str], tuple[Repair, ...]]:
    """Segment of each entity as a code, the names of the codes, and who was in two."""
    size = int(rows.entity.max(initial=-1)) + 1
    if funnel.segment_by is None:
        return np.zeros(size, dtype=np.int64), [TOTAL], ()
    names = sorted({name or UNKNOWN for name in distinct(events.segment)})
    code = codes_from_names(events.segment, names)
    code[code < 0] = names.index(UNKNOWN) if UNKNOWN in names else 0
    segment = taken(code, settle(rows.entity, size, values=code, keys=[rows.ts, rows.code]), missing=0)
    moved = np.flatnonzero(code != segment[rows.entity])
    text = "{count} [entity was|entities were] in more than one segment; that of the first row counts"
    count = int((np.bincount(rows.entity[moved]) > 0).sum())
    return segment, names, repair_of_days("two_segments", rows.day[moved], text, count=count)


def _dues(events: Events | CodedEvents, rows: Rows, *, entry: Days) -> tuple[Days, Days]:
    """Due day known at the `entry` of each entity, and `Entities.moved`, with rows among those that entered.

    The last row of a day decides for that day, as of when it was over; a row without a due day takes none back.
    """
    dated = np.flatnonzero((events.due_on != NEVER) & (entry[rows.entity] != FAR))
    keys: tuple[Values, ...] = (events.due_on, rows.code, rows.ts, rows.entity)
    dated = dated[np.lexsort([key[dated] for key in keys])]
    entity, day, due = rows.entity[dated], np.maximum(rows.day[dated], entry[rows.entity[dated]]), events.due_on[dated]
    last = np.append((np.diff(entity) != 0) | (np.diff(day) != 0), np.ones(min(len(dated), 1), dtype=np.bool_))
    entity, day, due = entity[last], day[last], due[last]
    same = np.zeros(len(due), dtype=np.bool_)
    same[1:] = (np.diff(entity) == 0) & (np.diff(due) == 0)
    entity, day, due = entity[~same], day[~same], due[~same]
    first = day == entry[entity]
    known = np.full(len(entry), NEVER, dtype=np.int32)
    known[entity[first]] = due[first]
    row = np.cumsum(entry != FAR) - 1
    return known, np.stack([row[entity], day, due], axis=1)[~first].astype(np.int32)


def _first_heard(due: Days, moved: Days) -> Days:
    """The first due day known of each entity, on entry or later."""
    heard = due.copy()
    later = moved[::-1]  # by entity and day, so that the earliest of each is written last
    heard[later[:, 0]] = np.where(due[later[:, 0]] == NEVER, later[:, 2], due[later[:, 0]])
    return heard


def _due_repairs(due: Days, entry: Days) -> list[Repair]:
    """Due days before the entry, and beyond reach, of entities; both (entities,), NEVER without a due day."""
    dated = due != NEVER
    lead = due[dated].astype(np.int64) - entry[dated]
    early = "{count} [entity was due before its|entities were due before their] entry, which counts as overdue"
    far = f"{{count}} [entity was|entities were] due over {LONGEST_LEAD} days after the entry, which is like no due day"
    return [
        *repair_of_days("due_before_entry", entry[dated][lead < 0], early),
        *repair_of_days("due_far_away", entry[dated][lead > LONGEST_LEAD], far),
    ]


def _values(
    events: Events | CodedEvents, rows: Rows, *, own: Days, reached: Days, stages: int
) -> tuple[Floats | None, Floats]:
    """Value of each entity on reaching each stage (None when no row has any), and the last known."""
    priced = np.flatnonzero(~np.isnan(events.value))
    entity, code, ts, value = rows.entity[priced], rows.code[priced], rows.ts[priced], events.value[priced]
    latest = taken(value, settle(entity, len(own), values=value, keys=[ts, code], last=True), missing=np.nan)
    at_stage = np.flatnonzero(code < stages)
    if len(at_stage) == 0:
        return None, latest
    cell, worth = entity[at_stage] * stages + code[at_stage], value[at_stage]
    first = settle(cell, len(own) * stages, values=worth, keys=[ts[at_stage]])
    amounts = taken(worth, first, missing=np.nan).reshape(-1, stages)
    for stage in reversed(range(stages - 1)):  # an implied stage is reached when the later one is, at its value
        implied = np.isnan(amounts[:, stage]) & (reached[:, stage] < own[:, stage])
        amounts[implied, stage] = amounts[implied, stage + 1]
    for stage in range(1, stages):
        unknown = np.isnan(amounts[:, stage])
        amounts[unknown, stage] = amounts[unknown, stage - 1]
    return amounts, latest
