"""Frames to bodies, and documents to frames."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from service.client.errors import ClientError

if TYPE_CHECKING:
    import pandas as pd

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".csv.gz": "application/gzip",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
}
"""By the end of a file's name."""


PARQUET = "application/vnd.apache.parquet"
HEADER = ("funnel", "version", "cutoff", "published_at", "stale", "frequency", "measure")
"""What `attrs` of a forecast hold."""


def forecast_types() -> str:
    """What to accept of a forecast: Parquet, read many times as fast, where there is what reads it."""
    return f"{PARQUET}, application/json;q=0.5" if find_spec("pyarrow") else "application/json"


def body_from_path(path: Path) -> tuple[str, Callable[[], BinaryIO]]:
    """Media type of a file, and what opens it; ClientError for a name that tells no format, or no such file."""
    found = [kind for ending, kind in MEDIA_TYPES.items() if path.name.lower().endswith(ending)]
    if not found:
        raise ClientError(f"{path} tells no format by its name; these do: {', '.join(MEDIA_TYPES)}")
    if not path.is_file():
        raise ClientError(f"there is no file {path}")
    return found[0], lambda: path.open("rb")


def body_from_frame(frame: pd.DataFrame) -> tuple[str, Callable[[], BinaryIO]]:
    """A frame as CSV: line n of an error is row n - 2 of the frame."""
    text = frame.to_csv(index=False).encode()
    return "text/csv", lambda: io.BytesIO(text)


def frame_from_forecast(document: Mapping[str, Any]) -> pd.DataFrame:
    """One row per segment, stage and step; see `Client.forecast`."""
    rows = [
        {
            "segment": series["segment"],
            "stage": series["stage"],
            "ds": step["date"],
            "step": step["step"],
            "mean": step["mean"],
            **{f"q{name}": value for name, value in step["quantiles"].items()},
            "in_flight": step["in_flight"],
            "new": step["new"],
            **_bounds(step),
            "reliable": step["reliable"],
        }
        for series in document["forecasts"]
        for step in series["steps"]
    ]
    numbers = [name for name in (rows[0] if rows else ()) if name.startswith(("in_flight", "new"))]
    frame = frame_from_rows(rows, days=["ds"], numbers=numbers)
    frame.attrs = {name: document[name] for name in HEADER}
    return frame


def frame_from_parquet(content: bytes) -> pd.DataFrame:
    """The same from the Parquet form of the answer."""
    import pandas as pd  # noqa: PLC0415 - as below
    from pyarrow import parquet  # noqa: PLC0415

    table = parquet.read_table(io.BytesIO(content))
    header = json.loads(table.schema.metadata[b"nearcast"])
    frame: pd.DataFrame = table.to_pandas().rename(columns={"date": "ds"})
    quantiles = [name for name in frame.columns if name.startswith("q0.")]
    parts = [name for name in frame.columns if name.startswith(("in_flight", "new"))]
    names = ["segment", "stage", "ds", "step", "mean", *quantiles, *parts, "reliable"]
    frame = frame[names].astype({"step": "int64"})
    frame["ds"] = pd.to_datetime(frame["ds"]).astype("datetime64[us]")
    frame.attrs = {name: header[name] for name in HEADER}
    return frame


def _bounds(step: Mapping[str, Any]) -> dict[str, float | None]:
    """Bounds of the two parts of a step, as `in_flight_lower_80`."""
    return {
        f"{part}_{side}_{level}": (step[f"{part}_intervals"] or {}).get(level, (None, None))[place]
        for part in ("in_flight", "new")
        for level in step["intervals"]
        for place, side in enumerate(("lower", "upper"))
    }


def frames_from_scenario(document: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Steps and sums of a scenario; see `Scenario`."""
    names = ("segment", "stage")
    steps = [
        {**{name: series[name] for name in names}, "ds": step["date"]}
        | {name: step[name] for name in ("step", "mean", "change", "scenario")}
        for series in document["series"]
        for step in series["steps"]
    ]
    sums = [
        {name: series[name] for name in (*names, "mean", "change", "scenario", "in_flight", "decided")}
        | {"half_arrived": series["half_arrived"] and series["half_arrived"]["date"]}
        for series in document["series"]
    ]
    return (
        frame_from_rows(steps, days=["ds"]),
        frame_from_rows(sums, days=["half_arrived"], numbers=["in_flight", "decided"]),
    )


def frame_from_rows(
    rows: Sequence[Mapping[str, Any]],
    *,
    days: Sequence[str] = (),
    instants: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> pd.DataFrame:
    """A frame with these columns as datetimes (days without a zone, instants in UTC) and as floats, null being NaN."""
    import pandas as pd  # noqa: PLC0415 - only who asks for a frame needs it

    frame = pd.DataFrame(list(rows))
    for name in frame.columns.intersection(list(days)):
        frame[name] = pd.to_datetime(frame[name])
    for name in frame.columns.intersection(list(instants)):
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    for name in frame.columns.intersection(list(numbers)):
        frame[name] = frame[name].astype("float64")
    return frame
