"""Pulls: how far each source of a funnel has been read, moved only by the transaction that merges its rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.store.instants import micros_from_datetime
from service.store.tables import pulls
from service.store.uploads import Kind


@dataclass(frozen=True, slots=True)
class PullRecord:
    """What is remembered of a source.

    Parameters
    ----------
    name
        Of the source, within its funnel.
    source
        What was read, and by which column it goes on: another query is another source.
    watermark
        JSON-ready, see `service.pull.marks`; None: there is no such column, or no row had one.
    stages
        Stages that the source has told of.
    """

    name: str
    kind: Kind
    source: str
    watermark: dict[str, str] | None
    stages: tuple[str, ...]


def list_pulls(connection: Connection, funnel_id: int) -> tuple[PullRecord, ...]:
    """All sources of a funnel, by name."""
    query = sa.select(pulls).where(pulls.c.funnel_id == funnel_id).order_by(pulls.c.name)
    return tuple(
        PullRecord(row.name, row.kind, row.source, row.watermark, tuple(row.stages))
        for row in connection.execute(query)
    )


def save_pull(connection: Connection, funnel_id: int, record: PullRecord, *, now: datetime) -> None:
    """Remember how far a source has been read; in the transaction that merges its rows."""
    values: dict[str, Any] = {
        "kind": record.kind,
        "source": record.source,
        "watermark": record.watermark,
        "stages": list(record.stages),
        "read_at": micros_from_datetime(now),
    }
    here = (pulls.c.funnel_id == funnel_id) & (pulls.c.name == record.name)
    if not connection.execute(sa.update(pulls).where(here).values(**values)).rowcount:
        connection.execute(sa.insert(pulls).values(funnel_id=funnel_id, name=record.name, **values))
