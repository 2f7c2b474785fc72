"""Reading observations back as columns, as they are known now or were known at a past instant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Connection

from models.records import NO_DAY, Counts, Events
from service.store.shapes import COUNTS, EVENTS, Shape
from service.store.uploads import watermark

CHUNK = 100_000
"""Rows fetched at a time."""

Rows = TypeVar("Rows", Events, Counts)
Columns = tuple[Sequence[Any], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Changes(Generic[Rows]):
    """Rows as they are now; retracted: (rows,), those that no longer count."""

    rows: Rows
    retracted: npt.NDArray[np.bool_]


def standing(rows: Rows) -> Changes[Rows]:
    """Rows of which none is retracted."""
    return Changes(rows, np.zeros(len(rows), dtype=np.bool_))


def read_events(connection: Connection, funnel_id: int, *, as_of: datetime | None = None) -> Events:
    """All events of a funnel that are not retracted, in the order of their key.

    Parameters
    ----------
    as_of
        Instant whose knowledge is used: uploads recorded later are as if they had never come. None: all.
    """
    return events_from_columns(read_columns(connection, select_known(connection, EVENTS, funnel_id, as_of)))


def read_counts(connection: Connection, funnel_id: int, *, as_of: datetime | None = None) -> Counts:
    """All counts of a funnel, in the order of their key; `as_of` as in `read_events`."""
    return counts_from_columns(read_columns(connection, select_known(connection, COUNTS, funnel_id, as_of)))


def read_changes(connection: Connection, funnel_id: int, *, since: int) -> tuple[Changes[Events], Changes[Counts]]:
    """The present state of all rows that uploads after number `since` wrote, in no order."""
    found = []
    for shape in (EVENTS, COUNTS):
        these = f"WHERE funnel_id = {int(funnel_id)} AND upload > {int(since)}"
        query = f"SELECT {', '.join(shape.columns)}, retracted FROM {shape.table} {these}"  # noqa: S608
        found.append(list(read_columns(connection, query)))
    events, counts = ([columns[:-1] for columns in part] for part in found)
    gone = [np.array([bool(one) for columns in part for one in columns[-1]], dtype=np.bool_) for part in found]
    return Changes(events_from_columns(events), gone[0]), Changes(counts_from_columns(counts), gone[1])


def events_from_columns(chunks: Iterable[Columns]) -> Events:
    """Rows from the columns of EVENTS."""
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
        for entity_id, stage, ts, value, due_on, segment in chunks
    )


def counts_from_columns(chunks: Iterable[Columns]) -> Counts:
    """Rows from the columns of COUNTS."""
    names: dict[str, str] = {}
    return Counts.concat(
        Counts(
            ds=np.array(ds, dtype=np.int64),
            stage=texts(stage, names),
            y=np.array(y, dtype=np.float64),
            value=np.array(value, dtype=np.float64),
            segment=texts(segment, names),
        )
        for segment, stage, ds, y, value in chunks
    )


def select_known(connection: Connection, shape: Shape, funnel_id: int, as_of: datetime | None) -> str:
    """The query of what is known, or was known at an instant."""
    columns = ", ".join(shape.columns)
    these = f"WHERE funnel_id = {int(funnel_id)} AND NOT retracted"
    query = f"SELECT {columns} FROM {shape.table} {these}"  # noqa: S608
    if as_of is not None:
        known = int(watermark(connection, funnel_id, as_of=as_of))
        query = (
            f"{query} AND upload <= {known} UNION ALL SELECT {columns} FROM {shape.revisions} "  # noqa: S608
            f"{these} AND upload <= {known} AND superseded_by > {known}"
        )
    return f"{query} ORDER BY {', '.join(shape.key_names)}"


def read_columns(connection: Connection, query: str) -> Iterator[Columns]:
    """The columns of a query, some rows at a time."""
    # The driver's own cursor (a named one stays on PostgreSQL's side): SQLAlchemy's rows double the time.
    driver: Any = connection.connection.dbapi_connection  # also on the detached connection of a Staging
    cursor = driver.cursor(name="observations") if connection.dialect.name == "postgresql" else driver.cursor()
    try:
        cursor.execute(query)
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
