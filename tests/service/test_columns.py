"""The forecast as columns: what each form holds, and that all forms say the same."""

from __future__ import annotations

import csv
import io
import json

import pytest
from pyarrow import parquet

from models.forecast import QUANTILES
from service.columns import (
    METADATA,
    csv_from_columns,
    long_columns,
    long_document,
    parquet_from_columns,
    step_columns,
)
from service.document import forecast_document, header_document
from service.selection import Selection
from tests.service.test_document import make_forecast, make_version


def test_a_row_says_what_the_step_of_the_document_says():
    version = make_version(make_forecast(), make_forecast("north", parts=False), make_forecast(stage="lead"))
    columns = step_columns(version, Selection(levels=(95, 80)), stale=True)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    document = forecast_document(version, Selection(levels=(95, 80)))
    steps = [(series, step) for series in document["forecasts"] for step in series["steps"]]
    assert len(rows) == len(steps) == 24
    for row, (series, step) in zip(rows, steps, strict=True):
        assert {name: row[name] for name in ("segment", "stage", "model")} == {
            name: series[name] for name in ("segment", "stage", "model")
        }
        for name in ("step", "date", "mean", "reliable", "in_flight", "new"):
            assert row[name] == step[name], name
        assert [row[f"q{name}"] for name in step["quantiles"]] == list(step["quantiles"].values())
        for level, (lower, upper) in step["intervals"].items():
            assert (row[f"lower_{level}"], row[f"upper_{level}"]) == (lower, upper)
        assert (row["cutoff"], row["version"], row["stale"]) == ("2024-01-31", 3, True)


def test_the_long_form_has_a_row_for_each_quantile():
    steps = step_columns(make_version(make_forecast(horizon=2, reliable_until=1)), Selection(horizon=2))
    columns = long_columns(steps)
    assert list(columns)[:6] == ["segment", "stage", "ds", "step", "quantile", "value"]
    assert columns["quantile"] == [*QUANTILES, *QUANTILES]
    assert columns["ds"] == ["2024-02-01"] * 11 + ["2024-02-02"] * 11
    assert columns["value"] == [steps[f"q{q:g}"][row] for row in range(2) for q in QUANTILES]
    rows = long_document(make_version(make_forecast(horizon=2, reliable_until=1)), Selection(horizon=2))["rows"]
    assert [row["value"] for row in rows] == columns["value"]


def test_steps_that_the_gate_refuses_are_in_no_form():
    version = make_version(make_forecast(), gate="refuse")
    assert step_columns(version, Selection())["step"] == [1, 2, 3, 4, 5]
    assert len(long_document(version, Selection())["rows"]) == 55


def test_a_version_without_any_forecast_gives_a_head_and_no_rows():
    columns = step_columns(make_version(), Selection())
    assert csv_from_columns(columns).startswith("cutoff,segment,stage,step,date,mean,q0.025,")
    assert len(csv_from_columns(columns).splitlines()) == 1


def test_csv_has_empty_cells_where_a_model_does_not_tell_parts_apart():
    columns = step_columns(make_version(make_forecast(parts=False)), Selection(horizon=1))
    ((row),) = csv.DictReader(io.StringIO(csv_from_columns(columns)))
    assert (row["in_flight"], row["new"], row["reliable"], row["stale"]) == ("", "", "true", "false")
    assert float(row["lower_80"]) == float(row["q0.1"])


@pytest.mark.parametrize("long", [False, True])
def test_parquet_keeps_every_digit_with_kinds_of_columns_and_the_header(long):
    version = make_version(make_forecast(), make_forecast("north", parts=False))
    columns = step_columns(version, Selection())
    columns = long_columns(columns) if long else columns
    header = header_document(version, Selection(), stale=False)
    table = parquet.read_table(io.BytesIO(parquet_from_columns(columns, header=header)))
    assert {name: str(table.schema.field(name).type) for name in ("cutoff", "step", "mean", "reliable", "segment")} == {
        "cutoff": "date32[day]", "step": "int32", "mean": "double", "reliable": "bool", "segment": "string",
    }  # fmt: skip
    for name, values in columns.items():
        found = table.column(name).to_pylist()
        assert found == values or [day.isoformat() for day in found] == values, name
    assert json.loads(table.schema.metadata[METADATA])["published_at"] == header["published_at"]
