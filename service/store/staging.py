"""Staging: the rows of one upload, laid down in tables of their own before the upload takes any lock.

On PostgreSQL these are temporary tables, filled by COPY. On SQLite they live in a scratch file that is
attached to the connection and has no name any more: temporary tables, and any sorting, may be built to stay
in memory, so the tables there are kept in the order of their key, and an upload costs bounded memory however
long it is. Both vanish with the connection, or the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from models.records import NO_DAY, Counts, Events
from service.store.shapes import COUNTS, EVENTS, Shape

if TYPE_CHECKING:
    from service.store.database import Database

SCRATCH = "scratch"
"""Name of the attached scratch file, on SQLite."""
CLEARED = "staged_cleared"
"""Table of the entities that a whole table names without any event."""

Columns = tuple[tuple[str, str], ...]
Lines = npt.NDArray[np.int64] | Sequence[int] | int


class Staging:
    """Collects the rows of one upload; made by `Database.stage`."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection
        self.rows: dict[str, int] = {EVENTS.table: 0, COUNTS.table: 0}
        """Rows staged so far, by table."""
        if database.path is not None:
            attach_scratch_file(connection, database.path)
        with connection.begin():
            for shape in (EVENTS, COUNTS):
                key = (*shape.key_names, "line")
                statement = scratch_table(shape.staged, shape.staged_columns, dialect=database.dialect, key=key)
                connection.exec_driver_sql(statement)
            cleared = scratch_table(CLEARED, (("entity_id", "TEXT"),), dialect=database.dialect, key=["entity_id"])
            connection.exec_driver_sql(cleared)

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

    def append_cleared(self, entity_ids: Sequence[str]) -> None:
        """Stage entities that a whole table names without any event."""
        if entity_ids:
            statement = sa.text(f"INSERT INTO {CLEARED} VALUES (:entity_id) ON CONFLICT DO NOTHING")  # noqa: S608
            with self._connection.begin():
                self._connection.execute(statement, [{"entity_id": entity_id} for entity_id in entity_ids])

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction that sees the staged rows: for `merge_events` and what belongs to it."""
        with self._database.write_turn():
            self._set_journal("MEMORY")
            with self._database.begin_write(self._connection):
                yield self._connection
            self._set_journal("OFF")

    def _set_journal(self, mode: str) -> None:
        # While rows are laid down nothing is rolled back; a write transaction may be.
        if self._database.path is not None:
            cursor = self._connection.connection.cursor()
            cursor.execute(f"PRAGMA {SCRATCH}.journal_mode={mode}")
            cursor.close()

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
                    cursor.executemany(f"INSERT INTO {SCRATCH}.{shape.staged} VALUES ({marks})", rows)  # noqa: S608
            finally:
                cursor.close()
        self.rows[shape.table] += count


def attach_scratch_file(connection: Connection, path: Path) -> None:
    """Attach a file without a name, beside the database: there is room, and the right to write."""
    scratch = path.with_name(f"{path.name}-staging-{uuid4().hex}")
    cursor = connection.connection.cursor()
    try:
        cursor.execute(f"ATTACH 'file:{quote(str(scratch))}?mode=rwc' AS {SCRATCH}")
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-65536"):
            cursor.execute(f"PRAGMA {SCRATCH}.{pragma}")
        cursor.execute(f"CREATE TABLE {SCRATCH}.opened (at)")  # the file is made by the first write
    finally:
        cursor.close()
        scratch.unlink(missing_ok=True)


def scratch_table(name: str, columns: Columns, *, dialect: str, key: Sequence[str] = ()) -> str:
    """Statement that makes a table beside the staged rows; on SQLite kept in the order of `key`, if given."""
    if dialect == "postgresql":
        # Names compare by code point, as in the tables themselves.
        kinds = ((column, kind.replace("TEXT", 'TEXT COLLATE "C"')) for column, kind in columns)
        return f"CREATE TEMPORARY TABLE {name} ({', '.join(map(' '.join, kinds))})"
    listed = ", ".join(map(" ".join, columns))
    if not key:
        return f"CREATE TABLE {SCRATCH}.{name} ({listed})"
    return f"CREATE TABLE {SCRATCH}.{name} ({listed}, PRIMARY KEY ({', '.join(key)})) WITHOUT ROWID"


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
