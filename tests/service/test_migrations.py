"""Migrations: one way to a schema, from nothing or from an older release, on both engines."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service import migrations
from service.store.database import Database
from service.store.errors import SchemaError
from service.store.tables import SCHEMA_HEAD, metadata


def test_the_release_knows_its_own_newest_migration():
    assert migrations.head() == SCHEMA_HEAD


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(database):
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_names_sort_by_code_point_on_postgresql(empty_postgres_url):
    with Database(empty_postgres_url) as database:
        database.migrate()
        query = (
            "SELECT table_name || '.' || column_name, collation_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND column_name IN ('entity_id', 'stage', 'segment', 'name')"
        )
        with database.read() as connection:
            found = connection.execute(sa.text(query)).all()
    names = ("entity_id", "stage", "segment", "name")
    ours = {f"{table}.{name}" for table, made in metadata.tables.items() for name in names if name in made.columns}
    assert {column for column, _ in found} >= ours
    assert {collation for _, collation in found} == {"C"}


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
    with pytest.raises(SchemaError, match="newer release"):
        database.migrate()
    assert database.schema_version() == "9999"
