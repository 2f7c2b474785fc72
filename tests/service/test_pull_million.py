"""Pulling a table of a million rows: stored as by a fresh load, in a time and memory that are printed."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from service.store.database import Database
from tests.service.pulls import run_cli


@contextmanager
def big_table(url: str) -> Iterator[sa.Engine]:
    """A PostgreSQL table of a million rows: 400,000 entities, two or three stages each."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE crm_steps AS SELECT 'e' || e AS entity_id, (ARRAY['lead','offer','won'])[s] AS stage, "
                "timestamptz '2024-01-01Z' + e * interval '1 minute' + s * interval '1 day' AS ts, "
                "(e % 100)::numeric AS value, (ARRAY['north','south'])[1 + e % 2] AS segment, "
                "timestamptz '2024-01-01Z' + e * interval '1 minute' + s * interval '1 day' AS updated_at "
                "FROM generate_series(1, 400000) e, generate_series(1, 3) s WHERE s < 3 OR e % 2 = 0"
            )
        )
        connection.execute(sa.text("CREATE INDEX ON crm_steps (updated_at)"))
    yield engine
    engine.dispose()


def differing(database: Database, one: str, other: str) -> int:
    """Rows that only one of two funnels holds; counted by the database, whose memory is not ours."""
    rows = (
        "SELECT entity_id, stage, ts, value, due_on, segment FROM events JOIN funnels ON funnels.id = funnel_id "
        "WHERE NOT retracted AND name = "
    )
    query = f"SELECT count(*) FROM ({rows} :a EXCEPT {rows} :b)"
    with database.read() as connection:
        sides = ({"a": one, "b": other}, {"a": other, "b": one})
        return sum(connection.execute(sa.text(query), names).scalar_one() for names in sides)


@pytest.mark.slow
def test_a_table_of_a_million_rows_that_changes_between_two_pulls_is_stored_as_by_a_fresh_load(
    empty_postgres_url, tmp_path
):
    store = tmp_path / "store.db"
    command = ("--query", "SELECT * FROM crm_steps", "--watermark", "updated_at", "--stages", "lead,offer,won")

    def timed(funnel: str, *more: str) -> str:
        started = time.monotonic()
        done = run_cli("--funnel", funnel, *command, *more, store=store, NEARCAST_PULL_URL=empty_postgres_url)
        assert done.returncode == 0, done.stderr
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{funnel} {' '.join(more)}: {time.monotonic() - started:.1f} s, peak so far {memory:.0f} MiB")
        return done.stdout

    with big_table(empty_postgres_url) as engine, Database(f"sqlite:///{store}") as database:
        assert "1,000,000 events read: 1,000,000 new" in timed("deals", "--timezone", "UTC")
        with engine.begin() as connection:
            for statement in (
                "INSERT INTO crm_steps SELECT 'n' || e, 'lead', now() - interval '1 h', e, 'west', now() "
                "FROM generate_series(1, 5000) e",
                "UPDATE crm_steps SET ts = ts + interval '1 h', updated_at = now() WHERE stage = 'won' AND value < 4",
                "UPDATE crm_steps SET value = value + 1, updated_at = now() WHERE stage = 'offer' AND value > 97",
            ):
                connection.execute(sa.text(statement))
        assert " 1,0" not in timed("deals").partition("events read")[0]
        timed("fresh", "--timezone", "UTC")
        assert differing(database, "deals", "fresh") == 0
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM crm_steps WHERE value = 50"))
            connection.execute(sa.text("UPDATE crm_steps SET segment = 'east' WHERE value = 51"))
        timed("deals", "--full")
        timed("fresh2", "--timezone", "UTC")
        assert differing(database, "deals", "fresh2") == 0
