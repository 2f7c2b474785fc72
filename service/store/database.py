"""The database: one code path for SQLite (embedded) and PostgreSQL (production).

`read` gives a snapshot, `write` a transaction that no other writer can interleave with on SQLite,
`stage` a connection on which an upload is laid down before it takes any lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.store.engines import BEGIN, make_engine, sqlite_path
from service.store.errors import SchemaError, StoreBusyError, StoreError, StoreUnavailableError
from service.store.tables import SCHEMA_HEAD

if TYPE_CHECKING:
    from filelock import FileLock

    from service.store.staging import Staging

LOCK_POLL = 0.01
"""Seconds between two tries for the write lock of a SQLite file."""
REMEDY = "try again in a moment"
LOGGED = "the reason is in the log of the server"


class Database:
    """A pool of connections to one store; safe to share between threads, not between processes.

    Parameters
    ----------
    url
        `sqlite:///file.db` or `postgresql://user:password@host/database`.
    timeout
        Seconds to wait for another writer.

    Raises
    ------
    DatabaseUrlError
        For a URL that cannot be used. Nothing is connected to yet.
    """

    def __init__(self, url: str, *, timeout: float = 60.0) -> None:
        self.engine: Engine = make_engine(url, timeout=timeout)
        self.path: Path | None = sqlite_path(self.engine.url)
        self._timeout = timeout

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent snapshot; writing through it is a mistake.

        Raises StoreUnavailableError when the database is away, StoreBusyError when no connection is free.
        """
        with self._as_store_errors(), self.engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction: committed, durably, when the block ends; rolled back when it raises.

        Raises StoreUnavailableError when the database is away, StoreBusyError when another writer
        held it for longer than `timeout`.
        """
        with (
            self._as_store_errors(),
            self.write_turn(),
            self.engine.connect() as connection,
            self.begin_write(connection),
        ):
            yield connection

    @contextmanager
    def stage(self) -> Iterator[Staging]:
        """A `Staging` for one upload: temporary tables on a connection of its own, gone at the end."""
        from service.store.staging import Staging  # noqa: PLC0415 - staging knows this module

        with self._as_store_errors():
            connection = self.engine.connect()
            try:
                connection.detach()  # closed for good afterwards, and its temporary tables with it
                yield Staging(self, connection)
            finally:
                connection.close()

    @contextmanager
    def begin_write(self, connection: Connection) -> Iterator[Connection]:
        """Begin a write transaction on a given connection; the caller holds the `write_turn`."""
        connection.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        try:
            with connection.begin():
                yield connection
        finally:
            if not connection.closed:
                connection.execution_options(**{BEGIN: "BEGIN"})

    def write_turn(self) -> AbstractContextManager[object]:
        """Wait for the turn to write: an OS lock beside the SQLite file; nothing on PostgreSQL."""
        return self._file_lock() if self.path else nullcontext()

    def ping(self) -> None:
        """Raise StoreUnavailableError unless the database answers."""
        with self.read() as connection:
            connection.execute(sa.text("SELECT 1"))

    def schema_version(self) -> str | None:
        """Name of the newest migration applied; None: an empty database."""
        with self.read() as connection:
            return schema_version(connection)

    def migrate(self) -> bool:
        """Bring the schema to the one of this release; make the SQLite file if there is none.

        Returns whether anything was done. All or nothing, and safe to call from several processes at once.
        Raises SchemaError when the database was written by a newer release.
        """
        if self.path is not None and not self.path.exists():
            self._make_file(self.path)
        if self.schema_version() == SCHEMA_HEAD:
            return False
        from service.migrations import upgrade  # noqa: PLC0415 - Alembic is slow to import and seldom needed

        with self.write() as connection:
            return upgrade(connection)

    def check_schema(self) -> None:
        """Raise SchemaError, with the remedy, unless the schema is the one of this release."""
        found = self.schema_version()
        if found is not None and found > SCHEMA_HEAD:  # names are numbers of one length
            raise SchemaError(f"the database has schema {found}, of a newer release; upgrade nearcast")
        if found != SCHEMA_HEAD:
            state = "is empty" if found is None else f"has schema {found}"
            raise SchemaError(f"the database {state}, this release needs {SCHEMA_HEAD}; run `nearcast migrate`")

    @property
    def driver_errors(self) -> tuple[type[BaseException], ...]:
        """What the driver raises, bare or wrapped: their texts tell statements and rows, and are for the log alone."""
        return DBAPIError, self.engine.dialect.loaded_dbapi.Error

    def close(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()

    def _make_file(self, path: Path) -> None:
        try:
            path.touch()
        except OSError as error:
            cause = f"{path}: {error.strerror}"
            raise StoreUnavailableError(f"the database file cannot be made; {LOGGED}", cause=cause) from error

    @cached_property
    def _lock(self) -> FileLock:
        """SQLite lets waiting writers starve each other; an OS lock that all processes queue at does not."""
        from filelock import FileLock  # noqa: PLC0415 - a server that only reads starts without it

        return FileLock(f"{self.path}.lock")

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        from filelock import Timeout as LockTimeout  # noqa: PLC0415 - as above

        try:
            lock = self._lock.acquire(timeout=self._timeout, poll_interval=LOCK_POLL)
        except LockTimeout as error:
            said = f"another writer holds the database for over {self._timeout:g} s; try again"
            raise StoreBusyError(said, cause=str(self.path)) from error
        except OSError as error:
            cause = f"{self.path}.lock: {error.strerror}"
            raise StoreUnavailableError(f"the database file cannot be locked; {LOGGED}", cause=cause) from error
        with lock:
            yield

    @contextmanager
    def _as_store_errors(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeout as error:
            raise StoreBusyError("all database connections are in use; try again") from error
        except OperationalError as error:
            raise self._store_error(error.orig) from error
        except self.engine.dialect.loaded_dbapi.OperationalError as error:  # from the driver's own cursor
            raise self._store_error(error) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise StoreUnavailableError(
                    f"the database went away; {REMEDY}", cause=first_line(error.orig)
                ) from error
            raise

    def _store_error(self, error: BaseException | None) -> StoreError:
        """What a driver's operational error means to the caller."""
        text = first_line(error)
        if "database is locked" in text or "lock timeout" in text:
            return StoreBusyError("another writer holds the database; try again")
        if self.path is not None and not self.path.exists():
            said = "there is no database file; `nearcast migrate` makes one"
            return StoreUnavailableError(said, cause=str(self.path))
        return StoreUnavailableError(f"the database does not answer; {REMEDY}", cause=text)


def schema_version(connection: Connection) -> str | None:
    """Name of the newest migration applied; None: an empty database."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def first_line(error: BaseException | None) -> str:
    """The first line of a driver's message: the rest repeats connection parameters."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
