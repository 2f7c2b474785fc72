"""What real exports look like: dirt that the gate repairs or accepts, never a reason to refuse the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

ODD_IDS = (
    "NA",
    "null",
    "None",
    "nan",
    "0007",
    "1e5",
    "=SUM(A1)",
    "Müller & Söhne, GmbH",
    'the "big" one',
    "id with spaces",
    "🚀-42",
    "عميل-17",
)
"""Ids that spreadsheets and careless readers turn into something else."""
DAY = np.timedelta64(86_400, "s")


@dataclass(frozen=True, slots=True)
class Dirt:
    """How dirty an export is; shares are of all rows, or where said of all entities.

    duplicates
        Rows that appear twice, identically.
    blank_segments
        Entities whose segment is blank.
    headless
        Entities whose first row is missing: a later stage without the earlier one.
    displaced
        Rows far from their place in time.
    zulu
        Rows with their instant in UTC ("Z"); the others bear the local offset.
    outage_days
        Days in the middle for which the source delivered nothing.
    last_hour
        Local hour of the last day at which the export was made.
    """

    duplicates: float = 0.01
    blank_segments: float = 0.01
    headless: float = 0.004
    displaced: float = 0.02
    zulu: float = 0.2
    outage_days: int = 8
    last_hour: int = 14


def make_dirty(
    frame: pd.DataFrame, generator: np.random.Generator, *, timezone: str = "UTC", dirt: Dirt | None = None
) -> pd.DataFrame:
    """The rows of `Simulation.events` as the strings of a dirty CSV export.

    Empty optional columns are left out; `frame` is not changed.
    """
    dirt = dirt or Dirt()
    local = frame["ts"].dt.tz_convert(timezone)
    wall = local.dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    keep = ~lost_rows(wall, generator=generator, dirt=dirt)
    keep &= ~headless_rows(frame["entity_id"].to_numpy(), generator=generator, share=dirt.headless)
    frame, wall = frame[keep].reset_index(drop=True), wall[keep]
    text = text_columns(frame, wall=wall, zulu=generator.random(len(frame)) < dirt.zulu)
    text["entity_id"] = with_odd_ids(frame["entity_id"].to_numpy(), generator=generator)
    if "segment" in text:
        entities = frame["entity_id"].to_numpy()
        text["segment"] = np.where(
            chosen(entities, generator=generator, share=dirt.blank_segments), "", text["segment"]
        )
    order = disorder(len(frame), generator=generator, dirt=dirt)
    return pd.DataFrame({name: column[order] for name, column in text.items()}, dtype=str)


def lost_rows(wall: npt.NDArray[np.datetime64], *, generator: np.random.Generator, dirt: Dirt) -> npt.NDArray[np.bool_]:
    """Rows in the outage, and those of the last day after the export."""
    day = wall.astype("datetime64[D]")
    first, last = day.min(), day.max()
    span = int((last - first).astype(int)) + 1
    start = first + np.timedelta64(int(span * generator.uniform(0.4, 0.7)), "D")
    outage = (day >= start) & (day < start + np.timedelta64(dirt.outage_days, "D"))
    gone: npt.NDArray[np.bool_] = outage | (
        wall >= last.astype("datetime64[s]") + np.timedelta64(dirt.last_hour * 3600, "s")
    )
    return gone


def headless_rows(entities: npt.NDArray[Any], *, generator: np.random.Generator, share: float) -> npt.NDArray[np.bool_]:
    """The first of several rows of some entities; rows come in order of time."""
    codes, names = pd.factorize(entities)
    first = np.zeros(len(codes), dtype=bool)
    first[np.unique(codes, return_index=True)[1]] = True
    several = np.bincount(codes, minlength=len(names)) > 1
    picked = several & (generator.random(len(names)) < share)
    headless: npt.NDArray[np.bool_] = first & picked[codes]
    return headless


def text_columns(
    frame: pd.DataFrame, *, wall: npt.NDArray[np.datetime64], zulu: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[Any]]:
    """Each column as strings, in a CRM's usual order; missing is empty, a wholly empty column is left out."""
    utc = frame["ts"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    columns = {
        "entity_id": frame["entity_id"].to_numpy(dtype=object),
        "stage": frame["stage"].to_numpy(dtype=object),
        "ts": np.where(zulu, iso(utc, "Z"), offset_times(wall, minutes=(wall - utc).astype(np.int64) // 60)),
    }
    for name in ("value", "due_on", "segment"):
        if name in frame and frame[name].notna().any():
            columns[name] = optional_text(frame[name])
    return columns


def optional_text(column: pd.Series) -> npt.NDArray[Any]:
    """Strings of a value, a day or a segment; missing is empty."""
    if column.dtype.kind == "M":
        text = np.datetime_as_string(column.to_numpy().astype("datetime64[D]")).astype(object)
    elif column.dtype.kind == "f":
        text = np.char.mod("%.2f", column.to_numpy()).astype(object)
    else:
        text = column.to_numpy(dtype=object)
    return np.where(column.isna().to_numpy(), "", text)


def offset_times(wall: npt.NDArray[np.datetime64], *, minutes: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """ISO 8601 with the offset from UTC, `minutes` each."""
    text = np.empty(len(wall), dtype=object)
    for offset in np.unique(minutes).tolist():
        sign, (hours, rest) = "-" if offset < 0 else "+", divmod(abs(offset), 60)
        rows = minutes == offset
        text[rows] = iso(wall[rows], f"{sign}{hours:02d}:{rest:02d}")
    return text


def iso(instants: npt.NDArray[np.datetime64], suffix: str) -> npt.NDArray[Any]:
    """ISO 8601 to the second, with `suffix`."""
    return np.char.add(np.datetime_as_string(instants, unit="s"), suffix).astype(object)


def with_odd_ids(entities: npt.NDArray[Any], *, generator: np.random.Generator) -> npt.NDArray[Any]:
    """`entities` with as many of them as there are odd ids renamed, on all their rows."""
    codes, names = pd.factorize(entities)
    renamed = np.asarray(names, dtype=object).copy()
    odd = ODD_IDS[: len(renamed)]
    renamed[generator.choice(len(renamed), size=len(odd), replace=False)] = odd
    return renamed[codes]


def chosen(entities: npt.NDArray[Any], *, generator: np.random.Generator, share: float) -> npt.NDArray[np.bool_]:
    """Rows of a random `share` of the entities."""
    codes, names = pd.factorize(entities)
    rows: npt.NDArray[np.bool_] = (generator.random(len(names)) < share)[codes]
    return rows


def disorder(rows: int, *, generator: np.random.Generator, dirt: Dirt) -> npt.NDArray[np.int64]:
    """Row numbers of the export: some twice, some elsewhere."""
    order = np.sort(np.concatenate([np.arange(rows), np.flatnonzero(generator.random(rows) < dirt.duplicates)]))
    place = np.where(
        generator.random(len(order)) < dirt.displaced, generator.uniform(0, rows, len(order)), order.astype(np.float64)
    )
    sorted_order: npt.NDArray[np.int64] = order[np.argsort(place, kind="stable")]
    return sorted_order
