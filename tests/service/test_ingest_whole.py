"""Whole files: the demo's dirty export, large ones, and real funnels."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.errors import InputError
from models.records import NO_DAY
from models.rows import events_from_frame
from models.simulate import demo_spec, make_dirty, simulate
from service.ingest import IngestOptions, ingest
from service.ingest.sample import Sample
from service.store.database import Database
from service.store.funnels import get_funnel
from service.store.observations import read_events

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


class Pipe(io.BytesIO):
    """A stream that cannot go back."""

    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation

    tell = seek


def objects(count, *, start=0, **more):
    return [
        {"entity_id": f"e{start + number}", "stage": ["lead", "won"][number % 2], "ts": "2024-03-01"} | more
        for number in range(count)
    ]


@pytest.mark.parametrize("form", ["ndjson", "json", "ndjson.gz", "pipe"])
def test_columns_that_only_later_objects_have_are_taken(database, form):
    late = {"value": 5.5, "due_on": "2024-04-01", "region": "north", "owner": "ann"}
    rows = objects(5000) + objects(200, start=5000, **late)
    text = json.dumps(rows) if form == "json" else "\n".join(map(json.dumps, rows))
    data = gzip.compress(text.encode()) if form == "ndjson.gz" else text.encode()
    source = (Pipe if form == "pipe" else io.BytesIO)(data)
    options = IngestOptions(stages=("lead", "won"), segment_by="region")
    report = ingest(database, "demo", source, options=options, now=datetime(2030, 1, 1, tzinfo=UTC))
    assert report.inserted == 5200
    assert "ignored columns: owner" in report.notes
    with database.read() as connection:
        found = read_events(connection, get_funnel(connection, "demo").id)
    assert np.nansum(found.value) == 200 * 5.5
    assert (found.due_on != NO_DAY).sum() == 200
    assert sorted(set(found.segment)) == ["north", "unknown"]
    assert (found.segment == "north").sum() == 200


def test_objects_with_ever_new_keys_are_refused(database):
    rows = [json.dumps(row | {f"k{number}": 1}) for number, row in enumerate(objects(2000))]
    with pytest.raises(InputError, match=r"line 998.*more than 1,000 different keys"):
        ingest(database, "demo", io.BytesIO("\n".join(rows).encode()))


def zoned(timezone, rows, *, due=""):
    moments = pd.date_range("2024-01-01", "2024-12-31", periods=rows, tz="UTC").floor("s").tz_convert(timezone)
    stages = np.resize(["lead", "won"], rows)
    lines = (f"e{n},{stages[n]},{moment.isoformat()},{due}" for n, moment in enumerate(moments))
    return io.BytesIO(("entity_id,stage,ts,due_on\n" + "\n".join(lines)).encode())


@pytest.mark.parametrize("rows", [400, 120_000])
@pytest.mark.parametrize("timezone", ["Europe/London", "Europe/Berlin"])
def test_the_zone_is_that_of_all_rows_however_many_and_in_whatever_order(database, timezone, rows):
    report = ingest(database, "demo", zoned(timezone, rows), now=datetime(2030, 1, 1, tzinfo=UTC))
    assert report.inferred["timezone"] == timezone
    assert f"time zone: {timezone}" in report.notes[0]


def test_due_days_read_in_a_zone_that_later_rows_belie_are_refused(database):
    source = zoned("Europe/London", 120_000, due="2024-06-01T23:30:00Z")
    with pytest.raises(InputError, match=r"declare timezone, such as Europe/London"):
        ingest(database, "demo", source, now=datetime(2030, 1, 1, tzinfo=UTC))
    source.seek(0)
    options = IngestOptions(timezone="Europe/London")
    assert ingest(database, "demo", source, options=options, now=datetime(2030, 1, 1, tzinfo=UTC)).rows == 120_000
