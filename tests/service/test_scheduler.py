"""Scheduled runs: started once for each due instant, whoever looks; late ones made up for, and said so."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from models.errors import FunnelError
from models.funnel import Funnel
from service.jobs import Jobs, TooManyJobsError
from service.retrain.start import Aside, Started, queue_due, start
from service.scheduler import Scheduler
from service.settings import Settings
from service.store.database import Database
from service.store.funnels import declare_funnel, get_funnel, next_due_of, set_schedule
from service.store.runs import finish_run, get_run, list_runs, queue_run

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(seconds=60)
DUE = datetime(2026, 3, 2, 4, tzinfo=UTC)
"""5 o'clock of the next day in Amsterdam."""


def declare(database: Database, name: str = "sales", *, schedule: str | None = "0 5 * * *") -> None:
    with database.write() as connection:
        record = declare_funnel(connection, name, Funnel(("lead",), timezone="Europe/Amsterdam"), now=NOON)
        set_schedule(connection, record, schedule, now=NOON)


def begin(database: Database, now: datetime, *, if_due: bool = True, end: bool = True) -> Started | Aside:
    with database.write() as connection:
        began = start(connection, "sales", now=now, length=LEASE, run_id=None, if_due=if_due)
        if end and isinstance(began, Started):
            finish_run(connection, began.lease.run_id, status="succeeded", reason="done", now=now)
        return began


def test_nothing_is_due_before_its_time_nor_from_before_it_was_declared(database):
    declare(database)
    early = begin(database, DUE - HOUR)
    assert early == Aside(None, "not due before 2026-03-02 04:00Z")
    with database.read() as connection:
        assert list_runs(connection) == ()
        assert next_due_of(get_funnel(connection, "sales")) == DUE


def test_a_due_run_starts_once_and_says_which_instant_it_answers(database):
    declare(database)
    began = begin(database, DUE + HOUR)
    assert isinstance(began, Started)
    assert begin(database, DUE + 2 * HOUR) == Aside(None, "not due before 2026-03-03 04:00Z")
    with database.read() as connection:
        (run,) = list_runs(connection)
    assert (run.due_at, run.counts, began.missed) == (DUE, {}, 0)


def test_instants_that_were_missed_are_made_up_for_by_one_run_which_counts_them(database):
    declare(database)
    began = begin(database, DUE + 4 * DAY)
    assert isinstance(began, Started)
    assert began.missed == 4
    with database.read() as connection:
        (run,) = list_runs(connection)
    assert (run.due_at, run.counts) == (DUE + 4 * DAY, {"missed": 4})


def test_a_run_that_somebody_asked_for_answers_what_was_due_when_it_began(database):
    declare(database)
    assert isinstance(begin(database, DUE + HOUR, if_due=False), Started)
    assert isinstance(begin(database, DUE + 2 * HOUR), Aside)
    assert isinstance(begin(database, DUE + DAY), Started)


def test_what_is_due_while_a_run_is_under_way_waits_for_its_end(database):
    declare(database)
    going = begin(database, DUE - timedelta(seconds=10), if_due=False, end=False)
    waiting = begin(database, DUE + timedelta(seconds=10))
    assert waiting == Aside(None, f"due, but run {going.lease.run_id} is under way")
    assert isinstance(begin(database, DUE + 2 * LEASE), Started)  # the silent run is given up


def test_declaring_the_same_schedule_again_does_not_put_it_off(database):
    declare(database)
    with database.write() as connection:
        record = get_funnel(connection, "sales")
        assert set_schedule(connection, record, "0 5 * * *", now=DUE + HOUR) is record
    assert isinstance(begin(database, DUE + 2 * HOUR), Started)
    with database.write() as connection:
        set_schedule(connection, get_funnel(connection, "sales"), "0 3 * * *", now=DUE + 3 * HOUR)
    assert begin(database, DUE + 4 * HOUR) == Aside(None, "not due before 2026-03-03 02:00Z")


def test_a_funnel_without_a_schedule_is_never_due_and_to_ask_is_a_mistake(database):
    declare(database, schedule=None)
    with pytest.raises(FunnelError, match="--schedule"):
        begin(database, DUE)
    with database.write() as connection:
        assert queue_due(connection, "sales", now=DUE) is None


def test_of_many_that_look_at_once_one_queues_the_run(database, store_url):
    declare(database)
    together, queued = threading.Barrier(4, timeout=60), []

    def look() -> None:
        with Database(store_url) as own:
            together.wait()
            with own.write() as connection:
                queued.append(queue_due(connection, "sales", now=DUE))

    lookers = [threading.Thread(target=look) for _ in range(4)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    with database.read() as connection:
        (run,) = list_runs(connection)
    assert sorted(map(str, queued)) == sorted([str(run.id), "None", "None", "None"])
    assert run.due_at == DUE


class Waiting(Jobs):
    """Jobs that queue runs and start no process."""

    most = 9

    def start_due(self, funnel, *, now):
        if self.most == 0:
            raise TooManyJobsError
        with self._database.write() as connection:
            run_id = queue_due(connection, funnel, now=now)
            return None if run_id is None else get_run(connection, run_id)


def test_the_scheduler_starts_what_is_due_of_each_funnel_once(database):
    for name, schedule in (("a", "0 5 * * *"), ("b", "30 5 * * *"), ("c", None)):
        declare(database, name, schedule=schedule)
    now = [DUE]
    jobs = Waiting(database, Settings())
    scheduler = Scheduler(database, jobs, clock=lambda: now[0])
    assert [run.funnel for run in scheduler.look()] == ["a"]
    now[0] += HOUR / 2
    jobs.most = 0
    assert scheduler.look() == ()  # the server has enough to do: due still
    jobs.most = 9
    assert [(run.funnel, run.due_at) for run in scheduler.look()] == [("b", DUE + HOUR / 2)]
    assert scheduler.look() == ()


def test_a_scheduler_outlives_a_store_that_is_away(database, monkeypatch):
    from service.store.errors import StoreUnavailableError

    looked = threading.Semaphore(0)

    def away(scheduler: Scheduler) -> None:
        looked.release()
        raise StoreUnavailableError("away")

    monkeypatch.setattr(Scheduler, "look", away)
    with Scheduler(database, Waiting(database, Settings()), every=0.01):
        assert looked.acquire(timeout=30)
        assert looked.acquire(timeout=30)


def test_a_run_that_says_nothing_is_not_given_up_while_it_holds_its_lease(database):
    declare(database)
    with database.write() as connection:
        queued = queue_run(connection, get_funnel(connection, "sales").id, now=NOON).id
        began = start(connection, "sales", now=NOON, length=HOUR, run_id=queued, if_due=False)
    assert isinstance(began, Started)
    assert isinstance(begin(database, NOON + HOUR / 2, if_due=False), Aside)
    with database.read() as connection:
        assert get_run(connection, began.lease.run_id).status == "running"
