"""Reading observations back as columns, as they are known now or were known at a past instant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Connection

from models.records import NO_DAY, Counts, Events
from service.store.shapes import COUNTS, EVENTS, Shape
from service.store.uploads import watermark

CHUNK = 100_000
"""Rows fetched at a time."""

Rows = TypeVar("Rows", Events, Counts)


def read_events(connection: Connection, funnel_id: int, *, as_of: datetime | None = None) -> Events:
    """All events of a funnel that are not retracted, in the order of their key.

    Parameters
    ----------
    as_of
        Instant whose knowledge is used: uploads recorded later are as if they had never come. None: all.
    """
    names: dict[str, str] = {}
    return Events.concat(
        Events(
            entity_id=texts(entity_id),
            stage=texts(stage, names),
            ts=np.array(ts, dtype=np.int64),
            value=np.array(value, dtype=np.float64),
            due_on=days(due_on),
            segment=texts(segment, names),
        )
        for entity_id, stage, ts, value, due_on, segment in read_columns(connection, EVENTS, funnel_id, as_of)
    )


def read_counts(connection: Connection, funnel_id: int, *, as_of: datetime | None = None) -> Counts:
    """All counts of a funnel, in the order of their key; `as_of` as in `read_events`."""
    names: dict[str, str] = {}
    return Counts.concat(
        Counts(
            ds=np.array(ds, dtype=np.int64),
            stage=texts(stage, names),
            y=np.array(y, dtype=np.float64),
            value=np.array(value, dtype=np.float64),
            segment=texts(segment, names),
        )
        for segment, stage, ds, y, value in read_columns(connection, COUNTS, funnel_id, as_of)
    )


def read_columns(
    connection: Connection, shape: Shape, funnel_id: int, as_of: datetime | None
) -> Iterator[tuple[Sequence[Any], ...]]:
    """The columns of `shape.columns`, some rows at a time."""
    columns = ", ".join(shape.columns)
    these = f"WHERE funnel_id = {int(funnel_id)} AND NOT retracted"
    query = f"SELECT {columns} FROM {shape.table} {these}"  # noqa: S608
    if as_of is not None:
        known = int(watermark(connection, funnel_id, as_of=as_of))
        query = (
            f"{query} AND upload <= {known} UNION ALL SELECT {columns} FROM {shape.revisions} "  # noqa: S608
            f"{these} AND upload <= {known} AND superseded_by > {known}"
        )
    # The driver's own cursor (a named one stays on PostgreSQL's side): SQLAlchemy's rows double the time.
    driver: Any = connection.connection.dbapi_connection  # also on the detached connection of a Staging
    cursor = driver.cursor(name="observations") if connection.dialect.name == "postgresql" else driver.cursor()
    try:
        cursor.execute(f"{query} ORDER BY {', '.join(shape.key_names)}")
        while rows := cursor.fetchmany(CHUNK):
            yield tuple(zip(*rows, strict=True))
    finally:
        cursor.close()


def texts(values: Sequence[str], known: dict[str, str] | None = None) -> npt.NDArray[np.object_]:
    """A column of texts; one object for equal names, where `known` collects them."""
    if known is not None:
        values = [known.setdefault(value, value) for value in values]
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def days(values: Sequence[int | None]) -> npt.NDArray[np.int32]:
    """A column of days; NO_DAY for null."""
    return np.array([NO_DAY if value is None else value for value in values], dtype=np.int32)
