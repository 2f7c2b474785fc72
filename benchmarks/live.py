"""Sixty nights: a funnel simulated, ingested day by day and retrained after each, and what its live scores say then."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.oracle import WEEK
from benchmarks.report import Bar, Result
from models.simulate import Arrivals, Delay, Exit, FunnelSpec, Segment, Transition, simulate
from service.ingest import IngestOptions, ingest
from service.live import live_document
from service.retrain import retrain
from service.serving import Serving
from service.store.database import Database

BEFORE = 365
"""Days of history at the first retrain."""
NIGHTS = 60
SEED = 11
LEAST = 5.0
"""A series has enough counts when it has so many a day: the intervals of smaller ones hold more than they promise."""
OFF = 0.03
START = date(2024, 1, 1)
SPEC = FunnelSpec(
    stages=("lead", "offer", "won"),
    transitions=(
        Transition(0.6, Delay(4, 0.5), exits=(Exit("lost", 0.2, Delay(6, 0.5)),), day_effect=WEEK),
        Transition(0.5, Delay(9, 0.5), exits=(Exit("lost", 0.3, Delay(8, 0.5)),), day_effect=WEEK),
    ),
    segments=tuple(Segment(f"region{number}", share) for number, share in enumerate((0.4, 0.25, 0.2, 0.15))),
    arrivals=Arrivals(200.0, day_effect=WEEK),
    start=START,
)


def run(*, nights: int = NIGHTS) -> Result:
    """First the history, then a day and a retrain at a time."""
    began = time.monotonic()
    with TemporaryDirectory() as folder, Database(f"sqlite:///{Path(folder) / 'live.db'}") as database:
        database.migrate()
        seconds = live_through(database, Path(folder), nights=nights)
        serving = Serving(database)
        serving.refresh()
        served = serving.find("live")
    assert served is not None
    live = live_document(served)
    assert live is not None
    means = {series: float(np.nanmean(counts[-NIGHTS:])) for series, counts in served.observed.items()}
    enough = [score for score in live["scores"] if means[score["segment"], score["stage"]] >= LEAST and score["n"]]
    held = pooled(enough, "coverage80")
    assert served.version == nights + 1
    return Result(
        name="live",
        question=f"{nights} nights of ingest and retrain after {BEFORE} days, {len(means)} series",
        rows=tuple(row(steps, enough) for steps in dict.fromkeys(score["steps"] for score in enough)),
        bars=(Bar("80 % interval, live coverage off by", abs(held - 0.8), at_most=OFF),),
        notes=(
            f"{sum(score['n'] for score in enough)} actuals of {len({(s['segment'], s['stage']) for s in enough})} "
            f"series with {LEAST:g} a day or more; 80 %: {held:.3f}, 95 %: {pooled(enough, 'coverage95'):.3f}",
            f"80 % by counts a day: {by_size(enough, means)}",
            f"outside the 95 % interval of the night before: {live['outside']} of {live['looked_at']} days",
            f"drifting, though nothing changed: {len(live['drifting'])} series",
            f"a retrain took {np.median(seconds):.2f} s (median); all {time.monotonic() - began:.0f} s",
        ),
    )


def live_through(database: Database, folder: Path, *, nights: int) -> list[float]:
    """Seconds of each retrain."""
    simulation = simulate(replace(SPEC), days=BEFORE + nights, seed=np.random.default_rng(SEED))
    events = simulation.events
    day = pd.to_datetime(events["ts"], utc=True).dt.tz_convert(SPEC.timezone).dt.date
    options = IngestOptions(stages=SPEC.stages, exits=("lost",), segment_by="segment", timezone=SPEC.timezone)
    seconds = []
    since = date.min
    for night in range(nights + 1):
        until = START + timedelta(days=BEFORE + night - 1)
        file = folder / "new.csv"
        events[(day > since) & (day <= until)].to_csv(file, index=False)
        since = until
        now = datetime.combine(until + timedelta(days=1), clock(3), tzinfo=UTC)
        ingest(database, "live", file, options=replace(options, fresh_until=now), now=now)
        began = time.monotonic()
        retrain(database, "live", now=now)
        seconds.append(time.monotonic() - began)
    return seconds


def pooled(scores: list[dict[str, Any]], measure: str) -> float:
    """Mean of a measure, each score by its actuals."""
    return float(np.average([score[measure] for score in scores], weights=[score["n"] for score in scores]))


def by_size(scores: list[dict[str, Any]], means: dict[tuple[str, str], float]) -> str:
    """Coverage of small, middling and large series."""
    parts = []
    for name, low, high in (("5 to 10", 5.0, 10.0), ("10 to 30", 10.0, 30.0), ("more", 30.0, np.inf)):
        chosen = [score for score in scores if low <= means[score["segment"], score["stage"]] < high]
        parts.append(f"{name} {pooled(chosen, 'coverage80'):.3f}" if chosen else f"{name} none")
    return ", ".join(parts)


def row(steps: str, scores: list[dict[str, Any]]) -> dict[str, str | float]:
    """One line of the table."""
    chosen = [score for score in scores if score["steps"] == steps]
    return {
        "steps": steps,
        "actuals": float(sum(score["n"] for score in chosen)),
        **{name: pooled(chosen, measure) for name, measure in (("80 %", "coverage80"), ("95 %", "coverage95"))},
        **{name: pooled(chosen, name) for name in ("wql", "bias", "revision")},
    }
