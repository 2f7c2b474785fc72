"""A million event rows from CSV through HTTP into a fresh SQLite file, beside the database's own executemany."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import httpx
import numpy as np

from benchmarks.report import Bar, Result, spread
from benchmarks.servers import Memory, free_port, high_water, running, service_command
from models.records import NO_DAY, Events
from models.rows import events_from_frame
from models.simulate import DEMO_DAYS, Dirt, demo_spec, make_dirty, simulate
from service.store.database import Database

ROWS, ROUNDS = 1_000_000, 3
LEAST_SHARE = 0.2
MOST_MEMORY = 300.0
"""MiB above idle."""
CLEAN = Dirt(duplicates=0, blank_segments=0, headless=0, displaced=0, outage_days=0, last_hour=24)
INSERT = (
    "INSERT INTO events (funnel_id, entity_id, stage, ts, value, due_on, segment, retracted, upload) "
    "VALUES (1, ?, ?, ?, ?, ?, ?, 0, 1)"
)
Row = tuple[str, str, int, float | None, int | None, str]


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload: seconds from request to answer, and the server's memory in MiB."""

    seconds: float
    above_idle: float
    own_above_idle: float


def run(*, rows: int = ROWS, rounds: int = ROUNDS) -> Result:
    """Both ways in turn, each into a fresh file."""
    uploads: list[Upload] = []
    plain: list[float] = []
    ordered: list[float] = []
    with tempfile.TemporaryDirectory(prefix="nearcast-bench-") as folder:
        file = Path(folder) / "events.csv"
        events = write_csv(file, rows=rows)
        tuples = rows_from_events(events)
        in_order = sorted(tuples, key=lambda row: row[:3])
        for number in range(rounds):
            home = Path(folder) / str(number)
            home.mkdir()
            uploads.append(upload(file, home=home, rows=rows))
            plain.append(executemany(tuples, home / "plain.db"))
            ordered.append(executemany(in_order, home / "ordered.db"))
        size = file.stat().st_size / 1e6
    seconds = [one.seconds for one in uploads]
    memory, own = max(one.above_idle for one in uploads), max(one.own_above_idle for one in uploads)
    fastest = min(median(plain), median(ordered))
    return Result(
        name="ingest",
        question=f"{rows:,} event rows ({size:.0f} MB of CSV) into a fresh SQLite file; {rounds} rounds",
        rows=(
            line("POST .../events to nearcast serve", seconds, rows=rows),
            line("executemany, rows as they come", plain, rows=rows),
            line("executemany, rows in key order", ordered, rows=rows),
        ),
        bars=(
            Bar("share of executemany's rows/s (the faster order)", fastest / median(seconds), at_least=LEAST_SHARE),
            Bar("server's memory above idle, MiB", memory, at_most=MOST_MEMORY),
        ),
        notes=(
            "memory: of the worst round, the highest sum over the server and its children, sampled every 20 ms",
            f"the server process alone, by the kernel's high-water mark: {own:.0f} MiB above idle",
        ),
    )


def line(name: str, seconds: Sequence[float], *, rows: int) -> dict[str, str | float]:
    """One line of the table."""
    return {"way": name, "s": spread(seconds), "rows/s": rows / median(seconds)}


def write_csv(file: Path, *, rows: int) -> Events:
    """The demo's funnel, busier, as CSV of exactly `rows` rows; and the same rows parsed."""
    spec = demo_spec()
    busier = replace(spec, arrivals=replace(spec.arrivals, level=spec.arrivals.level * rows / 185_000))
    simulation = simulate(busier, days=DEMO_DAYS, seed=np.random.default_rng(4))
    export = make_dirty(simulation.events, np.random.default_rng(5), timezone=spec.timezone, dirt=CLEAN)[:rows]
    if len(export) < rows:
        raise RuntimeError(f"only {len(export)} rows were drawn")
    export.to_csv(file, index=False)
    return events_from_frame(export, timezone=spec.timezone, segment_by="segment")


def rows_from_events(events: Events) -> list[Row]:
    """Tuples as the driver takes them."""
    value = [
        None if missing else value for value, missing in zip(events.value.tolist(), np.isnan(events.value), strict=True)
    ]
    due = [None if day == NO_DAY else day for day in events.due_on.tolist()]
    texts = events.entity_id.tolist(), events.stage.tolist()
    return list(zip(*texts, events.ts.tolist(), value, due, events.segment.tolist(), strict=True))


def upload(file: Path, *, home: Path, rows: int) -> Upload:
    """Through a server process of its own."""
    port = free_port()
    environment = {"NEARCAST_DATABASE_URL": f"sqlite:///{home / 'served.db'}"}
    with running(service_command(port), port=port, log=home / "server.log", environment=environment) as server:
        time.sleep(1.5)  # whatever the server does once it is up is idle, too
        with Memory(server.process.pid) as memory, file.open("rb") as body, httpx.Client(timeout=None) as client:
            start = time.perf_counter()
            address = f"{server.url}/v1/funnels/bench/events"
            answer = client.post(address, content=body, headers={"Content-Type": "text/csv"})
            seconds = time.perf_counter() - start
        answer.raise_for_status()
        own = high_water(server.process.pid) - memory.idle
    with Database(f"sqlite:///{home / 'served.db'}") as database, database.read() as connection:
        stored = connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one()
    if stored != rows:
        raise RuntimeError(f"{stored} of {rows} rows arrived: {answer.text[:500]}")
    return Upload(seconds, memory.above_idle, own)


def executemany(tuples: list[Row], file: Path) -> float:
    """Seconds of one durable transaction by the driver alone, into our own table."""
    with Database(f"sqlite:///{file}") as database:
        database.migrate()
        start = time.perf_counter()
        with database.write() as connection:
            connection.exec_driver_sql(INSERT, tuples)
        return time.perf_counter() - start
