"""The dirty export: every kind of dirt is there, and nothing else is changed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from models.rows import events_from_frame
from models.simulate import Dirt, demo_spec, make_dirty, simulate
from models.simulate.dirt import ODD_IDS

ZONE = "Europe/Amsterdam"
CLEAN = Dirt(duplicates=0, blank_segments=0, headless=0, displaced=0, zulu=0, outage_days=0, last_hour=24)


@pytest.fixture(scope="module")
def events() -> pd.DataFrame:
    return simulate(demo_spec(), days=60, seed=np.random.default_rng(2)).events


def dirty(events: pd.DataFrame, dirt: Dirt | None = None, *, seed: int = 3) -> pd.DataFrame:
    return make_dirty(events, np.random.default_rng(seed), timezone=ZONE, dirt=dirt)


def local_days(frame: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(frame["ts"], utc=True, format="ISO8601").dt.tz_convert(ZONE).dt.date


def test_without_dirt_the_export_says_the_same_as_the_events(events):
    export = dirty(events, CLEAN)
    pd.testing.assert_series_equal(
        pd.to_datetime(export["ts"], utc=True, format="ISO8601"), events["ts"], check_dtype=False
    )
    assert export["stage"].tolist() == events["stage"].tolist()
    assert export["segment"].tolist() == events["segment"].tolist()
    values = pd.to_numeric(export["value"].replace("", None))
    np.testing.assert_allclose(values, events["value"], atol=0.005)
    due = pd.to_datetime(export["due_on"].replace("", None))
    assert ((due == events["due_on"]) | (due.isna() & events["due_on"].isna())).all()


def test_every_cell_is_a_string_and_no_time_is_naive(events):
    export = dirty(events)
    assert export.map(lambda cell: isinstance(cell, str)).all(axis=None)
    kinds = export["ts"].map(lambda text: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", text)[1])
    assert set(kinds) == {"Z", "+01:00"}


def test_some_rows_appear_twice_and_none_contradicts_another(events):
    export = dirty(events)
    assert 0.005 < export.duplicated().mean() < 0.02
    assert not export.drop_duplicates().duplicated(["entity_id", "stage"]).any()


def test_odd_ids_are_there_and_keep_their_rows_together(events):
    export = dirty(events, CLEAN)
    assert set(ODD_IDS) <= set(export["entity_id"])
    mapping = pd.DataFrame({"new": export["entity_id"], "old": events["entity_id"]}).drop_duplicates()
    assert mapping["new"].is_unique
    assert (mapping["new"] != mapping["old"]).sum() == len(ODD_IDS)


def test_some_entities_have_a_blank_segment_on_all_their_rows(events):
    export = dirty(events)
    blank = (export["segment"] == "").groupby(export["entity_id"]).mean()
    assert set(blank) == {0.0, 1.0}
    assert 0.003 < blank.mean() < 0.03


def test_some_entities_lack_their_first_stage(events):
    export = dirty(events, replace(CLEAN, headless=0.01))
    has_lead = (export["stage"] == "lead").groupby(export["entity_id"]).any()
    assert 0.001 < 1 - has_lead.mean() < 0.02


def test_the_feed_is_silent_for_the_outage_and_stops_during_the_last_day(events):
    export = dirty(events)
    days = sorted(set(local_days(export)))
    every_day = pd.date_range(days[0], days[-1]).date
    silent = sorted(set(every_day) - set(days))
    assert len(silent) == 8
    assert (silent[-1] - silent[0]).days == 7
    last = pd.to_datetime(export["ts"], utc=True, format="ISO8601").max().tz_convert(ZONE)
    assert last.date() == days[-1] == date(2025, 3, 6)
    assert last.hour < 14


def test_rows_are_out_of_order(events):
    instants = pd.to_datetime(dirty(events)["ts"], utc=True, format="ISO8601")
    assert (instants.diff().dt.total_seconds() < 0).mean() > 0.01


def test_the_events_are_left_as_they_were_and_the_same_seed_gives_the_same_export(events):
    before = events.copy(deep=True)
    pd.testing.assert_frame_equal(dirty(events), dirty(events))
    pd.testing.assert_frame_equal(events, before)


def test_columns_without_any_value_are_left_out(events):
    bare = events.assign(value=np.nan, due_on=pd.NaT)
    assert list(dirty(bare).columns) == ["entity_id", "stage", "ts", "segment"]


def test_the_gate_takes_the_events_as_they_are_and_the_dirty_export_with_repairs(events):
    gate = {"timezone": ZONE, "segment_by": "segment"}
    clean = events_from_frame(events, **gate)
    assert len(clean) == len(events)
    assert (clean.ts == events["ts"].astype("int64").to_numpy()).all()
    export, repairs = dirty(events), Counter()
    rows = events_from_frame(export, **gate, repairs=repairs)
    assert len(rows) == len(export.drop_duplicates())
    assert sum(repairs.values()) >= (export["segment"] == "").sum()
    assert (rows.segment == "unknown").sum() == (export.drop_duplicates()["segment"] == "").sum()
    assert set(ODD_IDS) <= set(rows.entity_id)
