"""Retrains that are killed, raced, paused or taken for dead: only the holder of the lease publishes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest

from models.state import bytes_from_forecast
from service.retrain import job, pulse, retrain
from service.serving import Serving
from service.store.database import Database
from service.store.errors import LeaseLostError
from service.store.funnels import get_funnel
from service.store.lease import Held, acquire_lease, check_lease, renew_lease
from service.store.runs import fail_silent_runs, finish_run, get_run, list_runs, queue_run, report_run
from tests.service.processes import ROOT
from tests.service.retrains import NOW, declare, upload, versions

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


def test_a_running_job_gives_signs_of_life_and_keeps_its_lease(sqlite_database, monkeypatch):
    declare(sqlite_database)
    upload(sqlite_database)
    monkeypatch.setattr(pulse, "HEARTBEAT", 0.02)
    beaten = threading.Event()
    report = pulse.report_run

    def listen(*arguments: object, **named: object) -> bool:
        alive = report(*arguments, **named)
        beaten.set()
        return alive

    monkeypatch.setattr(pulse, "report_run", listen)

    def wait_for_a_beat(phase: str, done: int, total: int) -> None:
        if (phase, done) == ("fit", 0):
            for _ in range(2):  # the first may have begun before
                beaten.clear()
                assert beaten.wait(30)
            with sqlite_database.read() as connection:
                assert list_runs(connection)[0].heartbeat_at > NOW
            time.sleep(1)  # past the lease, were it not renewed

    lease = timedelta(seconds=0.8)
    result = retrain(sqlite_database, "sales", now=NOW, progress=wait_for_a_beat, lease=lease)
    assert result.version is not None
    with sqlite_database.read() as connection:
        assert get_run(connection, result.run_id).heartbeat_at > NOW
