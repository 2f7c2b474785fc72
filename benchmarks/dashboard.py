"""What the pages of a wide funnel cost: five stages, fifty segments, asked of a server that has just started."""

from __future__ import annotations

import http.client
import re
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.report import Bar, Result
from benchmarks.servers import HOST, cpu_seconds, free_port, running, service_command
from models.flow import KEPT
from models.forecast import QUANTILES, Coverage, Forecast
from models.funnel import TOTAL, Funnel
from models.levers import pack
from service.store.database import Database
from service.store.funnels import declare_funnel
from service.store.versions import Draft, publish_version

STAGES = ("visit", "lead", "qualified", "offer", "won")
SEGMENTS = tuple(f"segment-{number:02}" for number in range(50))
HORIZON = 56
CUTOFF = date(2026, 11, 22)
PAGES = ("/", "/stage", "/levers", "/scorecard", "/runs", "/upload")
ROUNDS = 20
MOST_MS = 300.0
MOST_BYTES = 150_000


def run(*, rounds: int = ROUNDS) -> Result:
    """The first answer after readiness, of the overview; then every page again and again; and what each weighs."""
    with tempfile.TemporaryDirectory(prefix="nearcast-bench-") as folder:
        url = f"sqlite:///{Path(folder) / 'wide.db'}"
        publish_wide(url, "wide")
        port, log = free_port(), Path(folder) / "server.log"
        environment = {"NEARCAST_DATABASE_URL": url}
        with running(service_command(port), port=port, log=log, environment=environment, until="/readyz") as server:
            before = cpu_seconds(server.process.pid)
            first = {page: asked(port, page)[0] for page in PAGES[:1]}
            computing = 1000 * (cpu_seconds(server.process.pid) - before)
            first |= {page: asked(port, page)[0] for page in PAGES[1:]}
            usual = {page: [asked(port, page)[0] for _ in range(rounds)] for page in PAGES}
            before = cpu_seconds(server.process.pid)
            for _ in range(rounds):
                asked(port, "/")
            overview = 1000 * (cpu_seconds(server.process.pid) - before) / rounds
            weights = {page: weight_of(port, page) for page in PAGES}
    rows: tuple[dict[str, str | float], ...] = tuple(
        {"page": page, "first ms": first[page], "ms": median(usual[page]), "bytes with style and script": weights[page]}
        for page in PAGES
    )
    return Result(
        name="dashboard",
        question=f"5 stages x 50 segments; first request after readiness, then median of {rounds}",
        rows=rows,
        bars=(
            Bar("ms of computing until the very first overview", computing, at_most=MOST_MS),
            Bar("ms of computing for an overview", overview, at_most=MOST_MS),
            Bar("bytes of the heaviest page", max(weights.values()), at_most=MOST_BYTES),
        ),
        notes=(
            "milliseconds of the table: by the clock of the client, over loopback, each on a connection of its own",
            "computing: of the server, whatever it does meanwhile, so that other programs do not count",
        ),
    )


def asked(port: int, page: str) -> tuple[float, bytes]:
    """Milliseconds to the last byte of a page, and the page."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    start = time.perf_counter()
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{page} answered {answer.status}")
    return 1000 * (time.perf_counter() - start), body


def weight_of(port: int, page: str) -> int:
    """Bytes of a page and all that it loads."""
    _, body = asked(port, page)
    files = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', body.decode()))
    return len(body) + sum(len(asked(port, file)[1]) for file in files)


def publish_wide(url: str, name: str) -> None:
    """A store with one funnel and one version, made up: what pages cost does not depend on what was fitted."""
    generator = np.random.default_rng(7)
    funnel = Funnel(STAGES, ("lost",), "segment")
    now = datetime(2026, 11, 23, 6, tzinfo=UTC)
    segments = (TOTAL, *SEGMENTS)
    buckets = ("1", "2-3", "4-7", "8-14", "15-28", "29-56")
    with Database(url) as database:
        database.migrate()
        with database.write() as connection:
            record = declare_funnel(connection, name, funnel, now=now)
            draft = Draft(
                funnel=funnel,
                cutoff=CUTOFF,
                watermark=0,
                horizon=HORIZON,
                model="cascade+univariate",
                calendar="none",
                reason="the first version",
                scorecard=[
                    score(segment, stage, steps) for segment in segments for stage in STAGES for steps in buckets
                ],
                quality=quality(),
                views={
                    "observed": generator.poisson(40.0, (len(segments) * len(STAGES), KEPT)).astype(float),
                    "flow": np.vstack([np.full(5, 1234.0), np.full(5, 0.5), np.full(5, 4.0)]),
                },
            )
            publish_version(
                connection,
                record.id,
                draft,
                made=list(forecasts(generator, segments)),
                responses={segment: pack(response()) for segment in segments},
                now=now,
            )


def forecasts(generator: np.random.Generator, segments: tuple[str, ...]) -> Iterator[Forecast]:
    """One of each series."""
    for segment in segments:
        for stage in STAGES:
            mean = generator.uniform(30.0, 50.0, HORIZON)
            spread = np.array([np.sqrt(mean) * 4 * (each - 0.5) for each in QUANTILES]).T
            yield Forecast(
                segment,
                stage,
                CUTOFF,
                "cascade+univariate",
                mean,
                mean[:, None] + spread,
                in_flight=mean * 0.4,
                new=mean * 0.6,
                reliable_until=28,
                coverage={80: Coverage(0.81, 379), 95: Coverage(0.96, 379)},
            )


def response() -> Any:
    """Half of the entrants of a step arrive, over eight steps."""
    found = np.zeros((len(STAGES) - 1, 1 + HORIZON, HORIZON))
    for entry in range(1 + HORIZON):
        found[:, entry, max(entry - 1, 0) : entry + 7] = 1 / 16
    return found


def score(segment: str, stage: str, steps: str) -> dict[str, Any]:
    """A row of the scorecard."""
    return {
        "segment": segment,
        "stage": stage,
        "steps": steps,
        "n": 60,
        "skill": 0.3,
        "wmape": 0.2,
        "wql": 0.1,
        "bias": 0.01,
        "coverage80": 0.8,
        "coverage95": 0.95,
    }


def quality() -> dict[str, Any]:
    """What was repaired, a few times."""
    text = "8 days without any event count as not observed; if that was a closure, declare its days"
    one = {"kind": "gap", "segment": TOTAL, "stage": "", "start": "2026-10-01", "end": "2026-10-08", "count": 8}
    return {
        "repairs": [{**one, "text": text}] * 20,
        "fallbacks": [],
        "holidays": "none",
        "first_day": "2025-11-22",
        "cutoff": CUTOFF.isoformat(),
        "events": 1_000_000,
        "counts": 0,
    }
