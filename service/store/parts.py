"""What a retrain has read of the observations, kept in compact parts, so that the next one reads new rows only.

Each part says at which upload it was written. Up to the newest of these everything is in the parts: an upload that
changed a row changed the part in which that row lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from models.kept import FORMAT
from service.store.bulk import as_bytes, insert_rows
from service.store.tables import parts

Kind = Literal["events", "counts"]


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part of one kind of rows; `upload` is the number of the last upload it has read."""

    kind: Kind
    number: int
    upload: int
    payload: bytes


def read_parts(connection: Connection, funnel_id: int) -> tuple[StoredPart, ...]:
    """All parts of a funnel, in the order of their time; none when they are of another format."""
    query = sa.select(parts).where(parts.c.funnel_id == funnel_id).order_by(parts.c.kind, parts.c.number)
    found = connection.execute(as_bytes(query)).all()
    if any(row.format != FORMAT for row in found):
        return ()
    return tuple(StoredPart(row.kind, row.number, row.upload, row.payload) for row in found)


def write_parts(connection: Connection, funnel_id: int, changed: Sequence[StoredPart], *, anew: bool) -> None:
    """Put parts in the place of those of the same number, or of all when `anew`; in the caller's transaction."""
    mine = parts.c.funnel_id == funnel_id
    if anew:
        connection.execute(sa.delete(parts).where(mine))
    for kind in ("events", "counts") if not anew else ():
        numbers = [part.number for part in changed if part.kind == kind]
        for first in range(0, len(numbers), 500):
            these = parts.c.number.in_(numbers[first : first + 500])
            connection.execute(sa.delete(parts).where(mine, parts.c.kind == kind, these))
    rows = ((funnel_id, part.kind, part.number, FORMAT, part.upload, part.payload) for part in changed)
    insert_rows(connection, parts, rows)
