"""Whole files: the demo's dirty export, large ones, and real funnels."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.rows import events_from_frame
from models.simulate import demo_spec, make_dirty, simulate
from service.ingest import ingest
from service.ingest.sample import Sample
from service.store.database import Database
from service.store.funnels import get_funnel

CASES = Path(__file__).parents[3] / "shared" / "cases"


@pytest.fixture
def database(tmp_path):
    with Database(f"sqlite:///{tmp_path / 'store.db'}") as database:
        database.migrate()
        yield database


def take(database, frame):
    data = io.BytesIO(frame.to_csv(index=False).encode())
    return ingest(database, "demo", data, now=datetime(2030, 1, 1, tzinfo=UTC))


def test_the_demos_dirty_export_is_taken_in_whole(database):
    generator = np.random.default_rng(7)
    spec = demo_spec()
    simulation = simulate(spec, days=90, seed=generator)
    frame = make_dirty(simulation.events, generator, timezone=spec.timezone)
    report = take(database, frame)
    assert report.rows == len(frame) == report.inserted + report.duplicates
    assert report.repairs["segment_unknown"] > 0
    assert report.repairs["duplicate_row"] == report.duplicates > 0
    with database.read() as connection:
        found = get_funnel(connection, "demo").funnel
    assert found.stages == tuple(spec.stages)
    assert set(found.exits) == {"disqualified", "lost"}
    assert (found.segment_by, found.due_stage, found.timezone) == ("segment", "won", "Europe/Berlin")
    assert take(database, frame.sample(frac=1, random_state=1)).inserted == 0


def test_a_large_upload_is_sampled_by_whole_entities():
    ids = [f"e{number}" for number in range(4000)]
    table = pd.DataFrame({"entity_id": ids * 2, "stage": ["lead"] * 4000 + ["won"] * 4000, "ts": "2024-03-01"})
    sample = Sample(limit=1000)
    events = events_from_frame(table, timezone="UTC", segment_by=None)
    for start in range(0, 8000, 500):
        sample.add_events(events.take(np.arange(start, start + 500)))
    journeys = sample.journeys()
    assert sample.rows == {"lead": 4000, "won": 4000}
    assert sample.every in (8, 16)
    assert 200 <= len(journeys.first) <= 500
    assert journeys.reached("lead").all()
    assert journeys.reached("won").all()


@pytest.mark.parametrize("name", ["hotel", "bpi2012_loans", "bpi2020_expenses", "nyc_covid"])
def test_real_funnels_are_taken_in_and_inferred(database, name):
    folder = CASES / name
    if not folder.exists():
        pytest.skip(f"the real funnels are not beside this checkout ({folder})")
    case = json.loads((folder / "case.json").read_text())
    kind = "counts" if (folder / "counts.csv.gz").exists() else "events"
    report = ingest(database, name, folder / f"{kind}.csv.gz", kind=kind)
    with database.read() as connection:
        found = get_funnel(connection, name).funnel
    assert report.inserted == report.rows > 10_000
    assert list(found.stages) == case["stages"]
    assert set(found.exits) == set(case["exits"])
    assert (found.segment_by, found.due_stage) == (case["segment_by"], case.get("due_stage"))
