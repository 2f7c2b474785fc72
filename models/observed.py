"""Count rows, added up by day, become a grid, and every hole in it is decided: a zero left out, or not observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.coded import Codes
from models.entities import Floats
from models.funnel import TOTAL
from models.repairs import Repair, repair_of_days
from models.tallies import Tallies, cells

SMALL = 5.0
"""Mean count below which a day without any is nothing special."""
ENDED = 28
"""A segment without rows for so many periods in which others have some has ended."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Span:
    """Periods of a grid: `periods` of `length` days from day `start` (since 1970)."""

    start: int
    periods: int
    length: int


def grid_from_tallies(
    tallies: Tallies, *, stage: int, rows: int, segment: Codes, span: Span
) -> tuple[Floats, Floats | None, tuple[Mask, Mask]]:
    """Counts and values of one stage, (rows, periods) each, NaN where not observed; and the masks of its holes. Values
    are None when no row of the stage within the span has one.

    `segment` maps the tallies' segments to the grid's rows. The masks, by grid row and unit (a day, or a
    week where rows are weekly), are the holes that were read as 0 and those that stay.
    """
    unit = span.length if tallies.weekly else 1
    units = span.periods * span.length // unit
    index = (tallies.days.astype(np.int64) - span.start) // unit
    inside = (index >= 0) & (index < units)
    place, kept = cells(segment, index[inside]), slice(None) if inside.all() else inside
    sums = np.full((rows, units), np.nan)
    sums[place] = tallies.y[:, stage, kept]
    observed = np.isfinite(sums)
    writes_zeros = bool(tallies.zeros[stage, kept].any())
    zeros = observed_zeros(sums, observed, season=1 if tallies.weekly else 7, writes_zeros=writes_zeros)
    unknown = ~(observed | zeros)
    sums[zeros], sums[unknown] = 0.0, np.nan
    money = None
    value = None if tallies.value is None else tallies.value[:, stage, kept]
    if value is not None and not np.isnan(value).all():
        worth = np.zeros((rows, units))
        worth[place] = np.nan_to_num(value)
        worth[unknown] = np.nan
        money = _by_period(worth, span)
    return _by_period(sums, span), money, (zeros, unknown)


def _by_period(units: Floats, span: Span) -> Floats:
    """Sums over the units of each period; a unit that is a period is not added up."""
    if units.shape[1] == span.periods:
        return units
    return np.asarray(units.reshape(len(units), span.periods, -1).sum(axis=2))


def observed_zeros(sums: Floats, observed: Mask, *, season: int, writes_zeros: bool) -> Mask:
    """Holes of one stage (segments, units) that mean 0; `sums` are anything where nothing was observed.

    A feed that writes zeros means a hole as a hole. One that never does leaves them out: then a hole is 0
    in a segment of small counts, or on a weekday on which at least half the days have no row. In both, a
    segment is 0 while others have rows before its own first one, and from ENDED units of silence on.
    """
    rows, units = observed.shape
    if observed.all():
        return np.zeros_like(observed)
    fed = observed.any(axis=0)
    place = np.arange(units)
    seen = observed.any(axis=1)
    first = np.where(seen, observed.argmax(axis=1), units)[:, None]
    last = np.where(seen, units - 1 - observed[:, ::-1].argmax(axis=1), -1)[:, None]
    silent_since = (fed & (place > last)).sum(axis=1, keepdims=True)
    zeros = fed & ((place < first) | ((place > last) & (silent_since >= ENDED)))
    if not writes_zeros:
        mean = np.where(observed, sums, 0.0).sum(axis=1) / np.maximum(observed.sum(axis=1), 1)
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
    kinds = [("absent_row", TOTAL, zeros.any(axis=0), int(zeros.sum()), "{count} absent [row was|rows were] read as 0")]
    text = "{count} [period has no row and counts|periods have no row and count] as not observed"
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
