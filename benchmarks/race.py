"""Four retrains that begin at once: one publishes, the others exit 0 and say why; one that is paused publishes nothing.

All are `nearcast retrain` in processes of their own. The paused one is stopped at a random moment, for longer than its
lease lasts, while a rival is started; then it is resumed.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.coordinators import Coordinators, Ended
from benchmarks.funnels import DAYS, engines, make_funnel, run_after, store_url, upload
from benchmarks.report import Bar, Result
from service.store.database import Database
from service.store.funnels import get_funnel
from service.store.runs import get_run, list_runs
from service.store.versions import list_versions

RACES = 300
RACERS = 4
PAUSES = 40
LEASE = 3.0
"""Seconds; a pause lasts longer. Less, and a busy machine makes a run lose it that was not stopped at all."""


@dataclass(slots=True)
class Outcome:
    """What was seen on one engine."""

    races: int = 0
    publishers: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    pauses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def run(*, races: int = RACES, pauses: int = PAUSES) -> Result:
    """Races and pauses on each engine that is there."""
    outcomes = {}
    for engine in engines():
        with tempfile.TemporaryDirectory(prefix="nearcast-bench-") as folder, store_url(engine, Path(folder)) as url:
            outcomes[engine] = race(url, races=races, pauses=pauses)
    rows: tuple[dict[str, str | float], ...] = tuple(
        {
            "engine": engine,
            "races": seen.races,
            "one published": seen.publishers[1],
            "others: another's lease": seen.reasons["lease"],
            "others: nothing new": seen.reasons["nothing new"],
            "paused": sum(seen.pauses.values()),
            "of them published": seen.pauses["published late"],
            "faults": len(seen.faults),
        }
        for engine, seen in outcomes.items()
    )
    bars = []
    for engine, seen in outcomes.items():
        bars.append(Bar(f"{engine}: races in which one published", float(seen.publishers[1]), at_least=float(races)))
        bars.append(
            Bar(f"{engine}: published after a pause past the lease", float(seen.pauses["published late"]), at_most=0.0)
        )
        bars.append(Bar(f"{engine}: faults", float(len(seen.faults)), at_most=0.0))
    notes = [f"{engine}: {fault}" for engine, seen in outcomes.items() for fault in seen.faults[:5]]
    notes += [f"{engine}: {dict(seen.pauses)} of the paused, {seen.seconds:.0f} s" for engine, seen in outcomes.items()]
    if "postgresql" not in outcomes:
        notes.append("PostgreSQL was not measured: no server answers (NEARCAST_TEST_POSTGRES)")
    return Result("race", "of retrains begun at once, does one publish?", rows, tuple(bars), tuple(notes))


def race(url: str, *, races: int, pauses: int, seed: int = 7) -> Outcome:
    """Races and pauses on one store, seeded but for what the machine does."""
    seen, generator, began = Outcome(), random.Random(seed), time.monotonic()
    with Database(url) as database, Coordinators(url) as coordinators:
        make_funnel(database, "raced")
        upload(database, "raced", last=0, days=DAYS)
        note_race(database, [coordinators.run("raced")], seen, known=0)
        seen.races, seen.publishers = 0, Counter()
        for number in range(races):
            known = published(database)
            upload(database, "raced", last=number + 1)
            ends = [coordinators.wait(pid) for pid in coordinators.start(*["raced"] * RACERS)]
            note_race(database, ends, seen, known=known)
    with Database(url) as database, Coordinators(url, lease_seconds=LEASE) as coordinators:
        for number in range(pauses):
            upload(database, "raced", last=races + number + 1)
            seen.pauses[pause(database, coordinators, seen, generator)] += 1
    seen.seconds = time.monotonic() - began
    return seen


def note_race(database: Database, ends: list[Ended], seen: Outcome, *, known: int) -> None:
    """Look at how the racers ended and at what is in the store."""
    seen.races += 1
    versions = []
    for end in ends:
        if end.code != 0:
            seen.faults.append(f"exit {end.code}: {end.said[-300:]}")
            continue
        said = end.document()
        if said["version"] is not None:
            versions.append(said["version"])
        else:
            reason = "lease" if "is retraining this funnel" in said["reason"] else "nothing new"
            if reason not in said["reason"] and reason != "lease":
                seen.faults.append(f"says {said['reason']!r}")
            seen.reasons[reason] += 1
    seen.publishers[len(versions)] += 1
    if versions != [known + 1] or published(database) != known + 1:
        seen.faults.append(f"published {versions} after {known}, the store has {published(database)}")


def pause(database: Database, coordinators: Coordinators, seen: Outcome, generator: random.Random) -> str:
    """Stop a run that holds the lease, start a rival past its end, resume; what the stopped one came to."""
    with database.read() as connection:
        (before,) = list_runs(connection, limit=1)
    (pid,) = coordinators.start("raced")
    run = run_after(database, before.id)
    time.sleep(generator.uniform(0, 0.2))
    os.kill(pid, signal.SIGSTOP)
    stopped = time.time()
    time.sleep(LEASE + 0.3)
    (rival,) = coordinators.start("raced")
    time.sleep(0.3)  # where the stopped one holds the store itself, the rival waits for it
    os.kill(pid, signal.SIGCONT)
    end, other = coordinators.wait(pid), coordinators.wait(rival)
    with database.read() as connection:
        mine = get_run(connection, run.id)
        versions = list_versions(connection, get_funnel(connection, "raced").id, limit=9)
    if other.code != 0:
        seen.faults.append(f"the rival ended with {other.code}: {other.said[-300:]}")
    if end.code == 0 and mine.version_id is None:
        return "had nothing to publish"
    if mine.version_id is not None:
        (made,) = [version for version in versions if version.id == mine.version_id]
        # What had been handed to the database before it was stopped is published within its lease.
        return "published before it was stopped" if made.created_at.timestamp() <= stopped else "published late"
    if mine.status != "failed":
        seen.faults.append(f"run {mine.id} is {mine.status} and published nothing")
    return "published nothing"


def published(database: Database) -> int:
    """Number of the newest version."""
    with database.read() as connection:
        versions = list_versions(connection, get_funnel(connection, "raced").id, limit=1)
    return versions[0].number if versions else 0
