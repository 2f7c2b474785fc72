"""The database: snapshots, turns to write, and what happens when it goes away."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from models.funnel import Funnel
from service.store import engines
from service.store.database import Database
from service.store.engines import journal_mode
from service.store.errors import DatabaseUrlError, StoreBusyError, StoreUnavailableError
from service.store.funnels import declare_funnel, find_funnel, list_funnels
from service.store.uploads import list_uploads

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FUNNEL = Funnel(stages=("lead", "won"))
ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from datetime import UTC, datetime
from service.store.database import Database
from service.store.uploads import begin_upload

with Database(sys.argv[1]) as database:
    for _ in range(60):
        with database.write() as connection:
            begin_upload(connection, 1, kind="events", now=datetime.now(UTC))
"""


def test_a_read_sees_one_snapshot_while_others_write(database):
    with database.read() as reading:
        assert list_funnels(reading) == ()
        with database.write() as writing:
            declare_funnel(writing, "sales", FUNNEL, now=NOW)
        assert list_funnels(reading) == ()
    with database.read() as reading:
        assert [record.name for record in list_funnels(reading)] == ["sales"]


def test_a_write_that_raises_leaves_nothing_behind(database):
    def declare_and_fail() -> None:
        with database.write() as connection:
            declare_funnel(connection, "sales", FUNNEL, now=NOW)
            raise KeyError

    with pytest.raises(KeyError):
        declare_and_fail()
    with database.read() as connection:
        assert find_funnel(connection, "sales") is None


def test_two_processes_that_write_at_once_lose_nothing(database, store_url):
    with database.write() as connection:
        declare_funnel(connection, "sales", FUNNEL, now=NOW)
    command = [sys.executable, "-c", WRITER, store_url]
    writers = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    with database.read() as connection:
        uploads = list_uploads(connection, 1, limit=1000)
    assert [upload.number for upload in uploads] == list(range(120, 0, -1))
    instants = [upload.recorded_at for upload in reversed(uploads)]
    assert all(earlier < later for earlier, later in pairwise(instants))


def test_a_writer_that_waits_too_long_is_told_that_the_store_is_busy(database, store_url):
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write() as connection:
            declare_funnel(connection, "held", FUNNEL, now=NOW)
            holding.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait(30)
    try:
        with Database(store_url, timeout=0.2) as second, pytest.raises(StoreBusyError), second.write() as connection:
            declare_funnel(connection, "held", FUNNEL, now=NOW)
    finally:
        release.set()
        holder.join()


def test_reading_a_missing_sqlite_file_fails_and_makes_none(tmp_path):
    path = tmp_path / "absent.db"
    with Database(f"sqlite:///{path}") as database:
        with pytest.raises(StoreUnavailableError):
            database.ping()
        assert not path.exists()
        database.migrate()
        database.ping()
        assert path.exists()


def test_a_sqlite_file_that_was_moved_away_is_not_written_behind_everyones_back(sqlite_database, tmp_path):
    path = tmp_path / "store.db"
    sqlite_database.ping()
    path.rename(tmp_path / "moved.db")
    with pytest.raises(StoreUnavailableError), sqlite_database.write() as connection:
        declare_funnel(connection, "lost", FUNNEL, now=NOW)
    (tmp_path / "moved.db").rename(path)
    with sqlite_database.write() as connection:
        declare_funnel(connection, "kept", FUNNEL, now=NOW)


def test_sqlite_commits_durably_and_checks_foreign_keys(sqlite_database):
    with sqlite_database.read() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "foreign_keys")
        }
    assert pragma == {"synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize(
    ("version", "journal"), [((3, 40, 1), "DELETE"), ((3, 51, 2), "DELETE"), ((3, 51, 3), "WAL"), ((3, 53, 4), "WAL")]
)
def test_the_write_ahead_log_is_used_only_where_it_is_safe(version, journal):
    assert journal_mode(version) == journal


def test_the_interpreters_own_sqlite_serves_too(sqlite_url, monkeypatch):
    monkeypatch.setattr(engines, "sqlite_driver", lambda: sqlite3)
    with Database(sqlite_url) as database:
        database.migrate()
        with database.write() as connection:
            declare_funnel(connection, "sales", FUNNEL, now=NOW)
        with database.read() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
            assert find_funnel(connection, "sales") is not None
    assert mode.upper() == journal_mode(sqlite3.sqlite_version_info)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://root@localhost/x", "no url"])
def test_a_url_that_cannot_be_used_is_refused_before_anything_is_connected(url):
    with pytest.raises(DatabaseUrlError):
        Database(url)


def test_an_unreachable_server_is_an_unavailable_store():
    with Database("postgresql://nobody@127.0.0.1:1/none") as database, pytest.raises(StoreUnavailableError):
        database.ping()


def test_a_lost_server_connection_is_an_unavailable_store_and_the_next_read_works(empty_postgres_url):
    def lose_connection(database: Database) -> None:
        with database.read() as connection:
            own = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
            with database.engine.connect() as other:
                other.execute(sa.text("SELECT pg_terminate_backend(:own)"), {"own": own})
            connection.execute(sa.text("SELECT 1"))

    with Database(empty_postgres_url) as database:
        with pytest.raises(StoreUnavailableError):
            lose_connection(database)
        database.ping()
