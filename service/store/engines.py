"""SQLAlchemy engines, with what was learnt about each driver.

SQLite: the wheel `pysqlite3` where it exists, because the system's SQLite is mostly older than 3.51.3 and
its WAL can be corrupted by several processes (sqlite.org/wal.html#walresetbug); on such a version the
rollback journal is used instead.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import orjson
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError

from service.store.bulk import BINARY
from service.store.errors import DatabaseUrlError

BEGIN = "nearcast_begin"
"""Execution option of a connection: the statement that begins its SQLite transactions."""
SAFE_WAL = (3, 51, 3)
"""First SQLite whose write-ahead log is safe with several processes."""
CONNECT_TIMEOUT = 5
"""Seconds to wait for a PostgreSQL server."""


def make_engine(url: str, *, timeout: float) -> Engine:
    """Engine for a database URL; connects to nothing.

    Raises DatabaseUrlError for another database, a missing driver, or SQLite in memory.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseUrlError("not a database URL; use sqlite:///file.db or postgresql://…") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return make_sqlite_engine(parsed, timeout=timeout)
    if backend in ("postgresql", "postgres"):
        return make_postgres_engine(parsed, timeout=timeout)
    raise DatabaseUrlError(f"{backend} is not supported; use sqlite:///file.db or postgresql://…")


def sqlite_path(url: URL) -> Path | None:
    """Absolute path of a SQLite file; None for another database."""
    if url.get_backend_name() != "sqlite":
        return None
    assert url.database is not None
    return Path(url.database).absolute()


def sqlite_driver() -> ModuleType:
    """`pysqlite3` where it is installed, else the interpreter's own sqlite3."""
    try:
        from pysqlite3 import dbapi2  # noqa: PLC0415 - has no wheel on some machines
    except ImportError:
        import sqlite3  # noqa: PLC0415

        return sqlite3
    assert isinstance(dbapi2, ModuleType)
    return dbapi2


def journal_mode(version: tuple[int, ...]) -> str:
    """The journal that is safe with several processes on this version of SQLite."""
    return "WAL" if version >= SAFE_WAL else "DELETE"


def choose_journal(connection: Any, journal: str, *, timeout: float) -> None:
    """Set the journal; while another does the same to a new file, SQLite refuses at once instead of waiting."""
    give_up = time.monotonic() + timeout
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode={journal}").fetchall()
        except sqlite_driver().OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def make_sqlite_engine(url: URL, *, timeout: float) -> Engine:
    """Engine for a SQLite file: explicit transactions, durable commits, a journal that is safe."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise DatabaseUrlError("SQLite needs a file that all processes can open: sqlite:///file.db")
    path = Path(url.database).absolute()
    driver = sqlite_driver()
    journal = journal_mode(driver.sqlite_version_info)

    def connect() -> Any:
        # mode=rw: opening a missing database must fail, not make an empty one.
        address = f"file:{quote(str(path))}?mode=rw"
        connection = driver.connect(
            address, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        choose_journal(connection, journal, timeout=timeout)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "cache_size=-32768"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection

    engine = sa.create_engine(
        URL.create("sqlite", database=str(path)),
        module=driver,
        creator=connect,
        json_serializer=json_text,
        json_deserializer=orjson.loads,
    )

    @event.listens_for(engine, "connect")
    def remember_file(_: object, record: Any) -> None:
        record.info["file"] = file_identity(path)

    @event.listens_for(engine, "checkout")
    def check_file(_: object, record: Any, __: object) -> None:
        # A connection to a file since moved or replaced would go on, reading and writing what nobody sees.
        if record.info["file"] != file_identity(path):
            raise DisconnectionError

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # The driver would begin late and deferred: a read that then writes fails with "database is locked".
        connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))

    return engine


def make_postgres_engine(url: URL, *, timeout: float) -> Engine:
    """Engine for PostgreSQL through psycopg 3."""
    try:
        import psycopg  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise DatabaseUrlError("PostgreSQL needs the extra: pip install 'nearcast[postgres]'") from error
    options = {
        "application_name": "nearcast",
        "connect_timeout": CONNECT_TIMEOUT,
        "keepalives_idle": 30,
        "tcp_user_timeout": 30_000,
        "options": f"-c lock_timeout={int(timeout * 1000)}",
    }
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args={name: value for name, value in options.items() if name not in url.query},
        json_serializer=json_text,
        json_deserializer=orjson.loads,
    )

    @event.listens_for(engine, "before_cursor_execute")
    def choose_format(_: object, cursor: Any, __: str, ___: object, context: Any, many: bool) -> None:
        if not many and context.execution_options.get(BINARY):
            cursor.format = psycopg.pq.Format.BINARY

    return engine


def json_text(value: Any) -> str:
    """JSON for a column: NaN becomes null, numpy numbers are numbers."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS).decode()


def file_identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - once a checkout: a Path method costs thrice
    except OSError:
        return None
    return found.st_dev, found.st_ino
