"""What a run remembers is written while it is at it, and is there with what it publishes or not at all."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa

from models.funnel import Funnel
from service.retrain.publication import Publication
from service.store.database import Database
from service.store.errors import StoreUnavailableError
from service.store.funnels import declare_funnel, lock_funnel
from service.store.memories import keep_only, read_memory
from service.store.runs import queue_run, report_run
from service.store.tables import states
from service.store.versions import Draft, publish_version

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BLOCKS = [b"the first", b"", b"the last \x00"]


@pytest.fixture
def funnel_id(database: Database) -> int:
    with database.write() as connection:
        return declare_funnel(connection, "sales", Funnel(stages=("lead", "won")), now=NOW).id


@pytest.fixture
def run_id(database: Database, funnel_id: int) -> int:
    with database.write() as connection:
        return queue_run(connection, funnel_id, now=NOW).id


def remembered(database: Database, funnel_id: int) -> list[bytes]:
    with database.read() as connection:
        return list(read_memory(connection, funnel_id))


def test_blocks_are_there_in_order_once_the_transaction_has_ended_and_not_before(database, funnel_id, run_id):
    with Publication(database, run_id) as publication:
        for block in BLOCKS:
            publication.remember(block)
        assert remembered(database, funnel_id) == []
        with publication.transaction() as connection:
            assert list(read_memory(connection, funnel_id)) == BLOCKS
            assert remembered(database, funnel_id) == []
        assert remembered(database, funnel_id) == BLOCKS
    assert remembered(database, funnel_id) == BLOCKS


def test_the_transaction_may_be_asked_for_with_nothing_to_remember(database, funnel_id, run_id):
    with Publication(database, run_id) as publication, publication.transaction() as connection:
        lock_funnel(connection, funnel_id)
    assert remembered(database, funnel_id) == []


def test_what_is_not_published_after_all_leaves_nothing_behind(database, funnel_id, run_id):
    with Publication(database, run_id) as publication:
        publication.remember(BLOCKS[0])
    assert remembered(database, funnel_id) == []


@pytest.mark.parametrize("begun", [False, True], ids=["the fit fails", "publishing fails"])
def test_an_error_undoes_all_and_is_told(database, funnel_id, run_id, begun):
    def fail() -> None:
        with Publication(database, run_id) as publication:
            publication.remember(BLOCKS[0])
            with publication.transaction() if begun else nullcontext():
                raise RuntimeError("of the run")

    with pytest.raises(RuntimeError, match="of the run"):
        fail()
    assert remembered(database, funnel_id) == []


def test_others_write_to_the_funnel_and_to_the_run_meanwhile(database, funnel_id, run_id):
    with Publication(database, run_id) as publication:
        publication.remember(BLOCKS[0])
        with database.write() as connection:
            connection.exec_driver_sql("SELECT 1")
            lock_funnel(connection, funnel_id)
            report_run(connection, run_id, now=NOW, phases=[])
        publication.remember(BLOCKS[1])
        with publication.transaction():
            pass
    assert remembered(database, funnel_id) == BLOCKS[:2]


def test_a_server_that_goes_away_during_the_fit_is_told_as_one_that_does_not_answer(database, funnel_id, run_id):
    if database.dialect != "postgresql":
        pytest.skip("a file does not go away")

    def lose() -> None:
        with Publication(database, run_id) as publication:
            publication.remember(BLOCKS[0])
            with database.write() as connection:
                query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                assert connection.execute(sa.text(f"{query} AND query LIKE 'COPY memories%'")).scalar()
            with publication.transaction():
                pass

    with pytest.raises(StoreUnavailableError):
        lose()
    assert remembered(database, funnel_id) == []


def test_only_the_memory_of_the_run_that_publishes_last_is_kept_and_that_of_other_funnels(database, funnel_id, run_id):
    with database.write() as connection:
        other = declare_funnel(connection, "other", Funnel(stages=("lead", "won")), now=NOW).id
        runs = [run_id, queue_run(connection, other, now=NOW).id, queue_run(connection, funnel_id, now=NOW).id]
    for number, (run, funnel) in enumerate(zip(runs, (funnel_id, other, funnel_id), strict=True)):
        with Publication(database, run) as publication:
            publication.remember(f"of {number}".encode())
            with publication.transaction() as connection:
                keep_only(connection, funnel, run)
    assert remembered(database, funnel_id) == [b"of 2"]
    assert remembered(database, other) == [b"of 1"]


def test_what_a_run_of_an_old_release_left_among_the_states_is_dropped_and_nothing_else(database, funnel_id, run_id):
    draft = Draft(Funnel(stages=("lead", "won")), date(2026, 2, 28), 1, 3, "m", "no holidays", "a test", [], {})
    with database.write() as connection:
        version = publish_version(connection, funnel_id, draft, made=(), responses={}, now=NOW).id
        names = ("live", "memory/000000", "memory/000001", "memoryless", "response/a", "view/a")
        connection.execute(
            sa.insert(states), [{"version_id": version, "name": name, "payload": b"x"} for name in names]
        )
    with Publication(database, run_id) as publication, publication.transaction() as connection:
        keep_only(connection, funnel_id, run_id)
    with database.read() as connection:
        left = set(connection.execute(sa.select(states.c.name)).scalars())
    assert left == {"live", "memoryless", "response/a", "view/a"}


def test_memory_is_read_as_it_lies_and_not_sorted_before_the_first_block(database):
    if database.dialect != "sqlite":
        pytest.skip("PostgreSQL sorts references, not payloads")
    asked: list[str] = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    with database.read() as connection:
        assert list(read_memory(connection, 1)) == []
        (query,) = [statement for statement in asked if "memories" in statement]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", (1,)).all()
    assert not [step for step in plan if "TEMP B-TREE" in str(step)]
