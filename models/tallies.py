"""Count rows added up by day: from rows as they come, and from the parts in which they are kept; the same figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from models.calendar import days_from_instants
from models.coded import Coded, Codes, codes_from_names, distinct
from models.entities import UNKNOWN, Days, Floats, undeclared_stages
from models.errors import InputError, Problem
from models.funnel import Funnel
from models.kept_counts import CountPart, counts_from_parts
from models.records import Counts
from models.repairs import Repair, repair_of_days

Mask = npt.NDArray[np.bool_]
CountRows: TypeAlias = Counts | Sequence[CountPart]
"""Count rows, as they come or as they are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Tallies:
    """Count rows of declared stages up to the cutoff, added up by day.

    days
        (days,), sorted, since 1970: those with a row; of a week: any day of it.
    y, value
        (max(1, segments), stages, days), NaN without a row, or without one that has a value; value None when none has.
    zeros
        (stages, days): whether a row says 0, of any segment.
    segments
        Sorted; empty when the funnel has none.
    weekly
        Whether one row stands for a whole week.
    """

    days: Days
    y: Floats
    value: Floats | None
    zeros: Mask
    segments: tuple[str, ...]
    weekly: bool
    repairs: tuple[Repair, ...]

    @property
    def stages(self) -> list[int]:
        """The funnel's stages that have rows."""
        return [stage for stage in range(self.y.shape[1]) if not np.isnan(self.y[:, stage]).all()]


def make_tallies(counts: CountRows, *, funnel: Funnel, cutoff: int) -> Tallies:
    """The rows up to `cutoff` (days since 1970, inclusive); later rows leave no trace.

    Rows within one day add up; the same row twice counts once. Raises InputError when two rows for the
    same segment, stage and time differ.
    """
    if isinstance(counts, Counts):
        return _from_rows(counts, funnel=funnel, cutoff=cutoff)
    names = {name for part in counts for name in part.segment.names}
    if {"", UNKNOWN} <= names or (funnel.segment_by is None and len(names) > 1):
        return _from_rows(counts_from_parts(counts), funnel=funnel, cutoff=cutoff)  # rows of several names are one's
    return _from_parts(counts, funnel=funnel, cutoff=cutoff)


def days_of_counts(counts: CountRows, *, funnel: Funnel, cutoff: int) -> tuple[Days, bool]:
    """`Tallies.days` and `Tallies.weekly` alone; rows that contradict each other are days too."""
    if isinstance(counts, Counts):
        day = days_from_instants(counts.ds, timezone=funnel.timezone)
        days = np.unique(day[(day <= cutoff) & (codes_from_names(counts.stage, funnel.stages) >= 0)])
        return days, _is_weekly(days, funnel)
    chosen = [_chosen(part, funnel=funnel, cutoff=cutoff) for part in counts]
    days = np.unique(np.concatenate([np.zeros(0, dtype=np.int32), *(one.day for one in chosen)]))
    return days, _is_weekly(days, funnel)


def _is_weekly(days: Days, funnel: Funnel) -> bool:
    return funnel.frequency == "week" and len(np.unique(days % 7)) == 1


def _from_rows(counts: Counts, *, funnel: Funnel, cutoff: int) -> Tallies:
    day = days_from_instants(counts.ds, timezone=funnel.timezone)
    code = codes_from_names(counts.stage, funnel.stages)
    repairs = undeclared_stages(counts.stage, day, (day <= cutoff) & (code < 0))
    kept = np.flatnonzero((day <= cutoff) & (code >= 0))
    names = sorted({name or UNKNOWN for name in distinct(counts.segment[kept])})
    segment = codes_from_names(counts.segment[kept], names)
    segment[segment < 0] = names.index(UNKNOWN) if UNKNOWN in names else 0
    order = np.lexsort([counts.y[kept], counts.ds[kept], code[kept], segment])
    again = _check_repeated(counts.take(kept[order]), segment[order])
    repairs += repair_of_days(
        "duplicate_row", day[kept[order[again]]], "{count} [row was|rows were] there twice; once counts"
    )
    segment, kept = segment[order[~again]], kept[order[~again]]
    if funnel.segment_by is None:
        segment, names = np.zeros_like(segment), []
    days, column = np.unique(day[kept], return_inverse=True)
    shape = (max(1, len(names)), len(funnel.stages), len(days))
    cell, size = np.ravel_multi_index((segment, code[kept], column), shape), int(np.prod(shape))
    y, value = counts.y[kept], counts.value[kept]

    def added(rows: Mask, weights: Floats) -> Floats:
        found = np.bincount(cell[rows], minlength=size) > 0
        return np.where(found, np.bincount(cell[rows], weights=weights[rows], minlength=size), np.nan).reshape(shape)

    return Tallies(
        days=days,
        y=added(np.ones(len(y), dtype=np.bool_), y),
        value=None if np.isnan(value).all() else added(~np.isnan(value), value),
        zeros=np.asarray((np.bincount(cell[y == 0], minlength=size) > 0).reshape(shape).any(axis=0)),
        segments=tuple(names),
        weekly=_is_weekly(days, funnel),
        repairs=repairs,
    )


def _check_repeated(counts: Counts, segment: Codes) -> Mask:
    """Which sorted rows repeat the one before; raises InputError when they say another count."""
    again = np.zeros(len(counts), dtype=np.bool_)
    same = (np.diff(counts.ds) == 0) & (np.diff(segment) == 0) & (counts.stage[1:] == counts.stage[:-1])
    again[1:] = same
    torn = np.flatnonzero(same & (np.diff(counts.y) != 0))
    if len(torn):
        row = int(torn[0])
        place = f"{counts.stage[row]!r} of segment {counts.segment[row]!r}"
        raise InputError(
            Problem(
                f"two counts, {counts.y[row]:g} and {counts.y[row + 1]:g}, for one period of {place}",
                field="y",
                remedy="send one row per segment, stage and period, or name the segment column",
            )
        )
    return again


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """Rows of a part that count. segment, code: name and stage of each series, names in any order; day: of each time;
    y, value: (series, times).
    """

    segment: Coded
    code: Codes
    day: Days
    y: Floats
    value: Floats | None


def _chosen(part: CountPart, *, funnel: Funnel, cutoff: int) -> _Chosen:
    """The series of declared stages, and the times up to the cutoff, that have rows."""
    day = days_from_instants(part.ds, timezone=funnel.timezone)
    code = codes_from_names(part.stage, funnel.stages)
    series, times = code >= 0, day <= cutoff
    y, value = part.y, part.value
    if not (series.all() and times.all()):
        known = np.isfinite(part.y) & series[:, None] & times
        series, times = np.asarray(known.any(axis=1)), np.asarray(known.any(axis=0))
        place = np.ix_(series, times)
        y, value = y[place], None if value is None else value[place]
    segment = Coded(tuple(name or UNKNOWN for name in part.segment.names), part.segment.codes[series])
    return _Chosen(segment, code[series], day[times], y, value)


def _undeclared(parts: Sequence[CountPart], *, funnel: Funnel, cutoff: int) -> tuple[Repair, ...]:
    """As `entities.undeclared_stages`, of parts."""
    odd = [part for part in parts if not set(part.stage.names) <= set(funnel.stages)]
    rows = counts_from_parts(odd)
    day = days_from_instants(rows.ds, timezone=funnel.timezone)
    return undeclared_stages(rows.stage, day, (day <= cutoff) & (codes_from_names(rows.stage, funnel.stages) < 0))


def _from_parts(parts: Sequence[CountPart], *, funnel: Funnel, cutoff: int) -> Tallies:
    chosen = [_chosen(part, funnel=funnel, cutoff=cutoff) for part in parts]
    all_days = np.concatenate([np.zeros(0, dtype=np.int32), *(one.day for one in chosen)])
    days = np.unique(all_days)
    names = sorted(set[str]().union(*(distinct(one.segment) for one in chosen)))
    shape = (max(1, len(names)), len(funnel.stages), len(days))
    y, zeros = np.full(shape, np.nan), np.zeros(shape[1:], dtype=np.bool_)
    value = np.full(shape, np.nan) if any(one.value is not None for one in chosen) else None
    once = len(all_days) == len(days)
    for one in chosen:
        series = codes_from_names(one.segment, names) * shape[1] + one.code
        columns = np.searchsorted(days, one.day)
        _add(y, series, columns, one.y, once=once)
        if value is not None and one.value is not None:
            _add(value, series, columns, one.value, once=once)
        rows, times = np.nonzero(one.y == 0)
        zeros[one.code[rows], columns[times]] = True
    return Tallies(
        days=days,
        y=y,
        value=None if value is None or np.isnan(value).all() else value,
        zeros=zeros,
        segments=tuple(names) if funnel.segment_by else (),
        weekly=_is_weekly(days, funnel),
        repairs=_undeclared(parts, funnel=funnel, cutoff=cutoff),
    )


def _add(into: Floats, series: Codes, columns: Codes, numbers: Floats, *, once: bool) -> None:
    """Add what is known to the cells, in the order of series and times; NaN is nothing yet. `series` count the first
    two axes of `into`; `once`: each column is there once, and no other part has it.
    """
    table = into.reshape(into.shape[0] * into.shape[1], into.shape[2])
    if once:
        table[cells(series, columns)] = 0.0 + numbers
        return
    rows, times = np.nonzero(~np.isnan(numbers))
    places = series[rows], columns[times]
    empty = np.isnan(table[places])
    table[tuple(place[empty] for place in places)] = 0.0
    np.add.at(table, places, numbers[rows, times])


def cells(rows: Codes, columns: Codes) -> tuple[slice | Codes, slice | Codes]:
    """Where rows meet columns: those that are a run as a slice, which costs a fraction."""
    first, second = _run(rows), _run(columns)
    if first is None and second is None:
        return rows[:, None], columns
    return first or rows, second or columns


def _run(places: Codes) -> slice | None:
    """The places as a slice, if each is the one before it and 1; else None."""
    if len(places) and (np.diff(places) == 1).all():
        return slice(int(places[0]), int(places[-1]) + 1)
    return None
