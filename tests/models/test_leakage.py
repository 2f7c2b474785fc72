"""What comes after a cutoff changes not one byte of the forecast there: real funnels when they are beside, else one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.backtest import backtest
from models.forecast import Forecast
from models.funnel import DeclaredDay, Funnel
from models.rows import counts_from_frame, events_from_frame
from models.simulate import demo_spec, simulate

CASES = Path(__file__).parents[3] / "shared" / "cases"
HORIZON = 28
REAL = ("hotel", "bpi2012_loans", "bpi2020_expenses", "nyc_covid")


def read(name: str) -> tuple[pd.DataFrame, Funnel, date, date]:
    """Rows, declaration, first day and a cutoff in the middle."""
    if name in ("simulated", "declared"):
        spec = demo_spec()
        rows = simulate(spec, days=150, seed=np.random.default_rng(5)).events
        rows["ts"] = rows.ts.dt.tz_localize(None)
        days = [spec.start + timedelta(days=number) for number in (*range(20, 150, 9), 111) if name == "declared"]
        declared = tuple(DeclaredDay("sale", day, day) for day in days)
        funnel = replace(spec.funnel(), declared_days=declared)
        return rows, funnel, spec.start, spec.start + timedelta(days=109)
    if not (CASES / name).exists():
        pytest.skip(f"the real funnels are not at {CASES}")
    case = json.loads((CASES / name / "case.json").read_text())
    funnel = Funnel(
        stages=tuple(case["stages"]),
        exits=tuple(case["exits"]),
        segment_by=case["segment_by"],
        due_stage=case.get("due_stage"),
    )
    file = next((CASES / name).glob("*s.csv.gz"))
    file = file if file.name != "peers.csv.gz" else CASES / name / "counts.csv.gz"
    rows = pd.read_csv(file, keep_default_na=False, na_values={"y": [""], "value": [""], "due_on": [""]})
    for column in {"ts", "ds", "due_on"} & set(rows):
        rows[column] = pd.to_datetime(rows[column])
    middle = case["cutoffs"][len(case["cutoffs"]) // 2]
    return rows, funnel, date.fromisoformat(case["start"]), date.fromisoformat(middle)


def with_hostile_rows(rows: pd.DataFrame, funnel: Funnel, *, after: pd.Timestamp) -> pd.DataFrame:
    """The rows and, from the moment after the cutoff on, what could tell on those before it."""
    known, generator = rows[rows.ts < after], np.random.default_rng(0)
    some = known.drop_duplicates("entity_id", keep="last").sample(frac=0.5, random_state=generator)
    parts = [rows]
    for stage in (*funnel.stages, *funnel.exits):  # late news of old entities: reached again, or left, with all moved
        again = some.sample(frac=0.2, random_state=generator).assign(stage=stage, segment="moved", value=1e6)
        again["ts"] = after + pd.to_timedelta(generator.integers(0, 40 * 86_400, len(again)), unit="s")
        if "due_on" in rows:
            again["due_on"] = again.ts.dt.normalize() + pd.to_timedelta(generator.integers(-60, 90, len(again)), "D")
        parts.append(again)
    fresh = parts[1].assign(entity_id="later-" + parts[1].entity_id.astype(str), segment="unheard of")
    parts += [fresh, fresh.assign(stage="unheard of too")]
    mixed = pd.concat(parts).sample(frac=1, random_state=generator)
    if "due_on" in mixed:
        mixed["due_on"] = pd.to_datetime(mixed.due_on)
    return mixed.reset_index(drop=True)


def with_hostile_counts(rows: pd.DataFrame, *, after: pd.Timestamp) -> pd.DataFrame:
    """The counts, those after the cutoff a hundredfold, and a segment that nobody had heard of."""
    later = rows[rows.ds >= after]
    fresh = later[later.segment == later.segment.iloc[0]].assign(segment="unheard of", y=7.0)
    more = rows.assign(y=np.where(rows.ds >= after, rows.y.astype(float) * 100 + 50, rows.y.astype(float)))
    return pd.concat([more, fresh]).sample(frac=1, random_state=np.random.default_rng(0)).reset_index(drop=True)


def forecasts(rows: pd.DataFrame, funnel: Funnel, *, start: date, cutoff: date) -> dict[tuple[str, str], Forecast]:
    if "y" in rows:
        counts = counts_from_frame(rows, timezone="UTC", segment_by="segment")
        result = backtest(None, counts, funnel, cutoffs=[cutoff], horizon=HORIZON, start=start)
    else:
        events = events_from_frame(rows, timezone="UTC", segment_by="segment")
        result = backtest(events, None, funnel, cutoffs=[cutoff], horizon=HORIZON, start=start)
    return {(forecast.segment, forecast.stage): forecast for forecast in result.forecasts}


@pytest.mark.parametrize("name", ["simulated", "declared", *REAL])
def test_no_row_after_the_cutoff_changes_a_byte_at_it(name):
    rows, funnel, start, cutoff = read(name)
    after = pd.Timestamp(cutoff + timedelta(days=1))
    time = "ds" if "y" in rows else "ts"
    hostile = with_hostile_counts(rows, after=after) if "y" in rows else with_hostile_rows(rows, funnel, after=after)
    known = forecasts(rows[rows[time] < after], funnel, start=start, cutoff=cutoff)
    other = forecasts(hostile, funnel, start=start, cutoff=cutoff)
    assert len(hostile) > len(rows) > (rows[time] < after).sum()
    assert list(known) == list(other)
    for series, one in known.items():
        two = other[series]
        for field in ("mean", "quantiles", "in_flight", "new"):
            first, second = getattr(one, field), getattr(two, field)
            assert (first is None) == (second is None), (series, field)
            assert first is None or first.tobytes() == second.tobytes(), (series, field)
        assert (one.model, one.repairs, one.ceiling) == (two.model, two.repairs, two.ceiling)
        assert (one.value is None) == (two.value is None)
        if one.value is not None:
            assert one.value.quantiles.tobytes() == two.value.quantiles.tobytes(), series
            assert one.value.in_flight.tobytes() == two.value.in_flight.tobytes(), series
