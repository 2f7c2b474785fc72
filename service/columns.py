"""The forecast as columns, one row a step or one a quantile: for spreadsheets, BI tools and frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import orjson

from models.forecast import QUANTILES, Forecast, quantiles_of_level
from models.parts import part_intervals
from service.document import header_document
from service.selection import Selection, refused_from, select

if TYPE_CHECKING:
    from service.serving import Served

Form = Literal["steps", "long"]
Columns = dict[str, list[Any]]
NAMES = [f"{quantile:g}" for quantile in QUANTILES]
PER_STEP = ("mean", "in_flight", "new", "reliable", "model", "cutoff", "version", "stale")
"""What the long form repeats for each quantile of a step."""
METADATA = b"nearcast"
"""Key of a Parquet file's metadata under which the forecast's header is, as JSON."""


def step_columns(served: Served, selection: Selection, *, stale: bool = False) -> Columns:
    """One row per segment, stage and step; None where JSON has null. Raises as `service.document.select`."""
    chosen, horizon = select(served, selection)
    lasts = [refused_from(forecast, horizon=horizon, funnel=served.funnel)[1] for forecast in chosen]
    rows = sum(lasts)

    def joined(of: Callable[[Forecast], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        parts = [of(forecast)[:last] for forecast, last in zip(chosen, lasts, strict=True)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def repeated(of: Callable[[Forecast], Any]) -> list[Any]:
        return [of(each) for each, last in zip(chosen, lasts, strict=True) for _ in range(last)]

    steps = joined(lambda forecast: np.arange(1, forecast.horizon + 1))
    quantiles = joined(lambda forecast: forecast.quantiles).reshape(rows, len(QUANTILES)).T
    days = [day.isoformat() for day in max(chosen, key=lambda each: each.horizon).dates] if chosen else []
    bounds = {
        f"{side}_{level}": quantiles[QUANTILES.index(bound)].tolist()
        for level in selection.levels
        for side, bound in zip(("lower", "upper"), quantiles_of_level(level), strict=True)
    }
    return {
        "cutoff": [served.cutoff.isoformat()] * rows,
        "segment": repeated(lambda forecast: forecast.segment),
        "stage": repeated(lambda forecast: forecast.stage),
        "step": steps.tolist(),
        "date": [days[step - 1] for step in steps.tolist()],
        "mean": joined(lambda forecast: forecast.mean).tolist(),
        **{f"q{name}": values.tolist() for name, values in zip(NAMES, quantiles, strict=True)},
        **bounds,
        "in_flight": _or_none(joined(lambda forecast: _told(forecast, forecast.in_flight))),
        "new": _or_none(joined(lambda forecast: _told(forecast, forecast.new))),
        **{name: _or_none(joined(bound)) for name, bound in _part_bounds(selection.levels).items()},
        "reliable": (steps <= np.array(repeated(lambda forecast: forecast.reliable_until))).tolist(),
        "model": repeated(lambda forecast: forecast.model),
        "version": [served.version] * rows,
        "stale": [stale] * rows,
    }


def long_columns(steps: Columns) -> Columns:
    """The same with one row per quantile; what is said per step is repeated."""

    def each(name: str) -> list[Any]:
        return [value for value in steps[name] for _ in NAMES]

    values = list(zip(*(steps[f"q{name}"] for name in NAMES), strict=True))
    return {
        "segment": each("segment"),
        "stage": each("stage"),
        "ds": each("date"),
        "step": each("step"),
        "quantile": list(QUANTILES) * len(values),
        "value": [value for row in values for value in row],
        **{name: each(name) for name in PER_STEP},
    }


def long_document(served: Served, selection: Selection, *, stale: bool = False) -> dict[str, Any]:
    """The JSON answer of `GET /v1/funnels/{funnel}/forecast?format=long`."""
    columns = long_columns(step_columns(served, selection, stale=stale))
    names = [name for name in columns if name not in ("cutoff", "version", "stale")]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True)]
    return {**header_document(served, selection, stale=stale), "rows": rows}


def csv_from_columns(columns: Mapping[str, Sequence[Any]]) -> str:
    """Columns as CSV: empty where None, true and false as in JSON."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    written = [[str(value).lower() for value in each] if _is_flag(each) else each for each in columns.values()]
    writer.writerows(zip(*written, strict=True))
    return text.getvalue()


def parquet_installed() -> bool:
    """Whether the extra that writes Parquet is there; it is not loaded."""
    return find_spec("pyarrow") is not None


def parquet_from_columns(columns: Mapping[str, Sequence[Any]], *, header: Mapping[str, Any]) -> bytes:
    """Columns as a Parquet file, days as dates; the header goes into its metadata."""
    import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to load
    from pyarrow import parquet  # noqa: PLC0415

    kinds = {"step": pa.int32(), "version": pa.int32(), "reliable": pa.bool_(), "stale": pa.bool_()}
    kinds |= {name: pa.string() for name in ("segment", "stage", "model")}
    arrays = {}
    for name, values in columns.items():
        if name in ("cutoff", "date", "ds"):
            arrays[name] = pa.array(np.array(values, dtype="datetime64[D]"))
        else:
            arrays[name] = pa.array(values, type=kinds.get(name, pa.float64()))
    table = pa.table(arrays).replace_schema_metadata({METADATA: orjson.dumps(header)})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def _is_flag(values: Sequence[Any]) -> bool:
    return bool(values) and isinstance(values[0], bool)


def _told(forecast: Forecast, values: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
    return np.full(forecast.horizon, np.nan) if values is None else values


def _part_bounds(levels: Sequence[int]) -> dict[str, Callable[[Forecast], npt.NDArray[np.float64]]]:
    """By name of column, what gives a bound of in flight or of new; NaN where they are not told apart."""

    def bound(forecast: Forecast, level: int, part: int, side: int) -> npt.NDArray[np.float64]:
        found = part_intervals(forecast, level)
        return np.full(forecast.horizon, np.nan) if found is None else found[part][side]

    return {
        f"{name}_{side}_{level}": partial(bound, level=level, part=part, side=place)
        for part, name in enumerate(("in_flight", "new"))
        for level in levels
        for place, side in enumerate(("lower", "upper"))
    }


def _or_none(values: npt.NDArray[Any]) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124 - NaN alone differs
