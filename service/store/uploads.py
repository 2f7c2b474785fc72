"""Uploads: what came in, when, and how far each source is known to be complete.

An upload's number is the funnel's watermark: numbers become visible in their order, because each upload
holds the funnel's row until it is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from service.store.funnels import lock_funnel
from service.store.instants import datetime_from_micros, micros_from_datetime
from service.store.tables import uploads

Kind = Literal["events", "counts"]


@dataclass(frozen=True, slots=True)
class Upload:
    """One accepted upload.

    Parameters
    ----------
    number
        1, 2, ... per funnel.
    recorded_at
        When the store took it; strictly increasing per funnel, whatever the clock does.
    fresh_until
        Up to when its source is complete.
    changed
        Rows it inserted, revised or retracted.
    """

    id: int
    funnel_id: int
    number: int
    recorded_at: datetime
    kind: Kind
    fresh_until: datetime
    changed: int
    report: dict[str, Any]


def begin_upload(
    connection: Connection, funnel_id: int, *, kind: Kind, now: datetime, fresh_until: datetime | None = None
) -> Upload:
    """Take the next number, inside the transaction that merges the rows.

    `fresh_until` defaults to the instant of recording.
    """
    lock_funnel(connection, funnel_id)
    query = sa.select(uploads.c.number, uploads.c.recorded_at).where(uploads.c.funnel_id == funnel_id)
    last = connection.execute(query.order_by(uploads.c.number.desc()).limit(1)).one_or_none()
    recorded_at = max(micros_from_datetime(now), last.recorded_at + 1 if last else 0)
    row: dict[str, object] = {
        "funnel_id": funnel_id,
        "number": last.number + 1 if last else 1,
        "recorded_at": recorded_at,
        "kind": kind,
        "fresh_until": recorded_at if fresh_until is None else micros_from_datetime(fresh_until),
        "changed": 0,
        "report": {},
    }
    made = connection.execute(sa.insert(uploads).values(**row).returning(uploads))
    return upload_from_row(made.one())


def finish_upload(connection: Connection, upload: Upload, *, changed: int, report: Mapping[str, Any]) -> Upload:
    """Record what the upload did; `report` is JSON-ready."""
    change = sa.update(uploads).where(uploads.c.id == upload.id).values(changed=changed, report=dict(report))
    return upload_from_row(connection.execute(change.returning(uploads)).one())


def list_uploads(connection: Connection, funnel_id: int, *, limit: int = 100) -> tuple[Upload, ...]:
    """The newest uploads, newest first."""
    query = sa.select(uploads).where(uploads.c.funnel_id == funnel_id).order_by(uploads.c.number.desc()).limit(limit)
    return tuple(upload_from_row(row) for row in connection.execute(query))


def watermark(connection: Connection, funnel_id: int, *, as_of: datetime | None = None) -> int:
    """Number of the last upload recorded at or before `as_of` (None: of the last one); 0 before the first."""
    query = sa.select(sa.func.max(uploads.c.number)).where(uploads.c.funnel_id == funnel_id)
    if as_of is not None:
        query = query.where(uploads.c.recorded_at <= micros_from_datetime(as_of))
    return connection.execute(query).scalar() or 0


def changed_since(connection: Connection, funnel_id: int, number: int) -> int:
    """Rows changed by the uploads after `number`."""
    query = sa.select(sa.func.coalesce(sa.func.sum(uploads.c.changed), 0))
    found = connection.execute(query.where(uploads.c.funnel_id == funnel_id, uploads.c.number > number)).scalar_one()
    return int(found)


def fresh_until(connection: Connection, funnel_id: int) -> int | None:
    """Up to when the funnel's days are complete, µs since the epoch; None before the first upload.

    Events decide where there are any: a day missing from counts is seen to be missing, a day without
    events looks like a day on which nothing happened.
    """
    query = sa.select(uploads.c.kind, sa.func.max(uploads.c.fresh_until)).where(uploads.c.funnel_id == funnel_id)
    latest = {kind: int(instant) for kind, instant in connection.execute(query.group_by(uploads.c.kind))}
    return latest.get("events", latest.get("counts"))


def upload_from_row(row: Row[Any]) -> Upload:
    """A row of the table as an upload."""
    return Upload(
        id=row.id,
        funnel_id=row.funnel_id,
        number=row.number,
        recorded_at=datetime_from_micros(row.recorded_at),
        kind=row.kind,
        fresh_until=datetime_from_micros(row.fresh_until),
        changed=row.changed,
        report=row.report,
    )
