"""A retrain of 10,000 daily series, one new day each, from store to published: beside AutoETS, and beside bare I/O."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from benchmarks.peers import PEERS, peer_python
from benchmarks.report import Bar, Result, spread
from benchmarks.servers import Memory
from benchmarks.smoothing import JOBS, make_series, peer_timed
from models.funnel import Funnel
from models.records import Counts
from service.store.database import Database
from service.store.funnels import declare_funnel
from service.store.observations import merge_counts
from service.store.tables import forecasts, memories, parts, states, uploads, versions
from service.store.uploads import begin_upload, finish_upload

Array = npt.NDArray[np.float64]
POSTGRES = os.environ.get("NEARCAST_BENCH_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
"""Any database of the PostgreSQL server to measure on; a scratch database is made beside it."""
STAGES = ("visit", "lead", "offer", "won")
SEGMENTS, SAMPLE, ROUNDS = 2_500, 60, 5
SHORT, LONG = 365, 1460
CORRECTED, BACK = 100, 30
"""So many series are corrected, so many days back."""
FUNNEL = Funnel(stages=STAGES, segment_by="region", country="NL", max_horizon=28)
LEAST_RATIO, MOST_BARE, MOST_MEMORY, MOST_LONGER, MOST_CORRECTED = 60.0, 6.0, 1536.0, 1.25, 1.1
DAY = 86_400_000_000
CHUNK = 500_000
"""Rows laid down at a time."""
TODAY = datetime(2026, 3, 1, 6, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Retrained:
    """One retrain: seconds of the whole command by the clock and of computing, those of its phases, and MiB."""

    seconds: float
    cpu: float
    phases: dict[str, float]
    memory: float


class Bench:
    """One store with one funnel, filled up to a day, and what comes after it."""

    def __init__(self, database: Database, *, days: int, segments: int) -> None:
        self.database = database
        self.days, self.segments = days, segments
        counts = make_series(segments * len(STAGES), generator=np.random.default_rng(1), days=days + 3 * ROUNDS + 2)
        self.counts = counts.reshape(segments, len(STAGES), -1)
        self.names = np.array([f"r{number:05}" for number in range(segments)], dtype=object)
        self.first = int(TODAY.timestamp()) * 1_000_000 // DAY - days
        self.known = 0
        database.migrate()
        with database.write() as connection:
            self.funnel = declare_funnel(connection, "bench", FUNNEL, now=TODAY).id

    def upload(self, *, days: int, corrected: int = 0, scattered: bool = False) -> None:
        """The next days of all series, and other counts of `corrected` series BACK days ago: of all stages of the first
        segments, or, `scattered`, of one stage of each.
        """
        parts = [self._rows(self.counts[:, :, self.known : self.known + days], stages=STAGES, first=self.known)]
        if corrected:
            stages = STAGES[:1] if scattered else STAGES
            back, which = self.known - BACK, slice(0, corrected // len(stages))
            changed = self.counts[which, : len(stages), back : back + 1] + 1 + self.known % 7
            parts.append(self._rows(changed, stages=stages, first=back))
        self.known += days
        now = TODAY + timedelta(days=self.known - self.days)
        with self.database.stage() as staging:
            for part in parts:
                for begin in range(0, len(part), CHUNK):
                    staging.append_counts(part.take(np.arange(begin, min(begin + CHUNK, len(part)))), lines=2)
            with staging.write() as connection:
                taken = begin_upload(connection, self.funnel, kind="counts", now=now)
                merged = merge_counts(connection, self.funnel, taken.number, staging)
                finish_upload(connection, taken, changed=merged.changed, report={})

    def _rows(self, counts: Array, *, stages: tuple[str, ...], first: int) -> Counts:
        segments, _, days = counts.shape
        ds = (self.first + first + np.arange(days)) * DAY
        return Counts(
            np.tile(ds, segments * len(stages)),
            np.tile(np.repeat(np.array(stages, dtype=object), days), segments),
            counts.reshape(-1),
            np.full(counts.size, np.nan),
            np.repeat(self.names[:segments], len(stages) * days),
        )

    def retrain(self) -> Retrained:
        """By the command, as an operator's timer starts it."""
        url = self.database.engine.url.render_as_string(hide_password=False)
        environment = {**os.environ, "NEARCAST_DATABASE_URL": url, "NEARCAST_PROCESSES": str(JOBS)}
        command = [sys.executable, "-m", "service.cli", "retrain", "--funnel", "bench", "--json"]
        os.sync()  # what was measured before it may have left something to be written
        before, began = computed(), time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        with Memory(process.pid) as memory:
            output = process.communicate()[0]
        seconds = time.perf_counter() - began
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {output}")
        told = json.loads(output)
        if told["version"] is None:
            raise RuntimeError(f"nothing was published: {told['reason']}")
        phases = {phase["name"]: phase["seconds"] for phase in told["phases"]}
        return Retrained(seconds, computed() - before, phases, memory.peak)

    def bare(self) -> float:
        """Seconds to read the newest rows, and to write the newest version's bytes, durably, by the driver alone."""
        with self.database.read() as connection:
            newest = connection.execute(sa.select(sa.func.max(versions.c.id))).scalar_one()
            last = connection.execute(sa.select(sa.func.max(uploads.c.number))).scalar_one()
            payloads = [
                row.payload
                for query in (
                    sa.select(forecasts.c.payload).where(forecasts.c.version_id == newest),
                    sa.select(states.c.payload).where(states.c.version_id == newest),
                    sa.select(memories.c.payload),
                    sa.select(parts.c.payload).where(parts.c.upload == last),
                )
                for row in connection.execute(query)
            ]
        rows = list(enumerate(payloads))
        with self.database.write() as connection:
            if self.database.dialect == "postgresql":  # compressed as ours are
                connection.exec_driver_sql("CREATE TABLE bare (LIKE states INCLUDING STORAGE INCLUDING COMPRESSION)")
                connection.exec_driver_sql("ALTER TABLE bare DROP COLUMN name, ADD PRIMARY KEY (version_id)")
            else:
                connection.exec_driver_sql("CREATE TABLE bare (version_id INTEGER PRIMARY KEY, payload BLOB NOT NULL)")
        os.sync()
        began = time.perf_counter()
        with self.database.read() as connection:
            query = (
                f"SELECT segment, stage, ds, y, value FROM counts WHERE funnel_id = {self.funnel} AND upload = {last}"
            )
            connection.connection.cursor().execute(query).fetchall()
        with self.database.write() as connection:
            cursor: Any = connection.connection.cursor()
            if self.database.dialect == "postgresql":
                with cursor.copy("COPY bare (version_id, payload) FROM STDIN (FORMAT BINARY)") as copy:
                    copy.set_types(["int4", "bytea"])
                    for one in rows:
                        copy.write_row(one)
            else:
                cursor.executemany("INSERT INTO bare VALUES (?, ?)", rows)
        took = time.perf_counter() - began
        with self.database.write() as connection:
            connection.exec_driver_sql("DROP TABLE bare")
        self.database.engine.dispose()  # an open connection would keep SQLite's log, in the machine's memory too
        return took


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen of one store, round by round: retrains of one new day, bare reading and writing, and others."""

    store: str
    daily: list[Retrained]
    bare: list[float]
    corrected: list[Retrained]
    scattered: list[Retrained]
    longer: list[Retrained]
    """Of one new day, after LONG days of history."""


def run(*, segments: int = SEGMENTS, rounds: int = ROUNDS) -> Result:
    """Each store, whose kinds of retrain take turns; the peer before and after."""
    peer = peer_python()
    sample = make_series(SAMPLE, generator=np.random.default_rng(1), days=SHORT + 28)[:, :SHORT]
    theirs = [peer_timed(peer, sample).rate]
    seen: list[Measured] = []
    for make in (sqlite_store, postgres_store):
        seen.append(measure(make, segments=segments, rounds=rounds))
        theirs.append(peer_timed(peer, sample).rate)
    series = segments * len(STAGES)
    return Result(
        name="retrain",
        question=f"a retrain of {series:,} daily series with one new day each, store to published; {rounds} rounds",
        rows=tuple(row for one in seen for row in rows(one)),
        bars=tuple(bar for one in seen for bar in bars(one, peer_seconds=series / median(theirs))),
        notes=(
            f"{PEERS[0]} AutoETS, n_jobs={JOBS}: {spread(theirs)} series/s on {SAMPLE} of such series of {SHORT} days",
            "s: the whole command `nearcast retrain`, from start to exit; read .. publish: its phases",
            "x: as long as a daily retrain of the same round, the median of the rounds, as the bars are",
            "bare: reading the new rows and writing the published bytes by the driver alone (COPY on PostgreSQL)",
            f"corrected: {CORRECTED} series of {CORRECTED // len(STAGES)} segments, {BACK} days back, and a day more; "
            f"scattered: one series in each of {CORRECTED} segments",
        ),
    )


def measure(store: Callable[[], AbstractContextManager[Database]], *, segments: int, rounds: int) -> Measured:
    """Fill and train two stores of a kind, with SHORT and LONG days; then retrain day by day, all kinds in turns."""
    with store() as one, store() as other:
        year, years = Bench(one, days=SHORT, segments=segments), Bench(other, days=LONG, segments=segments)
        for bench in (year, years):
            bench.upload(days=bench.days)
            bench.retrain()
            bench.upload(days=1)
            bench.retrain()  # the first append compiles what the first fit did not need
        seen = Measured(one.dialect, [], [], [], [], [])
        for _ in range(rounds):
            year.upload(days=1)
            seen.daily.append(year.retrain())
            years.upload(days=1)
            seen.longer.append(years.retrain())
            year.upload(days=1, corrected=CORRECTED)
            seen.corrected.append(year.retrain())
            seen.bare.append(year.bare())  # what it did to the machine's memory falls on the kind that has no bar
            year.upload(days=1, corrected=CORRECTED, scattered=True)
            seen.scattered.append(year.retrain())
    return seen


def computed() -> float:
    """Seconds that children of this process have computed, once they have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(some: list[Retrained]) -> list[float]:
    """Of each."""
    return [one.seconds for one in some]


def times(some: Sequence[float], others: Sequence[float]) -> float:
    """How many times as long, round by round: what else the machine does falls on both of a round."""
    return median(one / other for one, other in zip(some, others, strict=True))


def rows(seen: Measured) -> Iterator[dict[str, str | float]]:
    """A line of the table for each kind of retrain, and one of bare reading and writing."""
    daily = seconds(seen.daily)
    kinds = {
        f"{SHORT} days": seen.daily,
        f"{LONG} days": seen.longer,
        "corrected": seen.corrected,
        "scattered": seen.scattered,
    }
    for kind, some in kinds.items():
        yield {
            "": f"{seen.store}, {kind}",
            "s": spread(seconds(some)),
            "x": times(seconds(some), daily),
            "cpu s": median(one.cpu for one in some),
            **{name: median(one.phases[name] for one in some) for name in some[0].phases},
            "MiB": max(one.memory for one in some),
        }
    untold = dict.fromkeys(("cpu s", *seen.daily[0].phases, "MiB"), "")
    yield {"": f"{seen.store}, bare", "s": spread(seen.bare), "x": times(seen.bare, daily), **untold}


def bars(seen: Measured, *, peer_seconds: float) -> list[Bar]:
    """The bounds of one store."""
    daily, longer = seconds(seen.daily), seconds(seen.longer)
    most = max(one.memory for one in (*seen.daily, *seen.longer))
    return [
        Bar(f"{seen.store}: times as fast as AutoETS", peer_seconds / median(daily), at_least=LEAST_RATIO),
        Bar(f"{seen.store}: times bare reading and writing", times(daily, seen.bare), at_most=MOST_BARE),
        Bar(f"{seen.store}: memory with children, MiB", most, at_most=MOST_MEMORY),
        Bar(f"{seen.store}: {LONG} days, times {SHORT}", times(longer, daily), at_most=MOST_LONGER),
        Bar(
            f"{seen.store}: with corrections, times without",
            times(seconds(seen.corrected), daily),
            at_most=MOST_CORRECTED,
        ),
    ]


@contextmanager
def sqlite_store() -> Iterator[Database]:
    """A SQLite file in a folder that is removed afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="nearcast-bench-") as folder,
        Database(f"sqlite:///{Path(folder) / 'store.db'}") as database,
    ):
        yield database


@contextmanager
def postgres_store() -> Iterator[Database]:
    """A scratch database, dropped afterwards."""
    name = f"nearcast_bench_{uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES, autocommit=True, connect_timeout=3) as admin:
        admin.execute(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
        try:
            with Database(make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)) as database:
                yield database
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
