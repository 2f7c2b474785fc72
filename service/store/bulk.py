"""Many rows in and large values out, by what each driver does best: SQLAlchemy's own way costs more than the work.

PostgreSQL takes rows by COPY while the next ones are still being made, and gives bytes as they are: as text, which is
what it is asked for otherwise, they are twice as many, written and read digit by digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.store.statements import commas

BINARY = "nearcast_binary"
"""Execution option of a query: PostgreSQL sends its result as it is kept; see `as_bytes`."""
TYPES: dict[type[Any], str] = {sa.Integer: "int4", sa.BigInteger: "int8", sa.Text: "text", sa.LargeBinary: "bytea"}
"""How PostgreSQL calls the types of columns whose rows are written in bulk."""


def insert_rows(connection: Connection, table: sa.Table, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows, each with a value for every column of the table; they are asked for one by one."""
    names = commas(column.name for column in table.columns)
    cursor: Any = connection.connection.cursor()
    with closing(cursor):
        if connection.dialect.name == "postgresql":
            with cursor.copy(f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types([TYPES[type(column.type)] for column in table.columns])
                for row in rows:
                    copy.write_row(row)
        else:
            marks = commas("?" for _ in table.columns)
            cursor.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)  # noqa: S608


def stream_rows(connection: Connection, query: sa.Select[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows of a query one by one: PostgreSQL gets the next ones ready while one is worked on, but not all of them.

    Nothing else can be asked on this connection meanwhile.
    """
    if connection.dialect.name == "postgresql":
        compiled = query.compile(dialect=connection.dialect)
        cursor: Any = connection.connection.cursor()
        with closing(cursor), closing(cursor.stream(str(compiled), compiled.params, binary=True)) as rows:
            yield from rows
    else:
        with connection.execute(query) as result:
            yield from map(tuple, result)


def as_bytes(query: sa.Select[Any]) -> sa.Select[Any]:
    """The same query, its large values not turned into text on their way."""
    return query.execution_options(**{BINARY: True})
