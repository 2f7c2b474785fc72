"""Pulling from a database: what is stored equals a fresh load, however often and whenever it was read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from models.errors import FunnelError, InputError
from service.cli.reading import lines_from_report
from service.ingest import IngestOptions
from service.pull import PullReport, QuerySource, pull
from service.pull.query import SourceUnavailableError
from service.store.database import Database
from service.store.funnels import find_funnel, get_funnel
from service.store.observations import read_counts, read_events
from service.store.pulls import list_pulls
from tests.service.pulls import NOW, QUERY, Crm, run_cli, terms


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    crm = Crm(tmp_path / "crm.db")
    yield crm
    crm.close()


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """What is read does not depend on the engine of the store; what is merged is tested on `both`."""
    return sqlite_database


@pytest.fixture
def both(store_url: str) -> Iterator[Database]:
    """A migrated, empty store, on each engine in turn."""
    with Database(store_url) as database:
        database.migrate()
        yield database


def read(database: Database, crm: Crm, funnel: str = "deals", *, query: str = QUERY, **said: Any) -> PullReport:
    source = QuerySource(crm.url, query, watermark="updated_at", entity="entity_id")
    return pull(database, funnel, source, terms=terms(**said))


def stored(database: Database, funnel: str) -> list[tuple[Any, ...]]:
    with database.read() as connection:
        found = read_events(connection, get_funnel(connection, funnel).id)
    columns = (found.entity_id, found.stage, found.ts, found.value, found.due_on, found.segment)
    return sorted(tuple(map(str, row)) for row in zip(*(column.tolist() for column in columns), strict=True))


def check_as_fresh(database: Database, crm: Crm, *, query: str = QUERY) -> None:
    read(database, crm, f"fresh{time.monotonic_ns()}", query=query)
    with database.read() as connection:
        newest = connection.execute(sa.text("SELECT name FROM funnels ORDER BY id DESC LIMIT 1")).scalar_one()
    assert stored(database, "deals") == stored(database, newest)


def test_a_second_pull_reads_only_what_came_since_and_the_watermarks_own_instant_again(database, crm):
    first = read(database, crm)
    assert (first.since, first.upload.rows, first.upload.inserted) == (None, 60, 60)
    crm.add("e20", "lead", 11)
    second = read(database, crm)
    assert second.since == {"type": "text", "value": "2026-11-11T09:00:00"}
    # The three entities whose last row bears the watermark are read again, whole, beside the new one.
    assert (second.upload.rows, second.upload.inserted, second.upload.unchanged) == (7, 1, 6)
    check_as_fresh(database, crm)


def test_a_pull_run_again_changes_nothing(database, crm):
    read(database, crm)
    before = stored(database, "deals")
    report = read(database, crm).upload
    assert (report.inserted, report.revised, report.retracted) == (0, 0, 0)
    assert stored(database, "deals") == before


def test_a_time_corrected_in_place_does_not_leave_the_old_one_behind(both, crm):
    read(both, crm)
    late = "2026-11-15T10:00:00"
    crm.run("UPDATE steps SET ts = ?, updated_at = ? WHERE entity_id = 'e3-1' AND stage = 'offer'", late, late)
    crm.run("UPDATE steps SET value = 7, updated_at = ? WHERE entity_id = 'e4-1' AND stage = 'offer'", late)
    report = read(both, crm).upload
    assert (report.inserted, report.revised, report.retracted) == (1, 1, 1)
    check_as_fresh(both, crm)


def test_an_entity_that_reaches_a_stage_twice_keeps_both_times_when_only_the_later_is_new(database, crm):
    read(database, crm)
    crm.add("e2-0", "lead", 14)
    read(database, crm)
    assert [row[2] for row in stored(database, "deals") if row[:2] == ("e2-0", "lead")] == [
        str(round(datetime(2026, 11, day, 8, tzinfo=UTC).timestamp() * 1e6)) for day in (2, 14)
    ]
    check_as_fresh(database, crm)


def test_what_does_not_move_the_watermark_is_seen_by_a_full_read_only(both, crm):
    read(both, crm)
    crm.run("DELETE FROM steps WHERE entity_id = 'e1-0'")
    crm.run("UPDATE steps SET value = 99 WHERE entity_id = 'e2-0' AND stage = 'offer'")
    assert read(both, crm).upload.retracted == 0
    report = read(both, crm, full=True).upload
    assert (report.retracted, report.revised) == (2, 1)
    check_as_fresh(both, crm)
    with both.read() as connection:  # and the past stays readable
        record = get_funnel(connection, "deals")
        assert len(read_events(connection, record.id, as_of=NOW)) == 60


def test_a_full_read_of_an_empty_source_retracts_nothing(database, crm):
    read(database, crm)
    before = stored(database, "deals")
    crm.run("DELETE FROM steps")
    with pytest.raises(InputError, match="no rows"):
        read(database, crm, full=True)
    assert stored(database, "deals") == before


def test_rows_without_a_watermark_are_read_each_time(database, crm):
    read(database, crm)
    crm.add("e30", "lead", 12)
    crm.run("UPDATE steps SET updated_at = NULL WHERE entity_id = 'e30'")
    assert read(database, crm).upload.inserted == 1
    assert read(database, crm).upload.rows == 7


def test_a_row_from_the_far_future_does_not_hide_those_that_follow(database, crm):
    crm.run("UPDATE steps SET updated_at = '2099-01-01' WHERE entity_id = 'e1-0'")
    assert read(database, crm).watermark == {"type": "text", "value": "2026-11-21"}
    crm.add("e31", "lead", 20, at=21)
    assert read(database, crm).upload.inserted == 1


def test_the_watermark_stays_when_the_rows_are_refused(database, crm):
    first = read(database, crm)
    crm.add("e21", "lead", 12, at=13)
    crm.run("UPDATE steps SET ts = 'soon' WHERE entity_id = 'e21'")
    with pytest.raises(InputError, match="soon"):
        read(database, crm)
    with database.read() as connection:
        (record,) = list_pulls(connection, get_funnel(connection, "deals").id)
    assert record.watermark == first.watermark
    crm.run("UPDATE steps SET ts = '2026-11-12' WHERE entity_id = 'e21'")
    assert read(database, crm).upload.inserted == 1


def test_of_two_pulls_at_once_the_one_that_ends_second_keeps_nothing(both, crm):
    read(both, crm)
    crm.add("e22", "lead", 12, at=13)

    class Slow(QuerySource):
        def chunks(self, since, intake):
            yield from super().chunks(since, intake)
            read(both, crm)

    slow = Slow(crm.url, QUERY, watermark="updated_at", entity="entity_id")
    with pytest.raises(FunnelError, match="another pull"):
        pull(both, "deals", slow, terms=terms())
    check_as_fresh(both, crm)


def test_another_query_under_the_same_name_is_refused_until_a_full_read(database, crm):
    read(database, crm)
    other = QUERY + " WHERE stage = 'lead'"
    with pytest.raises(InputError, match="another query"):
        read(database, crm, query=other)
    report = read(database, crm, query=other, full=True)
    assert report.upload.retracted == 30
    assert "retracted: 30 events that are stored and not told any more" in lines_from_report(report.upload)


def test_a_full_read_by_no_column_or_by_an_empty_one_forgets_the_watermark_of_the_other(database, crm):
    read(database, crm)
    crm.run("ALTER TABLE steps ADD changed TEXT")
    for column in ("changed", None):
        source = QuerySource(crm.url, QUERY.replace("updated_at", "changed"), watermark=column, entity="entity_id")
        assert pull(database, "deals", source, terms=terms(full=True)).watermark is None


def test_two_sources_of_a_funnel_may_not_tell_of_the_same_stage(database, crm):
    read(database, crm, query=QUERY + " WHERE stage = 'lead'", name="crm")
    read(database, crm, query=QUERY + " WHERE stage = 'offer'", name="billing")
    assert len(stored(database, "deals")) == 60
    read(database, crm, query=QUERY + " WHERE stage = 'offer'", name="billing", full=True)
    assert len(stored(database, "deals")) == 60
    with pytest.raises(InputError, match="comes from 'billing' already"):
        read(database, crm, name="third")


def test_counts_are_pulled_and_revised_too(both, crm):
    crm.run("CREATE TABLE visits (ds TEXT, stage TEXT, y INTEGER, changed INTEGER)")
    for day in range(1, 10):
        crm.run("INSERT INTO visits VALUES (?, 'visit', ?, ?)", f"2026-11-{day:02d}", day * 10, day)

    def visits(*, full: bool = False) -> Any:
        source = QuerySource(crm.url, "SELECT * FROM visits;", watermark="changed", entity=None)
        options = IngestOptions(stages=("visit", "lead"), timezone="UTC")
        said = terms(kind="counts", name="visits", entities=False, options=options, full=full)
        return pull(both, "web", source, terms=said)

    assert visits().watermark == {"type": "int", "value": "9"}
    crm.run("UPDATE visits SET y = 11, changed = 10 WHERE ds = '2026-11-01'")
    report = visits().upload
    assert (report.rows, report.revised) == (2, 1)
    crm.run("DELETE FROM visits WHERE ds = '2026-11-02'")
    assert visits(full=True).upload.retracted == 1
    with both.read() as connection:
        found = read_counts(connection, get_funnel(connection, "web").id)
    assert sorted(found.y.tolist()) == [11, 30, 40, 50, 60, 70, 80, 90]


def test_a_table_with_one_row_per_entity_is_pulled_as_it_is(database, crm):
    crm.run("CREATE TABLE deals (id TEXT, created TEXT, offered TEXT, changed TEXT)")
    crm.run("INSERT INTO deals VALUES ('a', '2026-11-01', '2026-11-02', '2026-11-02'), ('b', '2026-11-01', NULL, '1')")
    options = IngestOptions(mapping={"entity_id": "id"}, wide={"lead": "created", "offer": "offered"}, timezone="UTC")

    def deals() -> Any:
        source = QuerySource(crm.url, "SELECT * FROM deals", watermark="changed", entity=None)
        return pull(database, "wide", source, terms=terms(options=options)).upload

    assert deals().rows == 3
    crm.run("UPDATE deals SET offered = NULL, changed = '2026-11-05' WHERE id = 'a'")
    assert deals().retracted == 1


def test_the_source_cannot_be_written_through_a_pull(database, crm, postgres_url):
    with pytest.raises(InputError, match="refuses it"):
        read(database, crm, query="DELETE FROM steps RETURNING *")
    sly = "SELECT 'a' AS entity_id, 'lead' AS stage, now() AS ts, nextval('pulled_sequence') AS updated_at"
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS pulled_sequence")
    source = QuerySource(postgres_url, sly, watermark="updated_at", entity=None)
    with pytest.raises(InputError, match="read-only transaction"):
        pull(database, "sly", source, terms=terms())
    twice = QuerySource(postgres_url, "SELECT 1 AS a, 1 AS a", watermark="a", entity=None)
    with pytest.raises(InputError, match="'a' twice"):
        pull(database, "sly", twice, terms=terms())


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT * FROM nowhere", "no such table"),
        ("SELECT entity_id, stage, ts FROM steps", "no column 'updated_at'"),
        ("SELECT entity_id, stage, ts, x'00ff' AS value, updated_at FROM steps", "bytes"),
    ],
)
def test_a_query_that_cannot_be_used_says_why(database, crm, query, said):
    with pytest.raises(InputError, match=said):
        read(database, crm, query=query)
    with database.read() as connection:
        assert find_funnel(connection, "deals") is None


def test_a_password_is_never_told(database):
    with pytest.raises(InputError) as refused:
        QuerySource("postgres//user:secret@host/db", "SELECT 1", watermark=None, entity=None)
    assert "secret" not in str(refused.value)
    source = QuerySource("postgresql://user:secret@127.0.0.1:1/db", "SELECT 1", watermark=None, entity=None)
    with pytest.raises(SourceUnavailableError) as away:
        pull(database, "deals", source, terms=terms())
    assert "secret" not in str(away.value)
    assert "NEARCAST_PULL_URL" in str(away.value)


def test_the_command_reads_its_database_from_the_environment_alone(crm, tmp_path):
    store = tmp_path / "store.db"
    command = ("--funnel", "deals", "--query", QUERY, "--watermark", "updated_at")
    done = run_cli(*command, store=store)
    assert done.returncode == 2
    assert "NEARCAST_PULL_URL" in done.stderr
    (tmp_path / "deals.sql").write_text(QUERY)
    done = run_cli(*command[:3], f"@{tmp_path / 'deals.sql'}", *command[4:], store=store, NEARCAST_PULL_URL=crm.url)
    assert done.returncode == 0, done.stderr
    assert "60 events read: 60 new" in done.stdout
    assert "goes on at updated_at 2026-11-11T09:00:00" in done.stdout
    again = run_cli(*command, "--json", store=store, NEARCAST_PULL_URL=crm.url)
    assert '"unchanged": 6' in again.stdout
