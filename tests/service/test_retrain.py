"""The retrain job: publishes once and whole, or leaves what is served, and says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from models import engine, plan
from models.errors import HistoryError
from models.funnel import DeclaredDay, Funnel
from models.records import Counts
from models.state import bytes_from_forecast
from service.retrain import RunEndedError, job, retrain
from service.serving import Serving
from service.store.database import Database
from service.store.errors import LeaseLostError
from service.store.funnels import declare_funnel, get_funnel
from service.store.lease import Held, acquire_lease, check_lease, renew_lease
from service.store.memories import read_memory
from service.store.observations import merge_counts
from service.store.runs import fail_silent_runs, finish_run, get_run, list_runs, queue_run, report_run
from service.store.uploads import begin_upload, finish_upload
from service.store.versions import (
    activate_version,
    get_version,
    list_versions,
    read_forecasts,
    read_scorecard,
)
from service.workers import Pool

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = 86_400_000_000
FUNNEL = Funnel(stages=("lead", "won"), segment_by="region", max_horizon=14)
ROOT = Path(__file__).parents[2]


def upload(database: Database, *, days: int = 90, now: datetime = NOW, add: int = 0) -> None:
    """Counts of two stages in two segments for the last `days` days; `add` to the newest ones."""
    today = int(now.timestamp()) * 1_000_000 // DAY
    ds = np.arange(today - days, today)
    rows = [(segment, stage) for segment in ("east", "west") for stage in FUNNEL.stages]
    y = np.concatenate([10 + 3 * (ds % 7) + place for place, _ in enumerate(rows)]).astype(float)
    y[days - 1 :: days] += add
    texts = [np.repeat(np.array(column, dtype=object), days) for column in zip(*rows, strict=True)]
    counts = Counts(np.tile(ds * DAY, len(rows)), texts[1], y, np.full(len(y), np.nan), texts[0])
    with database.stage() as staging:
        staging.append_counts(counts, lines=2)
        with staging.write() as connection:
            funnel_id = get_funnel(connection, "sales").id
            taken = begin_upload(connection, funnel_id, kind="counts", now=now)
            merged = merge_counts(connection, funnel_id, taken.number, staging)
            finish_upload(connection, taken, changed=merged.changed, report={})


def declare(database: Database, funnel: Funnel = FUNNEL) -> int:
    with database.write() as connection:
        return declare_funnel(connection, "sales", funnel, now=NOW).id


def versions(database: Database) -> list[int]:
    with database.read() as connection:
        return [version.number for version in list_versions(connection, get_funnel(connection, "sales").id)]


def test_a_first_retrain_publishes_every_series_with_scorecard_states_and_a_run(database):
    declare(database)
    upload(database)
    told: list[str] = []
    result = retrain(database, "sales", now=NOW, progress=lambda phase, done, total: told.append(phase))
    assert (result.status, result.reason) == ("succeeded", "the first version")
    assert list(dict.fromkeys(told)) == ["read", "clean", "fit", "publish"]
    with database.read() as connection:
        run = get_run(connection, result.run_id)
        made, memory = read_forecasts(connection, result.version.id), list(read_memory(connection, run.funnel_id))
        scorecard = read_scorecard(connection, result.version.id)
    assert [phase.name for phase in run.phases] == ["read", "clean", "fit", "publish"]
    assert (run.status, run.version_id, run.counts["series"]) == ("succeeded", result.version.id, 6)
    assert {segment for segment, _ in made} == {"total", "east", "west"}
    assert {forecast.horizon for forecast in made.values()} == {14}
    assert len(memory) == 1
    assert (run.counts["appended"], run.counts["refitted"]) == (0, 6)
    assert {score["stage"] for score in scorecard} == {"lead", "won"}
    assert result.version.cutoff == (NOW - timedelta(days=1)).date()


def test_a_retrain_without_new_data_changes_nothing_and_says_so(database):
    declare(database)
    upload(database)
    retrain(database, "sales", now=NOW)
    again = retrain(database, "sales", now=NOW + timedelta(hours=1))
    upload(database)  # the same rows: a new upload that changes nothing
    resent = retrain(database, "sales", now=NOW + timedelta(hours=2))
    assert (again.version, resent.version) == (None, None)
    assert again.reason == resent.reason == "nothing new since version 1"
    assert versions(database) == [1]


def test_new_rows_a_changed_declaration_and_nothing_else_make_a_new_version(database):
    declare(database)
    upload(database)
    retrain(database, "sales", now=NOW)
    upload(database, add=5)
    assert retrain(database, "sales", now=NOW).reason == "4 rows changed in upload 2"
    declare(database, replace(FUNNEL, max_horizon=7))
    assert retrain(database, "sales", now=NOW).reason == "the declaration of the funnel changed: max_horizon"
    upload(database, add=6)
    upload(database, add=7)
    launch = DeclaredDay("launch", NOW.date(), NOW.date())
    declare(database, replace(FUNNEL, declared_days=(launch,)))
    rows, declaration = retrain(database, "sales", now=NOW).reason.split("; ")
    assert rows.endswith("rows changed in uploads 3 to 4")
    assert declaration == "the declaration of the funnel changed: declared_days, max_horizon"
    assert versions(database) == [4, 3, 2, 1]


def test_a_failed_retrain_leaves_what_is_served_and_says_where_it_failed(database, monkeypatch):
    declare(database)
    upload(database)
    retrain(database, "sales", now=NOW)
    serving = Serving(database)
    serving.refresh()
    before = serving.find("sales")
    upload(database, add=5)

    def explode(*_: object, **__: object) -> None:
        raise FloatingPointError("a defect of ours")

    monkeypatch.setattr(engine, "fit", explode)
    with pytest.raises(FloatingPointError):
        retrain(database, "sales", now=NOW)
    serving.refresh()
    assert serving.find("sales") is before
    with database.read() as connection:
        run = list_runs(connection)[0]
    assert (run.status, run.reason) == ("failed", "FloatingPointError: a defect of ours")
    assert run.phases[-1].name == "fit"


def test_a_funnel_without_a_usable_day_fails_with_the_reason(database):
    declare(database)
    with pytest.raises(HistoryError):
        retrain(database, "sales", now=NOW)
    with database.read() as connection:
        run = list_runs(connection)[0]
    assert run.status == "failed"
    assert "no complete day" in run.reason


KILLED = """
import os, signal, sys
from datetime import datetime
from service.retrain import retrain
from service.store import versions
from service.store.database import Database

at = sys.argv[3]
if at == "publish":  # in the middle of the transaction: some forecasts are written
    written = versions.set_active_version
    versions.set_active_version = lambda *_: os.kill(os.getpid(), signal.SIGKILL)

def progress(phase, done, total):
    if phase == at and at != "publish":
        os.kill(os.getpid(), signal.SIGKILL)

with Database(sys.argv[1]) as database:
    retrain(database, "sales", now=datetime.fromisoformat(sys.argv[2]), progress=progress)
"""


@pytest.mark.parametrize("phase", ["read", "fit", "publish"])
def test_a_job_killed_at_any_point_leaves_the_previous_version_served_whole(database, store_url, phase):
    declare(database)
    upload(database)
    retrain(database, "sales", now=NOW)
    serving = Serving(database)
    serving.refresh()
    before = {series: bytes_from_forecast(each) for series, each in serving.find("sales").forecasts.items()}
    upload(database, add=5)
    command = [sys.executable, "-c", KILLED, store_url, NOW.isoformat(), phase]
    assert subprocess.run(command, cwd=ROOT, check=False, env=dict(os.environ)).returncode == -signal.SIGKILL
    fresh = Serving(database)
    assert fresh.refresh() is True
    assert fresh.stale is False
    assert {series: bytes_from_forecast(each) for series, each in fresh.find("sales").forecasts.items()} == before
    assert versions(database) == [1]
    later = retrain(database, "sales", now=NOW + timedelta(minutes=2))
    assert later.version.number == 2
    with database.read() as connection:
        states = [(run.status, run.version_id is not None) for run in list_runs(connection)]
    assert states == [("succeeded", True), ("failed", False), ("succeeded", True)]


def test_of_four_retrains_at_once_one_publishes_and_the_others_say_why_not(database, store_url):
    declare(database)
    upload(database)
    retrain(database, "sales", now=NOW)
    upload(database, add=5)
    all_began, turned_away = threading.Barrier(4, timeout=60), threading.Semaphore(0)
    reasons: list[str] = []

    def wait_for_the_others(phase: str, done: int, total: int) -> None:
        if (phase, done) == ("publish", 0):
            assert all(turned_away.acquire(timeout=60) for _ in range(3))

    def race() -> None:
        with Database(store_url) as own:
            all_began.wait()
            reasons.append(retrain(own, "sales", now=NOW, progress=wait_for_the_others).reason)
            turned_away.release()

    racers = [threading.Thread(target=race) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    first, *others = sorted(reasons)
    assert first == "4 rows changed in upload 2"
    assert [reason.partition(" is retraining")[0][:18] for reason in others] == ["nothing done: run "] * 3
    assert versions(database) == [2, 1]


PAUSED = """
import os, signal, sys, threading
from contextlib import contextmanager
from datetime import datetime, timedelta
from service.retrain import retrain
from service.store.database import Database

turn, write = threading.Lock(), Database.write

@contextmanager
def in_turn(database):
    with turn, write(database) as connection:
        yield connection

Database.write = in_turn

def progress(phase, done, total):
    if (phase, done) == ("fit", 0):
        with turn:  # a process that is stopped while it writes to SQLite lets nobody else write
            os.kill(os.getpid(), signal.SIGSTOP)

with Database(sys.argv[1]) as database:
    now = datetime.fromisoformat(sys.argv[2])
    retrain(database, "sales", now=now, progress=progress, lease=timedelta(seconds=0.5))
"""


@pytest.mark.slow
@pytest.mark.parametrize("overtaken", [True, False])
def test_a_holder_paused_past_its_lease_and_resumed_publishes_nothing(database, store_url, overtaken, wait):
    declare(database)
    upload(database)
    command = [sys.executable, "-c", PAUSED, store_url, NOW.isoformat()]
    paused = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        wait(lambda: os.waitpid(paused.pid, os.WNOHANG | os.WUNTRACED)[1], seconds=120, what="the run to be paused")
        if overtaken:
            later = retrain(database, "sales", now=NOW + timedelta(minutes=5))
            assert later.version.number == 1
        time.sleep(1)  # past the lease, by the paused job's own clock
    finally:
        os.kill(paused.pid, signal.SIGCONT)
    assert "it publishes nothing" in paused.communicate(timeout=120)[1]
    assert versions(database) == [1] * overtaken
    with database.read() as connection:
        assert [run.status for run in list_runs(connection)] == ["succeeded"] * overtaken + ["failed"]
    assert retrain(database, "sales", now=NOW + timedelta(minutes=9)).version is None or not overtaken


def test_a_run_whose_lease_ended_is_marked_failed_and_the_lease_is_free(database):
    funnel_id = declare(database)
    with database.write() as connection:
        first, second = (queue_run(connection, funnel_id, now=NOW).id for _ in range(2))
        held = acquire_lease(connection, funnel_id, first, now=NOW, length=job.LEASE)
        assert acquire_lease(connection, funnel_id, second, now=NOW, length=job.LEASE) == Held(first, NOW + job.LEASE)
        report_run(connection, second, now=NOW + job.LEASE, phases=[])
        later = NOW + job.LEASE + timedelta(seconds=1)
        finish_run(connection, second, status="succeeded", reason="done", now=later)
        assert renew_lease(connection, held, now=later, length=job.LEASE) is False
        assert fail_silent_runs(connection, now=later) == 1
        taken = acquire_lease(connection, funnel_id, second, now=later, length=job.LEASE)
        assert taken.token == held.token + 1
        with pytest.raises(LeaseLostError):
            check_lease(connection, held, now=NOW)
        assert get_run(connection, first).status == "failed"


def test_a_job_that_was_taken_for_dead_publishes_nothing(database, store_url):
    declare(database)
    upload(database)

    def take_for_dead(phase: str, done: int, total: int) -> None:
        if (phase, done) == ("publish", 0):
            with Database(store_url) as other, other.write() as connection:
                fail_silent_runs(connection, now=NOW + timedelta(hours=1))

    with pytest.raises(LeaseLostError):
        retrain(database, "sales", now=NOW, progress=take_for_dead)
    assert versions(database) == []
    with database.read() as connection:
        assert get_funnel(connection, "sales").active_version_id is None
        assert "stopped reporting" in list_runs(connection)[0].reason


def test_a_running_job_gives_signs_of_life(sqlite_database, monkeypatch):
    declare(sqlite_database)
    upload(sqlite_database)
    monkeypatch.setattr(job, "HEARTBEAT", 0.02)
    beaten = threading.Event()
    report = job.report_run

    def listen(*arguments: object, **named: object) -> bool:
        alive = report(*arguments, **named)
        beaten.set()
        return alive

    monkeypatch.setattr(job, "report_run", listen)

    def wait_for_a_beat(phase: str, done: int, total: int) -> None:
        if (phase, done) == ("fit", 0):
            beaten.clear()
            assert beaten.wait(30)

    result = retrain(sqlite_database, "sales", now=NOW, progress=wait_for_a_beat)
    with sqlite_database.read() as connection:
        assert get_run(connection, result.run_id).heartbeat_at > NOW


def test_a_queued_run_is_carried_out_once(database):
    funnel_id = declare(database)
    upload(database)
    with database.write() as connection:
        queued, ended = (queue_run(connection, funnel_id, now=NOW).id for _ in range(2))
        finish_run(connection, ended, status="failed", reason="cancelled", now=NOW)
    assert retrain(database, "sales", now=NOW, run_id=queued).run_id == queued
    for run_id in (queued, ended):
        with pytest.raises(RunEndedError):
            retrain(database, "sales", now=NOW, run_id=run_id)


def test_a_pool_of_processes_publishes_the_same_forecasts(sqlite_database, monkeypatch):
    funnel_id = declare(sqlite_database)
    upload(sqlite_database)
    retrain(sqlite_database, "sales", now=NOW)
    declare(sqlite_database, replace(FUNNEL, gate="refuse"))
    monkeypatch.setattr(plan, "BLOCK", 2)
    retrain(sqlite_database, "sales", now=NOW, pool=Pool("process", processes=2))
    with sqlite_database.read() as connection:
        second, first = (read_forecasts(connection, each.id) for each in list_versions(connection, funnel_id))
    assert {series: bytes_from_forecast(each) for series, each in first.items()} == {
        series: bytes_from_forecast(each) for series, each in second.items()
    }


def test_a_retrain_continues_from_the_version_that_was_activated(database):
    funnel_id = declare(database)
    upload(database)
    retrain(database, "sales", now=NOW)
    upload(database, add=5)
    retrain(database, "sales", now=NOW)
    with database.write() as connection:
        activate_version(connection, funnel_id, 1)
    assert retrain(database, "sales", now=NOW).reason == "4 rows changed in upload 2"
    assert versions(database) == [3, 2, 1]


@pytest.mark.parametrize("phase", ["read", "publish"])
@pytest.mark.parametrize(("before", "chosen"), [(2, 1), (1, 2), (2, 2)])
def test_a_version_activated_during_a_retrain_stays_served(database, store_url, before, chosen, phase):
    funnel_id = declare(database)
    upload(database)
    retrain(database, "sales", now=NOW)
    upload(database, add=5)
    retrain(database, "sales", now=NOW)
    upload(database, add=9)
    with database.write() as connection:
        activate_version(connection, funnel_id, before)

    def choose(reached: str, done: int, total: int) -> None:
        if (reached, done) == (phase, 0):
            with Database(store_url) as other, other.write() as connection:
                activate_version(connection, funnel_id, chosen)

    result = retrain(database, "sales", now=NOW, progress=choose)
    assert result.reason == f"version {chosen} was activated meanwhile; the next retrain continues from it"
    with database.read() as connection:
        active = get_funnel(connection, "sales").active_version_id
        assert get_version(connection, active).number == chosen
        assert len(list(read_memory(connection, funnel_id))) == 1  # nothing is left of what was stopped
    assert versions(database) == [2, 1]
    assert retrain(database, "sales", now=NOW).version.number == 3
