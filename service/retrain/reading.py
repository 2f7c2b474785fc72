"""What a retrain reads: the rows that are new, into what was kept of those read before; or everything, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.engine import Connection

from models import kept_counts, kept_events
from models.coded import CodedEvents
from models.kept import updated_parts
from models.kept_counts import CountPart, ScatteredError
from models.records import Counts, Events
from models.state import DamagedPayloadError
from service.store.parts import Kind, StoredPart, read_parts, write_parts
from service.store.reading import Changes, read_changes, read_counts, read_events, standing

FROM_BYTES: dict[Kind, Callable[[bytes], Any]] = {
    "events": kept_events.events_from_bytes,
    "counts": kept_counts.counts_from_bytes,
}
TO_BYTES: dict[Kind, Callable[[Any], bytes]] = {
    "events": kept_events.bytes_from_events,
    "counts": kept_counts.bytes_from_counts,
}


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """All rows of a funnel.

    events, counts
        None when there are none, or when they are no longer needed.
    sizes
        How many events and counts there are.
    rows
        How many were read from the tables of observations.
    anew
        Why all of them were; None: only new ones were.
    changed
        The parts that are to be kept from now on instead of those of their number.
    """

    events: Events | CodedEvents | None
    counts: Counts | Sequence[CountPart] | None
    sizes: dict[str, int]
    rows: int
    anew: str | None
    changed: tuple[StoredPart, ...]

    def without_rows(self) -> Reading:
        """What is left to be kept once a history was made of the rows: they take as much memory as it does."""
        return replace(self, events=None, counts=None)


def read_rows(connection: Connection, funnel_id: int, *, upload: int) -> Reading:
    """All rows up to `upload`, the last one, in one snapshot; the result does not depend on what was kept."""
    kept, anew = _kept_parts(connection, funnel_id)
    since = max((part.upload for part, _ in kept), default=0)
    try:
        if anew is None:
            return _updated(kept, read_changes(connection, funnel_id, since=since), upload=upload, anew=None)
        events, counts = read_events(connection, funnel_id), read_counts(connection, funnel_id)
        return _updated([], (standing(events), standing(counts)), upload=upload, anew=anew)
    except ScatteredError as error:
        events, counts = read_events(connection, funnel_id), read_counts(connection, funnel_id)
        sizes = {"events": len(events), "counts": len(counts)}
        rows = len(events) + len(counts)
        return Reading(events if len(events) else None, counts if len(counts) else None, sizes, rows, str(error), ())


def keep(connection: Connection, funnel_id: int, reading: Reading) -> None:
    """Keep what was read, in the transaction that publishes what was made of it."""
    write_parts(connection, funnel_id, reading.changed, anew=reading.anew is not None)


def _kept_parts(connection: Connection, funnel_id: int) -> tuple[list[tuple[StoredPart, Any]], str | None]:
    """The parts with what they hold, or why they are not to be used."""
    stored = read_parts(connection, funnel_id)
    if not stored:
        return [], "nothing was kept of an earlier read"
    try:
        return [(part, FROM_BYTES[part.kind](part.payload)) for part in stored], None
    except DamagedPayloadError as error:
        return [], f"what was kept of an earlier read is damaged: {error}"


def _updated(
    kept: Iterable[tuple[StoredPart, Any]],
    changes: tuple[Changes[Events], Changes[Counts]],
    *,
    upload: int,
    anew: str | None,
) -> Reading:
    """What was kept, with the changes; raises ScatteredError when counts cannot be kept."""
    events: dict[int, CodedEvents] = {part.number: held for part, held in kept if part.kind == "events"}
    counts: dict[int, CountPart] = {part.number: held for part, held in kept if part.kind == "counts"}
    told, counted = changes
    new_events = updated_parts(events, told.rows, told.rows.ts, retracted=told.retracted, update=kept_events.updated)
    new_counts = updated_parts(
        counts, counted.rows, counted.rows.ds, retracted=counted.retracted, update=kept_counts.updated
    )
    parts: list[tuple[Kind, int, Any]] = [("events", number, part) for number, part in new_events.items()]
    parts += [("counts", number, part) for number, part in new_counts.items()]
    events, counts = dict(sorted((events | new_events).items())), dict(sorted((counts | new_counts).items()))
    all_events = kept_events.whole(list(events.values())) if events else None
    all_counts = [part for part in counts.values() if part.rows]
    return Reading(
        all_events if all_events is not None and len(all_events) else None,
        all_counts or None,
        {"events": 0 if all_events is None else len(all_events), "counts": sum(part.rows for part in all_counts)},
        len(told.rows) + len(counted.rows),
        anew,
        tuple(StoredPart(kind, number, upload, TO_BYTES[kind](part)) for kind, number, part in parts),
    )
