"""Count rows become a grid, and every hole in it is decided: a zero that was left out, or not observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.calendar import days_from_instants
from models.entities import UNKNOWN, Codes, Days, Floats, codes_from_names, undeclared_stages
from models.errors import InputError, Problem
from models.funnel import TOTAL, Funnel
from models.records import Counts
from models.repairs import Repair, repair_of_days

SMALL = 5.0
"""Mean count below which a day without any is nothing special."""
ENDED = 28
"""A segment without rows for so many periods in which others have some has ended."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Tallies:
    """Count rows of declared stages up to the cutoff, as numbers; arrays are (rows,).

    day
        Day (since 1970) of the row; of a week: any day of it.
    code, segment
        Indices into the funnel's stages and into `segments`.
    weekly
        Whether one row stands for a whole week.
    """

    day: Days
    code: Codes
    segment: Codes
    y: Floats
    value: Floats
    segments: tuple[str, ...]
    weekly: bool
    repairs: tuple[Repair, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Periods of a grid: `periods` of `length` days from day `start` (since 1970)."""

    start: int
    periods: int
    length: int


def tallies_from_counts(counts: Counts, *, funnel: Funnel, cutoff: int) -> Tallies:
    """The rows up to `cutoff` (days since 1970, inclusive); later rows leave no trace.

    Rows within one day add up; the same row twice counts once. Raises InputError when two rows for the
    same segment, stage and time differ.
    """
    day = days_from_instants(counts.ds, timezone=funnel.timezone)
    code = codes_from_names(counts.stage, funnel.stages)
    repairs = undeclared_stages(counts.stage, day, (day <= cutoff) & (code < 0))
    kept = np.flatnonzero((day <= cutoff) & (code >= 0))
    names = sorted({name or UNKNOWN for name in set(counts.segment[kept].tolist())})
    segment = codes_from_names(counts.segment[kept], names)
    segment[segment < 0] = names.index(UNKNOWN) if UNKNOWN in names else 0
    order = np.lexsort([counts.y[kept], counts.ds[kept], code[kept], segment])
    again = _check_repeated(counts.take(kept[order]), segment[order])
    repairs += repair_of_days("duplicate_row", day[kept[order[again]]], "{count} rows were there twice; once counts")
    segment, kept = segment[order[~again]], kept[order[~again]]
    return Tallies(
        day=day[kept],
        code=code[kept],
        segment=segment if funnel.segment_by else np.zeros_like(segment),
        y=counts.y[kept],
        value=counts.value[kept],
        segments=tuple(names) if funnel.segment_by else (),
        weekly=funnel.frequency == "week" and len(np.unique(day[kept] % 7)) == 1,
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


def grid_from_tallies(
    tallies: Tallies, *, stage: int, rows: int, segment: Codes, span: Span
) -> tuple[Floats, Floats, tuple[Mask, Mask]]:
    """Counts and values of one stage, (rows, periods) each, NaN where not observed; and the masks of its holes.

    `segment` maps the tallies' segments to the grid's rows. The masks, by grid row and unit (a day, or a
    week where rows are weekly), are the holes that were read as 0 and those that stay.
    """
    chosen = tallies.code == stage
    unit = span.length if tallies.weekly else 1
    units = span.periods * span.length // unit
    index = (tallies.day[chosen].astype(np.int64) - span.start) // unit
    inside = (index >= 0) & (index < units)
    cell = segment[tallies.segment[chosen][inside]] * units + index[inside]
    y, value = tallies.y[chosen][inside], tallies.value[chosen][inside]
    sums: Floats = np.bincount(cell, weights=y, minlength=rows * units).reshape(rows, units).astype(np.float64)
    worth = np.bincount(cell, weights=np.nan_to_num(value), minlength=rows * units).reshape(rows, units)
    observed = np.bincount(cell, minlength=rows * units).reshape(rows, units) > 0
    zeros = observed_zeros(sums, observed, season=1 if tallies.weekly else 7, writes_zeros=bool((y == 0).any()))
    known = observed | zeros
    shape = (rows, span.periods, span.length // unit)
    grid = np.where(known, sums, np.nan).reshape(shape).sum(axis=2)
    money = np.where(known & bool((~np.isnan(value)).any()), worth, np.nan).reshape(shape).sum(axis=2)
    return grid, money, (zeros, ~known)


def observed_zeros(sums: Floats, observed: Mask, *, season: int, writes_zeros: bool) -> Mask:
    """Holes of one stage (segments, units) that mean 0.

    A feed that writes zeros means a hole as a hole. One that never does leaves them out: then a hole is 0
    in a segment of small counts, or on a weekday on which at least half the days have no row. In both, a
    segment is 0 while others have rows before its own first one, and from ENDED units of silence on.
    """
    rows, units = observed.shape
    fed = observed.any(axis=0)
    place = np.arange(units)
    seen = observed.any(axis=1)
    first = np.where(seen, observed.argmax(axis=1), units)[:, None]
    last = np.where(seen, units - 1 - observed[:, ::-1].argmax(axis=1), -1)[:, None]
    silent_since = (fed & (place > last)).sum(axis=1, keepdims=True)
    zeros = fed & ((place < first) | ((place > last) & (silent_since >= ENDED)))
    if not writes_zeros:
        mean = sums.sum(axis=1) / np.maximum(observed.sum(axis=1), 1)
        usual = np.zeros((rows, units), dtype=np.bool_)
        within = (place >= first) & (place <= last)
        for weekday in range(season):
            days = within[:, weekday::season].sum(axis=1)
            holes = (within & ~observed)[:, weekday::season].sum(axis=1)
            usual[:, weekday::season] = ((holes >= 2) & (2 * holes >= days))[:, None]
        zeros |= (place > first) & ((mean < SMALL)[:, None] | usual) & fed.any()
    return np.asarray(zeros & ~observed)


def repairs_of_holes(
    holes: tuple[Mask, Mask], *, stage: str, names: tuple[str, ...], unit: int, start: int
) -> tuple[Repair, ...]:
    """What became of the holes of one stage: one repair for the zeros, one for each segment with gaps."""
    zeros, gaps = holes
    whole = gaps.all(axis=0)
    kinds = [("absent_row", TOTAL, zeros.any(axis=0), int(zeros.sum()), "{count} absent rows were read as 0")]
    text = "{count} periods have no row and count as not observed"
    kinds += [("missing", TOTAL, whole, int(whole.sum()), text)]
    partly = gaps & ~whole
    kinds += [
        ("missing", names[row], partly[row], int(partly[row].sum()), text) for row in np.flatnonzero(partly.any(axis=1))
    ]
    return tuple(
        repair
        for kind, segment, where, count, text in kinds
        for repair in repair_of_days(
            kind, start + unit * np.flatnonzero(where), text, segment=segment, stage=stage, count=count
        )
    )
