"""Rows of a query on any database that SQLAlchemy reaches: one read-only snapshot, streamed."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, CursorResult, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from models.errors import InputError, NearcastError, Problem
from service.ingest.chunks import CHUNK_ROWS, Chunk
from service.ingest.intake import Intake
from service.pull.marks import Highest, Mark
from service.store.engines import sqlite_driver

URL_VARIABLE = "NEARCAST_PULL_URL"


class SourceUnavailableError(NearcastError):
    """The database that is pulled from does not answer."""

    slug = "source-unavailable"


class QuerySource:
    """A query; nothing is connected to before the first chunk.

    Parameters
    ----------
    url
        Of SQLAlchemy; a password in it is never shown.
    query
        One SELECT, without the condition on the watermark.
    watermark
        Column of the query that rises as rows are written; None: all rows are read each time.
    entity
        Column of the query that names the entity: all rows of an entity are read again when one has
        changed. None: rows stand for themselves.

    Raises
    ------
    InputError
        For a URL that cannot be used.
    """

    def __init__(self, url: str, query: str, *, watermark: str | None, entity: str | None) -> None:
        self._engine = make_source_engine(url)
        self._query = query.strip().rstrip(";").strip()
        self._watermark = watermark
        self._entity = entity
        self._highest = Highest(watermark or "", texts=self._engine.dialect.name == "sqlite")

    @property
    def identity(self) -> str:
        """What is read, and by which column it goes on."""
        return f"{self._watermark or ''}\n{self._query}"

    @property
    def watermark(self) -> str | None:
        """Column by which it goes on."""
        return self._watermark

    @property
    def highest(self) -> Highest:
        """Of the watermarks read so far."""
        return self._highest

    @property
    def place(self) -> str | None:
        """Rows of a query have no other place than their number."""
        return None

    def chunks(self, since: Mark | None, _: Intake) -> Generator[Chunk]:
        """Rows from `since` on, that value included, and those without a watermark; `lines` are row numbers.

        Raises InputError for a query that fails, SourceUnavailableError when the database does not answer.
        """
        with self._errors(), self._snapshot() as connection:
            statement, values = sa.text(self._statement(since)), {} if since is None else {"since": since}
            with closing(connection.execute(statement, values)) as result:
                names = list(result.keys())
                self._check(names)
                yield Chunk({name: [] for name in names}, np.zeros(0, dtype=np.int64))
                yield from self._read(result, names)

    def _read(self, result: CursorResult[Any], names: Sequence[str]) -> Iterator[Chunk]:
        place = names.index(self._watermark) if self._watermark else None
        line = 1
        for rows in result.partitions(CHUNK_ROWS):
            columns = list(zip(*rows, strict=True))
            if place is not None:
                self._highest.add(columns[place])
            texts = {name: texts_from_values(column) for name, column in zip(names, columns, strict=True)}
            yield Chunk(texts, np.arange(line, line + len(rows), dtype=np.int64))
            line += len(rows)

    def _statement(self, since: Mark | None) -> str:
        quoted = self._engine.dialect.identifier_preparer.quote
        query = self._query.replace(":", r"\:")  # nothing in it is a parameter of ours
        every = f"SELECT * FROM (\n{query}\n) pulled"  # noqa: S608 - the owner's own query, read-only
        if since is None or self._watermark is None:
            return every
        column = quoted(self._watermark)
        changed = f"({column} >= :since OR {column} IS NULL)"
        if self._entity is None:
            return f"{every} WHERE {changed}"
        entity = quoted(self._entity)
        return f"{every} WHERE {entity} IN (SELECT {entity} FROM (\n{query}\n) changed WHERE {changed})"  # noqa: S608

    def _check(self, names: Sequence[str]) -> None:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(Problem(f"gives {twice[0]!r} twice", field="query", remedy="name each column once"))
        if self._watermark and self._watermark not in names:
            reason = f"gives no column {self._watermark!r}"
            raise InputError(Problem(reason, field="watermark", remedy=f"it gives {', '.join(names)}"))

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        """A transaction that sees one state of the source and cannot change it."""
        with self._engine.connect() as connection:
            connection.execution_options(stream_results=True, max_row_buffer=CHUNK_ROWS)
            if self._engine.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin() as transaction:
                yield connection
                transaction.rollback()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """The database's own errors as ours, without the URL's password."""
        try:
            yield
        except OperationalError as error:
            # Drivers call it so when the server is away, but SQLite also when the query names no such table.
            if self._engine.dialect.name == "sqlite" and "unable to open" not in str(error.orig):
                raise self._refused(error) from None
            raise SourceUnavailableError(f"the database of {URL_VARIABLE}: {self._reason(error)}") from None
        except SQLAlchemyError as error:
            raise self._refused(error) from None

    def _refused(self, error: SQLAlchemyError) -> InputError:
        return InputError(Problem(f"the database refuses it: {self._reason(error)}", field="query"))

    def _reason(self, error: SQLAlchemyError) -> str:
        cause = error.orig if isinstance(error, DBAPIError) else error
        text = str(cause).strip().partition("\n")[0] or type(error).__name__
        password = self._engine.url.password
        return text.replace(str(password), "***") if password else text


def make_source_engine(url: str) -> Engine:
    """Engine for reading from `url`; connects to nothing. Raises InputError, naming the variable and not the URL."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite_engine(parsed)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        return sa.create_engine(parsed, poolclass=NullPool)
    except (ArgumentError, NoSuchModuleError):
        reason, remedy = "is not a database URL", "write postgresql://user:password@host/database, or another's"
    except ModuleNotFoundError as error:
        reason, remedy = f"needs the driver {error.name}", f"pip install {error.name}"
    raise InputError(Problem(reason, field=URL_VARIABLE, remedy=remedy))


def _sqlite_engine(url: URL) -> Engine:
    """A SQLite file that cannot be written through this engine."""
    driver = sqlite_driver()
    path = Path(url.database or "").absolute()

    def connect() -> Any:
        return driver.connect(f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False)

    return sa.create_engine(url, module=driver, creator=connect, poolclass=NullPool)


def texts_from_values(values: Sequence[Any]) -> Sequence[str]:
    """A column as the texts that a file would hold; "" for null."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return values
    return [text_from_value(value) for value in values]


def text_from_value(value: Any) -> str:
    """One value as text. Raises InputError for bytes, of which nobody knows what they mean."""
    if value is None:
        return ""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        raise InputError(Problem("gives bytes in place of text", field="query", remedy="cast the column to text"))
    return str(value)
