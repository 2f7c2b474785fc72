"""Rows in: frames and files become checked columns of events or counts, or an error with line and field."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from models.columns import MOST_PROBLEMS, Problems, check_columns, texts_from_series
from models.errors import InputError, Problem
from models.gate import UNKNOWN, RowGate
from models.records import NO_DAY, Counts, Events, Ints

if TYPE_CHECKING:
    import pandas as pd

Rows = TypeVar("Rows", Events, Counts)

__all__ = [
    "COUNT_COLUMNS",
    "EVENT_COLUMNS",
    "NO_DAY",
    "UNKNOWN",
    "Counts",
    "Events",
    "RowGate",
    "counts_from_frame",
    "events_from_frame",
]

EVENT_COLUMNS = ("entity_id", "stage", "ts")
COUNT_COLUMNS = ("ds", "stage", "y")
"""Columns that must be there; `value`, `due_on` (events) and the segment may be."""


def events_from_frame(
    frame: pd.DataFrame,
    *,
    timezone: str,
    segment_by: str | None,
    first_line: int = 2,
    latest: int | None = None,
    repairs: Counter[str] | None = None,
) -> Events:
    """A frame with one row per entity reaching a stage, of texts as in a file or of typed columns.

    Parameters
    ----------
    timezone
        Zone in which times without one are read.
    segment_by
        Column that holds the segment; None: rows have none.
    first_line
        Line of the first row, for errors; 2 is the line below a header.
    latest
        Microseconds since the epoch; a time more than ten years later is refused.
    repairs
        Receives how many rows were mended, by kind; a row that is there twice is kept once.

    Raises
    ------
    InputError
        With up to 20 problems: a column that is missing, cells that cannot be read, or two rows for
        the same entity, stage and time that say different things.
    """
    columns, lines = _columns(frame, EVENT_COLUMNS, segment_by, first_line)
    gate = RowGate(timezone=timezone, segment_by=segment_by, latest=latest)
    events = gate.events(columns, lines=lines)
    gate.problems.check()
    repairs = Counter() if repairs is None else repairs
    repairs.update(gate.repairs)
    return drop_repeated(events, ["entity_id", "stage", "ts"], lines, repairs)


def counts_from_frame(
    frame: pd.DataFrame,
    *,
    timezone: str,
    segment_by: str | None,
    first_line: int = 2,
    latest: int | None = None,
    repairs: Counter[str] | None = None,
) -> Counts:
    """A frame with one row per period, stage and segment; parameters and errors as `events_from_frame`."""
    columns, lines = _columns(frame, COUNT_COLUMNS, segment_by, first_line)
    gate = RowGate(timezone=timezone, segment_by=segment_by, latest=latest)
    counts = gate.counts(columns, lines=lines)
    gate.problems.check()
    repairs = Counter() if repairs is None else repairs
    repairs.update(gate.repairs)
    return drop_repeated(counts, ["segment", "stage", "ds"], lines, repairs)


def _columns(
    frame: pd.DataFrame, required: tuple[str, ...], segment_by: str | None, first_line: int
) -> tuple[dict[str, list[str]], Ints]:
    """The columns that the gate reads, as texts, and the line of each row."""
    names = [*required, "value", "due_on", *([segment_by] if segment_by else [])]
    check_columns(map(str, frame.columns), [*required, *([segment_by] if segment_by else [])])
    if repeated := sorted({name for name in names if (frame.columns == name).sum() > 1}):
        raise InputError(Problem("the column is there more than once", field=repeated[0]))
    columns = {name: texts_from_series(frame[name]) for name in names if name in frame.columns}
    return columns, np.arange(first_line, first_line + len(frame), dtype=np.int64)


def drop_repeated(rows: Rows, key: list[str], lines: Ints, repairs: Counter[str]) -> Rows:
    """Rows that say the same are kept once and counted; rows that contradict each other are refused."""
    import pandas as pd  # noqa: PLC0415  heavy, and only frames need it

    frame = pd.DataFrame({field.name: getattr(rows, field.name) for field in fields(rows)})
    again = frame.duplicated(key).to_numpy()
    if not again.any():
        return rows
    same = frame.duplicated().to_numpy()
    problems = Problems()
    for row in np.flatnonzero(again & ~same)[:MOST_PROBLEMS]:
        first = int(np.flatnonzero((frame[key] == frame.loc[row, key]).all(axis=1))[0])
        differs = next(name for name in frame if not _equal(frame.at[first, name], frame.at[row, name]))
        problems.add(
            f"line {lines[first]} has the same {', '.join(key)} and another {differs}",
            line=lines[row],
            field=str(differs),
            remedy="keep one of the two rows",
        )
    problems.check()
    repairs["duplicate_row"] += int(same.sum())
    return rows.take(~same)


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124  NaN equals NaN here
