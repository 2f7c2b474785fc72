"""SIGKILL of a retrain's coordinator at random moments: is anything but the last whole version ever served?

The coordinators are `nearcast retrain` processes of no server, so that nobody sees their end: a running API must find
out by their lease. Meanwhile every funnel's forecast is asked for over HTTP, again and again.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from benchmarks.coordinators import Coordinators
from benchmarks.funnels import DAYS, SERIES, engines, make_funnel, run_after, store_url, upload
from benchmarks.report import Bar, Result, spread
from benchmarks.servers import HOST, free_port, running, service_command
from service.store.database import Database
from service.store.runs import get_run, list_runs

KILLS = 200
FUNNELS = 40
"""Whose runs are killed one after the other, before all of them are waited for."""
LEASE = 10.0
SLACK = 30.0
"""Seconds: a killed run must be marked within its lease and this."""


@dataclass(slots=True)
class Watch:
    """Asks for each funnel's forecast in turn, in a thread, and notes what is not as it must be."""

    port: int
    allowed: dict[str, set[int]]
    answers: int = 0
    faults: list[str] = field(default_factory=list)
    bodies: dict[tuple[str, int], bytes] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def loop(self) -> None:
        """Until told to stop."""
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=30)) as connection:
            while not self.stop.is_set():
                for funnel in self.allowed:
                    self.look(connection, funnel)
                    time.sleep(0.005)

    def look(self, connection: http.client.HTTPConnection, funnel: str) -> None:
        """One answer: a version that may be served now, and as it was before to the byte."""
        before = set(self.allowed[funnel])
        connection.request("GET", f"/v1/funnels/{funnel}/forecast")
        answer = connection.getresponse()
        body = answer.read()
        self.answers += 1
        if answer.status != 200:
            self.faults.append(f"{funnel}: {answer.status} {body[:200]!r}")
            return
        version = json.loads(body)["version"]
        if version not in before | self.allowed[funnel]:
            self.faults.append(f"{funnel}: version {version} is served, not of {sorted(self.allowed[funnel])}")
        if self.bodies.setdefault((funnel, version), body) != body:
            self.faults.append(f"{funnel}: version {version} has changed")


@dataclass(slots=True)
class Outcome:
    """What was seen on one engine."""

    kills: Counter[str] = field(default_factory=Counter)
    ended_after: list[float] = field(default_factory=list)
    completed: int = 0
    answers: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run(*, kills: int = KILLS, funnels: int = FUNNELS) -> Result:
    """Kills on each engine that is there."""
    outcomes = {}
    for engine in engines():
        with tempfile.TemporaryDirectory(prefix="nearcast-bench-") as folder, store_url(engine, Path(folder)) as url:
            outcomes[engine] = kill_many(url, Path(folder), kills=kills, funnels=funnels)
    rows: tuple[dict[str, str | float], ...] = tuple(
        {
            "engine": engine,
            "killed": sum(seen.kills.values()),
            "before they published": seen.kills["before it published"],
            "after": seen.kills["after it published"],
            "marked, s after": spread(seen.ended_after) if seen.ended_after else "",
            "next runs completed": seen.completed,
            "answers meanwhile": seen.answers,
            "faults": len(seen.faults),
        }
        for engine, seen in outcomes.items()
    )
    bars = []
    for engine, seen in outcomes.items():
        unpublished = float(seen.kills["before it published"])
        bars.append(Bar(f"{engine}: next runs completed", float(seen.completed), at_least=unpublished))
        bars.append(Bar(f"{engine}: s until marked", max(seen.ended_after, default=0.0), at_most=LEASE + SLACK))
        bars.append(Bar(f"{engine}: faults", float(len(seen.faults)), at_most=0.0))
    notes = [f"{engine}: {fault}" for engine, seen in outcomes.items() for fault in seen.faults[:5]]
    notes.append("; ".join(f"{engine} took {seen.seconds:.0f} s" for engine, seen in outcomes.items()))
    if "postgresql" not in outcomes:
        notes.append("PostgreSQL was not measured: no server answers (NEARCAST_TEST_POSTGRES)")
    return Result(
        "kill", "is a retrain that is killed at any moment as if it had never been?", rows, tuple(bars), tuple(notes)
    )


def kill_many(url: str, folder: Path, *, kills: int, funnels: int, seed: int = 7) -> Outcome:
    """Kill on one store, round by round: each funnel's run once, wait until all are marked, then a run of each."""
    seen, generator, began = Outcome(), random.Random(seed), time.monotonic()
    names = [f"killed{number}" for number in range(min(funnels, kills))]
    port = free_port()
    settings = {"NEARCAST_DATABASE_URL": url, "NEARCAST_LEASE_SECONDS": str(LEASE), "NEARCAST_REFRESH_SECONDS": "0.2"}
    with (
        Database(url) as database,
        Coordinators(url, lease_seconds=LEASE) as coordinators,
        running(service_command(port), port=port, log=folder / "log", environment=settings, until="/readyz"),
    ):
        length = median(first_run(database, coordinators, name) for name in names)
        wait_until_served(port, dict.fromkeys(names, 1))
        watch = Watch(port, {name: {1} for name in names})
        thread = threading.Thread(target=watch.loop, daemon=True)
        thread.start()
        while (left := kills - sum(seen.kills.values())) > 0:
            one_round(database, coordinators, names[:left], seen, watch, generator=generator, length=length)
        watch.stop.set()
        thread.join()
    seen.answers, seen.faults = watch.answers, seen.faults + watch.faults
    seen.seconds = time.monotonic() - began
    return seen


def one_round(
    database: Database,
    coordinators: Coordinators,
    names: list[str],
    seen: Outcome,
    watch: Watch,
    *,
    generator: random.Random,
    length: float,
) -> None:
    """Kill a run of each, check, wait until they are marked, check, and let a run of each complete."""
    killed: dict[str, tuple[float, int]] = {}
    for name in names:
        upload(database, name, last=generator.randrange(10**6))
        active = versions(database, name)[-1]
        watch.allowed[name] = {active, active + 1}
        with database.read() as connection:
            (before,) = list_runs(connection, limit=1)
        (pid,) = coordinators.start(name)
        run = run_after(database, before.id)
        time.sleep(generator.uniform(0, length))
        os.kill(pid, signal.SIGKILL)
        moment = time.time()
        if (end := coordinators.wait(pid)).code != -signal.SIGKILL:  # it had ended: not a kill
            seen.faults += [f"{name}: ended with {end.code}: {end.said[-300:]}"] if end.code else []
            continue
        published = versions(database, name)[-1] > active
        seen.kills["after it published" if published else "before it published"] += 1
        if not published:
            watch.allowed[name] = {active}
            killed[name] = moment, run.id
    for moment, run_id in killed.values():
        seen.ended_after.append(wait_until_marked(database, run_id, since=moment))
    check_whole(database, seen)
    wait_until_served(watch.port, {name: versions(database, name)[-1] for name in names})  # some were killed afterwards
    for name in names:
        upload(database, name, last=generator.randrange(10**6))
        active = versions(database, name)[-1]
        watch.allowed[name] = {active, active + 1}
        end = coordinators.run(name)
        if end.code != 0 or end.document()["version"] != active + 1:
            seen.faults.append(f"{name}: the next run ended with {end.code}: {end.said[-300:]}")
        else:
            seen.completed += name in killed
    wait_until_served(watch.port, {name: versions(database, name)[-1] for name in names})
    for name in names:
        watch.allowed[name] = {versions(database, name)[-1]}
    check_whole(database, seen)


def first_run(database: Database, coordinators: Coordinators, name: str) -> float:
    """Make a funnel with a version; how long its run took, seconds."""
    make_funnel(database, name)
    upload(database, name, last=0, days=DAYS)
    end = coordinators.run(name)
    if end.code != 0:
        raise RuntimeError(f"the first run of {name} failed: {end.said}")
    return float(sum(phase["seconds"] for phase in end.document()["phases"]))


def versions(database: Database, name: str) -> list[int]:
    """Numbers of the versions up to the active one, which is last."""
    query = (
        "SELECT v.number FROM versions v JOIN funnels f ON f.id = v.funnel_id "
        "WHERE f.name = :name AND v.id <= f.active_version_id ORDER BY v.number"
    )
    with database.read() as connection:
        return list(connection.execute(sa.text(query), {"name": name}).scalars())


def wait_until_marked(database: Database, run_id: int, *, since: float) -> float:
    """Seconds from the kill, `since` (Unix time), to the end of the run in the store; not waited for far past the bar.

    The store's own instant counts: runs are looked at one after the other, once all of a round have been killed.
    """
    while time.time() - since < 2 * (LEASE + SLACK):
        with database.read() as connection:
            ended = get_run(connection, run_id).finished_at
        if ended is not None:
            return ended.timestamp() - since
        time.sleep(0.1)
    return time.time() - since


def wait_until_served(port: int, expected: dict[str, int], *, seconds: float = 60.0) -> None:
    """Until the API serves these versions."""
    end = time.monotonic() + seconds
    with closing(http.client.HTTPConnection(HOST, port, timeout=30)) as connection:
        for name, version in expected.items():
            while True:
                connection.request("GET", f"/v1/funnels/{name}/forecast")
                document = json.loads(connection.getresponse().read())
                if document.get("version") == version:
                    break
                if time.monotonic() > end:
                    raise RuntimeError(f"{name}: version {version} is not served: {document}")
                time.sleep(0.05)


def check_whole(database: Database, seen: Outcome) -> None:
    """Each version has all its series and is that of one run that succeeded; the newest is served, with its memory."""
    queries = {
        "versions without their one succeeded run": "SELECT count(*) FROM versions v WHERE 1 <> "
        "(SELECT count(*) FROM runs r WHERE r.version_id = v.id AND r.status = 'succeeded')",
        "versions without all their forecasts": f"SELECT count(*) FROM versions v WHERE {SERIES} <> "
        "(SELECT count(*) FROM forecasts c WHERE c.version_id = v.id)",
        "funnels that serve another version than the newest": "SELECT count(*) FROM funnels f "
        "WHERE f.active_version_id <> (SELECT max(v.id) FROM versions v WHERE v.funnel_id = f.id)",
        "newest versions without a memory": "SELECT count(*) FROM funnels f WHERE 0 = (SELECT count(*) FROM memories m "
        "JOIN runs r ON r.id = m.run_id WHERE r.version_id = f.active_version_id)",
        "memories of runs that have not published the newest version": "SELECT count(*) FROM memories m "
        "JOIN runs r ON r.id = m.run_id JOIN funnels f ON f.id = r.funnel_id "
        "WHERE r.version_id IS NULL OR r.version_id <> f.active_version_id",
    }
    with database.read() as connection:
        for what, query in queries.items():
            if count := connection.execute(sa.text(query)).scalar():
                seen.faults.append(f"{count} {what}")
