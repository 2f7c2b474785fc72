"""Migrations: one way to a schema, from nothing or from an older release, on both engines."""

from __future__ import annotations

import threading
from datetime import date

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from service import migrations
from service.store.database import Database
from service.store.errors import SchemaError
from service.store.tables import SCHEMA_HEAD, memories, metadata, runs, states


@pytest.fixture
def emptied_postgres_url(empty_postgres_url):
    """Not the database that tests share: these leave other tables behind."""
    return empty_postgres_url


def test_the_release_knows_its_own_newest_migration():
    assert migrations.head() == SCHEMA_HEAD


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(database):
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def catalogue(url: str, query: str) -> list[sa.Row]:
    """What PostgreSQL says of itself, once migrated."""
    with Database(url) as database:
        database.migrate()
        with database.read() as connection:
            return list(connection.execute(sa.text(query)))


def test_names_sort_by_code_point_on_postgresql(empty_postgres_url):
    found = catalogue(
        empty_postgres_url,
        "SELECT table_name || '.' || column_name, collation_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND column_name IN ('entity_id', 'stage', 'segment', 'name')",
    )
    names = ("entity_id", "stage", "segment", "name")
    ours = {f"{table}.{name}" for table, made in metadata.tables.items() for name in names if name in made.columns}
    assert {column for column, _ in found} >= ours
    assert {collation for _, collation in found} == {"C"}


def test_large_columns_are_compressed_by_lz4_on_postgresql_or_not_at_all(empty_postgres_url):
    found = catalogue(
        empty_postgres_url,
        "SELECT attrelid::regclass || '.' || attname, attcompression, attstorage FROM pg_attribute "
        "WHERE attrelid::regclass::text IN ('forecasts', 'states', 'memories', 'parts', 'published', 'versions') "
        "AND attname IN ('payload', 'steps', 'scorecard')",
    )
    payloads = {f"{table}.payload" for table in ("forecasts", "states", "memories", "parts")}
    named = payloads | {"published.steps", "versions.scorecard"}
    assert {name for name, *_ in found} == named
    known = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    if catalogue(empty_postgres_url, known)[0][0]:
        assert all(compression == "l" for _, compression, _ in found)
    else:
        assert all(storage == "e" for name, _, storage in found if name != "versions.scorecard")


def test_migrating_twice_does_nothing_the_second_time(store_url):
    with Database(store_url) as database:
        assert database.migrate() is True
        assert database.migrate() is False


def test_going_down_to_nothing_and_up_again_ends_at_the_same_schema(database):
    with database.write() as connection:
        migrations.downgrade(connection, "base")
    with database.read() as connection:
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
    with pytest.raises(SchemaError, match="run `nearcast migrate`"):
        database.check_schema()
    database.migrate()
    database.check_schema()


SAMPLES = {
    sa.Boolean: True,
    sa.Integer: 1,
    sa.Double: 1.5,
    sa.Date: date(2026, 1, 1),
    sa.LargeBinary: b"\x00\x01",
    sa.JSON: {"a": [1, None, "é"]},
    sa.Text: "text é",
}
"""A value of each kind of column; all keys are 1, so that rows refer to each other."""


def sample(column: sa.Column[object]) -> object:
    """A value for a column."""
    return next(value for kind, value in SAMPLES.items() if isinstance(column.type, kind))


def contents(connection: sa.Connection) -> dict[str, dict[str, object]]:
    """The one row of each table, by column."""
    found = sa.MetaData()
    found.reflect(connection)
    tables = [table for table in found.sorted_tables if table.name != "alembic_version"]
    return {table.name: dict(connection.execute(sa.select(table)).mappings().one()) for table in tables}


def test_each_way_down_and_up_again_keeps_the_data_that_both_schemas_know(database):
    with database.write() as connection:
        for table in metadata.sorted_tables:
            connection.execute(sa.insert(table).values({column.name: sample(column) for column in table.columns}))
        before = contents(connection)
    scripts = ScriptDirectory.from_config(migrations.make_config())
    older = [script.revision for script in scripts.walk_revisions()][1:]
    assert older[-1] == "0001"
    for revision in older:
        with database.write() as connection:
            migrations.downgrade(connection, revision)
            kept = contents(connection)
        assert kept == {name: {column: before[name][column] for column in row} for name, row in kept.items()}
        assert "events" in kept
        assert database.migrate() is True
        with database.write() as connection:
            for table in metadata.sorted_tables:  # what the newer schema added was lost, and is put back
                if table.name not in kept:
                    row = {column.name: sample(column) for column in table.columns}
                    connection.execute(sa.insert(table).values(row))
            after = contents(connection)
        assert {name: {column: after[name][column] for column in row} for name, row in kept.items()} == kept


def test_what_a_run_remembered_moves_to_its_own_table_and_back(database):
    payloads = [bytes([number]) * 3000 for number in range(3)]
    with database.write() as connection:
        for table in metadata.sorted_tables:
            row = {column.name: sample(column) for column in table.columns}
            if table.name == "memories":
                rows = [row | {"number": number, "payload": payload} for number, payload in enumerate(payloads)]
                connection.execute(sa.insert(table), rows)
            else:
                connection.execute(sa.insert(table).values(row | ({"status": "succeeded"} if table is runs else {})))
        migrations.downgrade(connection, "0009")
        query = "SELECT name, payload FROM states WHERE name LIKE 'memory/%' ORDER BY name"
        old = [(name, bytes(payload)) for name, payload in connection.execute(sa.text(query))]
    assert old == [(f"memory/{number:06}", payload) for number, payload in enumerate(payloads)]
    assert database.migrate() is True
    with database.read() as connection:
        assert list(connection.execute(sa.select(memories).order_by(memories.c.number))) == [
            (1, number, payload) for number, payload in enumerate(payloads)
        ]
        assert list(connection.execute(sa.select(states.c.name))) == [("text é",)]


def test_several_that_start_at_once_migrate_once(store_url):
    done: list[bool] = []

    def start() -> None:
        with Database(store_url) as database:
            done.append(database.migrate())

    starters = [threading.Thread(target=start) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert sorted(done) == [False, False, False, True]


def test_a_store_of_a_newer_release_is_refused_and_left_alone(database):
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for refuse in (database.migrate, database.check_schema):
        with pytest.raises(SchemaError, match="newer release; upgrade nearcast"):
            refuse()
    assert database.schema_version() == "9999"
