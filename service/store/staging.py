"""Staging: the rows of one upload, laid down in temporary tables before the upload takes any lock.

On SQLite they live in a file of their own, so that parsing an upload blocks no writer; on PostgreSQL
they are filled by COPY. Both vanish with the connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Connection

from models.records import NO_DAY, Counts, Events
from service.store.shapes import COUNTS, EVENTS, Shape

if TYPE_CHECKING:
    from service.store.database import Database

Lines = npt.NDArray[np.int64] | Sequence[int] | int


class Staging:
    """Collects the rows of one upload; made by `Database.stage`."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection
        self.rows: dict[str, int] = {EVENTS.table: 0, COUNTS.table: 0}
        """Rows staged so far, by table."""
        with connection.begin():
            for shape in (EVENTS, COUNTS):
                columns = ", ".join(
                    f"{name} {column_type(kind, database.dialect)}" for name, kind in shape.staged_columns
                )
                connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {shape.staged} ({columns})")

    def append_events(self, events: Events, *, lines: Lines) -> None:
        """Stage a chunk of events.

        Parameters
        ----------
        lines
            Line of each row, or of the first one when they follow each other: for errors only.
        """
        due_on = column_or_nulls(events.due_on, missing=events.due_on == NO_DAY)
        value = column_or_nulls(events.value, missing=np.isnan(events.value))
        texts = events.entity_id.tolist(), events.stage.tolist()
        self._append(EVENTS, lines, [*texts, events.ts.tolist(), value, due_on, events.segment.tolist()])

    def append_counts(self, counts: Counts, *, lines: Lines) -> None:
        """Stage a chunk of counts; `lines` as for events."""
        value = column_or_nulls(counts.value, missing=np.isnan(counts.value))
        texts = counts.segment.tolist(), counts.stage.tolist()
        self._append(COUNTS, lines, [*texts, counts.ds.tolist(), counts.y.tolist(), value])

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction that sees the staged rows: for `merge_events` and what belongs to it."""
        with self._database.write_turn(), self._database.begin_write(self._connection):
            yield self._connection

    def _append(self, shape: Shape, lines: Lines, columns: list[Any]) -> None:
        count = len(columns[0])
        numbers = range(lines, lines + count) if isinstance(lines, int) else np.asarray(lines).tolist()
        with self._connection.begin():
            cursor: Any = self._connection.connection.cursor()
            try:
                rows = zip(numbers, *columns, strict=False)  # a column of nulls is endless
                if self._database.dialect == "postgresql":
                    copy_rows(cursor, shape, rows)
                else:
                    marks = ", ".join("?" * len(shape.staged_columns))
                    cursor.executemany(f"INSERT INTO temp.{shape.staged} VALUES ({marks})", rows)  # noqa: S608
            finally:
                cursor.close()
        self.rows[shape.table] += count


def column_type(kind: str, dialect: str) -> str:
    """The type as the tables have it: names compare by code point, which PostgreSQL has to be told."""
    return 'TEXT COLLATE "C"' if kind == "TEXT" and dialect == "postgresql" else kind


def copy_rows(cursor: Any, shape: Shape, rows: Iterator[tuple[Any, ...]]) -> None:
    """COPY rows into a temporary table of PostgreSQL."""
    names = ", ".join(name for name, _ in shape.staged_columns)
    with cursor.copy(f"COPY {shape.staged} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def column_or_nulls(values: npt.NDArray[Any], *, missing: npt.NDArray[np.bool_]) -> Any:
    """The values as Python objects with None where missing; one endless None when all are."""
    if missing.all():
        return repeat(None)
    if not missing.any():
        return values.tolist()
    objects = values.astype(object)
    objects[missing] = None
    return objects.tolist()
