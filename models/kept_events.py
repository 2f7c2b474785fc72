"""Event rows as they are kept from one read to the next: in parts by their time, as columns of numbers.

Nothing is lost: a part holds the rows themselves, by their key (entity, stage, time), so that rows that come late, are
corrected or are retracted change the part of their own time and no other, and any declaration can be applied later.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.coded import Coded, CodedEvents, coded, joined
from models.records import Events
from models.state import pack, unpack

Mask = npt.NDArray[np.bool_]

TEXTS = ("entity_id", "stage", "segment")


def updated(part: CodedEvents | None, rows: Events, *, retracted: Mask) -> CodedEvents:
    """The part after rows that replace those of the same key; retracted ones leave nothing.

    Sorted by key, whatever the order in which rows came: equal rows make equal parts.
    """
    fresh = CodedEvents(coded(rows.entity_id), coded(rows.stage), rows.ts, rows.value, rows.due_on, coded(rows.segment))
    together = fresh if part is None else whole([part, fresh])
    old = len(together) - len(fresh)
    entity, stage, ts = together.entity_id.codes, together.stage.codes, together.ts
    order = np.lexsort([np.arange(len(ts)), ts, stage, entity])
    entity, stage, ts = entity[order], stage[order], ts[order]
    kept = np.ones(len(order), dtype=np.bool_)
    kept[:-1] = (entity[1:] != entity[:-1]) | (stage[1:] != stage[:-1]) | (ts[1:] != ts[:-1])
    kept &= ~np.concatenate([np.zeros(old, dtype=np.bool_), retracted])[order]
    chosen = together.take(order[kept])
    return CodedEvents(
        coded(chosen.entity_id), coded(chosen.stage), chosen.ts, chosen.value, chosen.due_on, coded(chosen.segment)
    )


def whole(parts: Sequence[CodedEvents]) -> CodedEvents:
    """All rows of at least one part."""
    return CodedEvents(
        joined([part.entity_id for part in parts]),
        joined([part.stage for part in parts]),
        np.concatenate([part.ts for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.due_on for part in parts]),
        joined([part.segment for part in parts]),
    )


def bytes_from_events(part: CodedEvents) -> bytes:
    """A part as bytes; values are left out where no row has one."""
    texts: dict[str, Coded] = {name: getattr(part, name) for name in TEXTS}
    arrays = {name: column.codes for name, column in texts.items()} | {"ts": part.ts, "due_on": part.due_on}
    if not np.isnan(part.value).all():
        arrays["value"] = part.value
    return pack({name: list(column.names) for name, column in texts.items()}, arrays, as_is=True)


def events_from_bytes(payload: bytes) -> CodedEvents:
    """Inverse of `bytes_from_events`; DamagedPayloadError unless every byte is as it was written."""
    facts, arrays = unpack(payload)
    entity_id, stage, segment = (Coded(tuple(facts[name]), arrays[name]) for name in TEXTS)
    value = arrays.get("value", np.full(len(arrays["ts"]), np.nan))
    return CodedEvents(entity_id, stage, arrays["ts"], value, arrays["due_on"], segment)
