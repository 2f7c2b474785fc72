"""Real funnels that nobody here wrote, counted by the gate and by pandas."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from models.funnel import Funnel
from models.history import make_history
from models.rows import counts_from_frame, events_from_frame

CASES = Path(__file__).parents[3] / "shared" / "cases"


def day_counts(case: dict, rows: pd.DataFrame) -> pd.Series:
    """Counts by segment, stage and day, made the slow and obvious way with pandas."""
    stages = case["stages"]
    if "entity_id" in rows:
        first = rows.assign(ds=rows.ts.dt.normalize()).groupby(["entity_id", "stage"]).ds.min().unstack()
        for position in range(len(stages) - 1):
            first[stages[position]] = first[stages[position:]].min(axis=1)
        segment = rows.sort_values("ts", kind="stable").groupby("entity_id")["segment"].first()
        long = first[stages].stack().rename("ds").reset_index().join(segment, on="entity_id")
        return long.groupby(["segment", "stage", "ds"]).size()
    return rows[rows.stage.isin(stages)].groupby(["segment", "stage", "ds"]).y.sum()


@pytest.mark.parametrize("name", ["hotel", "bpi2012_loans", "bpi2020_expenses", "nyc_covid"])
def test_real_funnels_are_counted_as_pandas_counts_them(name):
    if not (CASES / name).exists():
        pytest.skip(f"the real funnels are not at {CASES}")
    case = json.loads((CASES / name / "case.json").read_text())
    funnel = Funnel(stages=tuple(case["stages"]), exits=tuple(case["exits"]), segment_by="segment")
    kind = "events" if (CASES / name / "events.csv.gz").exists() else "counts"
    with gzip.open(CASES / name / f"{kind}.csv.gz", "rt") as file:
        texts = pd.read_csv(file, dtype=str, keep_default_na=False)
    read = events_from_frame if kind == "events" else counts_from_frame
    history = make_history(funnel, **{kind: read(texts, timezone="UTC", segment_by="segment")})

    time = "ts" if kind == "events" else "ds"
    typed = texts.assign(**{time: pd.to_datetime(texts[time])})
    if kind == "counts":
        typed["y"] = typed.y.astype(float)
    truth = day_counts(case, typed)
    days = pd.date_range(history.start, periods=history.periods)
    for row, segment in enumerate(history.segments):
        for column, stage in enumerate(history.stages):
            expected = truth.loc[segment, stage].reindex(days).fillna(0).to_numpy()
            assert_array_equal(history.counts[row, column], expected, err_msg=f"{segment}/{stage}")
