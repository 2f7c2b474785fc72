"""Pulling from a database or a folder: what is stored equals a fresh load, however often and whenever it was read."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
import sqlalchemy as sa

from models.errors import FunnelError, InputError
from service.cli.reading import lines_from_report
from service.ingest import IngestOptions
from service.pull import FolderSource, PullReport, PullTerms, QuerySource, pull
from service.pull.marks import Highest, capped, json_from_mark, lowered, mark_from_json
from service.pull.query import SourceUnavailableError
from service.store.database import Database
from service.store.funnels import find_funnel, get_funnel
from service.store.observations import read_counts, read_events
from service.store.pulls import list_pulls
from service.store.uploads import fresh_until

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OPTIONS = IngestOptions(stages=("lead", "offer", "won"), exits=("lost",), timezone="UTC")
QUERY = "SELECT entity_id, stage, ts, value, segment, updated_at FROM steps"


class Crm:
    """A SQLite file that somebody else writes."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._connection = sqlite3.connect(path, isolation_level=None)
        self.run("CREATE TABLE steps (entity_id TEXT, stage TEXT, ts TEXT, value REAL, segment TEXT, updated_at TEXT)")
        for day in range(1, 11):
            for number in range(3):
                self.add(f"e{day}-{number}", "lead", day)
                self.add(f"e{day}-{number}", "offer", day + 1, value=10.0 * number)

    def run(self, statement: str, *values: Any) -> None:
        self._connection.execute(statement, values)

    def add(self, entity: str, stage: str, day: int, *, value: float | None = None, at: int | None = None) -> None:
        instant = f"2026-11-{at or day:02d}T09:00:00"
        row = (entity, stage, f"2026-11-{day:02d}T08:00:00", value, "smb", instant)
        self.run("INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?)", *row)

    def close(self) -> None:
        self._connection.close()


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


def terms(*, full: bool = False, name: str = "events", kind: str = "events", entities: bool = True, **rest: Any) -> Any:
    return PullTerms(name, kind, **{"options": OPTIONS, "now": NOW} | rest, entities=entities, full=full)


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


def folder_of(path: Path, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / f"{name}.csv").write_text(text)
    return path


def read_folder(database: Database, folder: Path, *, full: bool = False) -> PullReport:
    source = FolderSource(folder, watermark="changed", max_bytes=1_000_000)
    return pull(database, "files", source, terms=terms(entities=False, full=full))


def test_a_folder_of_csv_and_parquet_files_is_read_on_from_the_watermark(database, tmp_path):
    folder = folder_of(
        tmp_path / "drop",
        a="entity_id,stage,ts,changed\na,lead,2026-11-01,2026-11-01T10:00Z\n",
        b="entity_id,stage,ts,changed\nb,lead,2026-11-02,2026-11-02T10:00Z\n",
    )
    (folder / "notes.pdf").write_text("not data")
    assert read_folder(database, folder).upload.rows == 2
    frame = pd.DataFrame({"entity_id": ["a", "c"], "stage": ["offer", "lead"], "ts": ["2026-11-03"] * 2})
    frame.assign(changed=pd.Timestamp("2026-11-03T10:00Z")).to_parquet(folder / "c.parquet")
    report = read_folder(database, folder)
    assert (report.upload.rows, report.upload.inserted) == (3, 2)  # b lies at the watermark, within the overlap
    (folder / "a.csv").unlink()
    assert read_folder(database, folder).upload.retracted == 0
    assert read_folder(database, folder, full=True).upload.retracted == 1


def test_a_number_from_the_far_future_does_not_hide_the_files_that_follow(database, tmp_path):
    head, seconds = "entity_id,stage,ts,changed\n", round(NOW.timestamp())
    rows = f"a,lead,2026-11-01,{seconds - 9000}\nb,lead,2026-11-02,9999999999\n"
    folder = folder_of(tmp_path / "drop", a=head + rows)
    assert read_folder(database, folder).watermark == {"type": "decimal", "value": str(seconds + 86_400)}
    folder_of(folder, c=head + f"c,lead,2026-11-03,{seconds + 90_000}\n")
    assert read_folder(database, folder).upload.inserted == 1


def test_the_watermark_is_no_ignored_column_and_others_are(database, tmp_path):
    row = "entity_id,stage,ts,changed,owner\na,lead,2026-11-01,1,ann\n"
    report = read_folder(database, folder_of(tmp_path / "drop", a=row))
    assert [note for note in report.upload.notes if "ignored" in note] == ["ignored columns: owner"]


def test_the_command_is_told_up_to_when_a_folder_is_complete(tmp_path):
    folder = folder_of(tmp_path / "drop", a="entity_id,stage,ts\na,lead,2026-11-01\na,won,2026-11-02\n")
    store = tmp_path / "store.db"
    command = ("--funnel", "deals", "--folder", str(folder), "--fresh-until")
    done = run_cli(*command, "2026-11-03T06:00Z", store=store)
    assert done.returncode == 0, done.stderr
    with Database(f"sqlite:///{store}") as database, database.read() as connection:
        told = fresh_until(connection, get_funnel(connection, "deals").id)
    assert told == datetime(2026, 11, 3, 6, tzinfo=UTC).timestamp() * 1_000_000
    done = run_cli(*command, "soon", store=store)
    assert (done.returncode, "--fresh-until" in done.stderr) == (2, True)


def test_what_is_wrong_in_a_folder_is_told_with_its_file_and_line(database, tmp_path):
    head = "entity_id,stage,ts,changed\n"
    folder = folder_of(tmp_path / "drop", a=head + "a,lead,2026-11-01,1\n", b=head + "b,lead,soon,2\n")
    with pytest.raises(InputError) as refused:
        read_folder(database, folder)
    (problem,) = refused.value.problems
    assert (problem.line, problem.field) == (2, "ts")
    assert problem.reason.startswith("b.csv: ")
    folder_of(folder, b=head + "b,lead,2026-11-01,soon\n")
    with pytest.raises(InputError, match="neither a number nor an ISO time"):
        read_folder(database, folder)
    with pytest.raises(InputError, match="holds no CSV"):
        read_folder(database, folder_of(tmp_path / "bare"))
    with pytest.raises(InputError, match="cannot read"):
        read_folder(database, tmp_path / "none")


@pytest.mark.parametrize("mark", [7, 1.5, datetime(2026, 1, 1, 3, 4, 5, 678901, tzinfo=UTC), date(2026, 1, 1), "x"])
def test_a_watermark_survives_its_storage_digit_for_digit(mark):
    kept = mark_from_json(json_from_mark(mark))
    assert (kept, type(kept)) == (mark, type(mark))


def test_times_are_read_again_a_while_before_the_watermark():
    assert lowered(NOW, seconds=300) == NOW - timedelta(minutes=5)
    assert lowered(NOW.date(), seconds=300) == NOW.date() - timedelta(days=1)
    assert lowered(5, seconds=300) == 5
    assert capped(NOW + timedelta(days=900), lowest=NOW, now=NOW) == NOW + timedelta(days=1)


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000])
@pytest.mark.parametrize("kind", [int, float, Decimal])
def test_numbers_that_are_times_count_at_most_as_tomorrow_and_others_as_they_are(unit, kind):
    seconds = round(NOW.timestamp())
    tomorrow = kind((seconds + 86_400) * unit)
    lowest, absurd = kind((seconds - 10**7) * unit), kind(9_999_999_999 * unit)
    assert capped(absurd, lowest=lowest, now=NOW) == tomorrow
    assert type(capped(absurd, lowest=lowest, now=NOW)) is kind
    assert capped(lowest, lowest=lowest, now=NOW) == lowest
    assert capped(absurd, lowest=kind(1), now=NOW) == absurd  # the numbers of rows


@pytest.mark.parametrize("values", [[True], ["text"], [NOW, NOW.replace(tzinfo=None)], [1, NOW]])
def test_what_does_not_rise_is_no_watermark(values):
    with pytest.raises(InputError, match="at"):
        Highest("at", texts=False).add(values)


def run_cli(*arguments: str, store: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = os.environ | {"NEARCAST_DATABASE_URL": f"sqlite:///{store}"} | environment
    command = [sys.executable, "-m", "service.cli", "pull", *arguments]
    return subprocess.run(command, env=settings, capture_output=True, text=True, check=False)


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
