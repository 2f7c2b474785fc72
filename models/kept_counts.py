"""Count rows as they are kept from one read to the next: in parts by their time, each a grid of series and times.

Nothing is lost, as with `models.kept_events`: the cells are rows, by their key (segment, stage, time).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.coded import Coded, coded, codes_from_names
from models.records import Counts, Floats, Ints
from models.state import pack, unpack

Mask = npt.NDArray[np.bool_]

TIMES, SPARSE = 32, 16
"""A grid of more times may have at most so many cells a row."""


class ScatteredError(ValueError):
    """Rows that lie too far apart to be kept as a grid: each series at times of its own. They are then read whole."""


@dataclass(frozen=True, slots=True, eq=False)
class CountPart:
    """Rows of one stretch of time.

    segment, stage
        (series,), sorted by both.
    ds
        int64 (times,), sorted.
    y, value
        float64 (series, times), NaN where there is no row, or none with a value; value None when no row has one.
    """

    segment: Coded
    stage: Coded
    ds: Ints
    y: Floats
    value: Floats | None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(np.isfinite(self.y).sum())


def updated(part: CountPart | None, rows: Counts, *, retracted: Mask) -> CountPart:
    """The part after rows that replace those of the same key; retracted ones leave nothing.

    Raises ScatteredError when the grid would be all but empty.
    """
    if part is None:
        nothing = Coded((), np.zeros(0, dtype=np.int32))
        part = CountPart(nothing, nothing, np.zeros(0, dtype=np.int64), np.zeros((0, 0)), None)
    segments = sorted({*part.segment.names, *rows.segment.tolist()})
    stages = sorted({*part.stage.names, *rows.stage.tolist()})
    old, new = (_series(each.segment, each.stage, segments, stages) for each in (part, rows))
    series, ds = np.union1d(old, new), np.union1d(part.ds, rows.ds)
    shape = (len(series), len(ds))
    if len(ds) > TIMES and shape[0] * shape[1] > SPARSE * (part.rows + len(rows)):
        raise ScatteredError(f"{len(rows)} counts at {len(ds)} times of {len(series)} series do not make up a grid")
    before = np.ix_(np.searchsorted(series, old), np.searchsorted(ds, part.ds))
    cells = np.searchsorted(series, new), np.searchsorted(ds, rows.ds)
    y, value = np.full(shape, np.nan), None
    y[before] = part.y
    y[cells] = np.where(retracted, np.nan, rows.y)
    if part.value is not None or not np.isnan(rows.value).all():
        value = np.full(shape, np.nan)
        value[before] = np.nan if part.value is None else part.value
        value[cells] = np.where(retracted, np.nan, rows.value)
    segment, stage = np.divmod(series, len(stages))
    return _without_empty(CountPart(Coded(tuple(segments), segment), Coded(tuple(stages), stage), ds, y, value))


def _series(
    segment: Coded | npt.NDArray[np.object_],
    stage: Coded | npt.NDArray[np.object_],
    segments: list[str],
    stages: list[str],
) -> Ints:
    """A number for each pair, in the order of both names."""
    return codes_from_names(segment, segments) * len(stages) + codes_from_names(stage, stages)


def _without_empty(part: CountPart) -> CountPart:
    """The part without series and times that have no row: equal rows make equal parts."""
    known = np.isfinite(part.y)
    series, times = np.asarray(known.any(axis=1)), np.asarray(known.any(axis=0))
    value = None if part.value is None or np.isnan(part.value).all() else part.value
    if not (series.all() and times.all()):
        chosen = np.ix_(series, times)
        part = CountPart(part.segment[series], part.stage[series], part.ds[times], part.y[chosen], part.value)
        value = None if value is None else value[chosen]
    return CountPart(coded(part.segment), coded(part.stage), part.ds, part.y, value)


def counts_from_parts(parts: Sequence[CountPart]) -> Counts:
    """The rows themselves, part by part, by their key."""
    rows = [Counts.none()]
    for part in parts:
        series, time = np.nonzero(np.isfinite(part.y))
        segment, stage = (
            np.array(column.names, dtype=object)[column.codes[series]] for column in (part.segment, part.stage)
        )
        value = np.full(len(series), np.nan) if part.value is None else part.value[series, time]
        rows.append(Counts(part.ds[time], stage, part.y[series, time], value, segment))
    return Counts.concat(rows)


def bytes_from_counts(part: CountPart) -> bytes:
    """A part as bytes."""
    arrays = {"segment": part.segment.codes, "stage": part.stage.codes, "ds": part.ds, "y": part.y}
    if part.value is not None:
        arrays["value"] = part.value
    facts = {"segment": list(part.segment.names), "stage": list(part.stage.names)}
    return pack(facts, arrays, as_is=True)


def counts_from_bytes(payload: bytes) -> CountPart:
    """Inverse of `bytes_from_counts`; DamagedPayloadError unless every byte is as it was written."""
    facts, arrays = unpack(payload)
    segment, stage = (Coded(tuple(facts[name]), arrays[name]) for name in ("segment", "stage"))
    return CountPart(segment, stage, arrays["ds"], arrays["y"], arrays.get("value"))
