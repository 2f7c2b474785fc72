"""The one gate from rows to grids: events and counts become a daily or weekly history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from models.calendar import EPOCH, day_from_number, days_from_instants, number_from_day
from models.entities import NEVER, Entities, Tracks, codes_from_names, tracks_from_events
from models.errors import HistoryError
from models.forecast import STEP_DAYS
from models.funnel import TOTAL, Frequency, Funnel
from models.observed import Span, Tallies, grid_from_tallies, repairs_of_holes, tallies_from_counts
from models.records import Counts, Events
from models.repairs import Repair

__all__ = ["NEVER", "Entities", "History", "last_complete_day", "make_history"]

Days = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

SILENT_DAYS = 28
"""A feed of events that ended so long before the counts did no longer holds the cutoff back."""


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Counts per segment, stage and period, from `start` up to and including the cutoff.

    counts
        float64 (max(1, segments), stages, periods), >= 0; NaN where nothing was observed.
    value
        The same shape, sums of `value`; None when no row carries one.
    entities
        None when all stages came as counts. Day indices are days even where periods are weeks.
    counted
        Stages that came as counts; the entities' days at them are only what later stages imply.
    repairs
        What the gate and the cleaning did to get here.
    """

    start: date
    frequency: Frequency
    segments: tuple[str, ...]
    stages: tuple[str, ...]
    counts: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64] | None = None
    entities: Entities | None = None
    counted: tuple[str, ...] = ()
    repairs: tuple[Repair, ...] = ()

    @property
    def periods(self) -> int:
        """Number of periods on the grid."""
        return int(self.counts.shape[2])

    @property
    def cutoff(self) -> date:
        """Last observed day, inclusive."""
        return self.start + timedelta(days=STEP_DAYS[self.frequency] * self.periods - 1)

    @property
    def series(self) -> tuple[tuple[str, str], ...]:
        """(segment, stage) of each row of `matrix`: the total's stages first."""
        return tuple((segment, stage) for segment in (TOTAL, *self.segments) for stage in self.stages)

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """Counts of all series, (len(series), periods): the total first, then the segments."""
        total = self.counts.sum(axis=0)
        return np.concatenate([total, self.counts.reshape(-1, self.periods)]) if self.segments else total


def make_history(
    funnel: Funnel,
    *,
    events: Events | None = None,
    counts: Counts | None = None,
    cutoff: date | None = None,
    start: date | None = None,
) -> History:
    """The history of a funnel up to a cutoff; it does not depend on any row after the cutoff, nor on their order.

    Days are cut in the funnel's zone; of weeks only whole ones are kept. A stage that has count rows is
    counted by them, any other by the events. Before the first event, and where count rows are missing,
    nothing was observed (NaN); see `models.observed` for the count rows that are 0 because they are absent.

    Parameters
    ----------
    cutoff
        Last day used; None: the last day that is complete by what the rows tell.
    start
        First day of the grid, at the earliest that of the data. Entities that came before it stay.

    Raises
    ------
    HistoryError
        When no row of a declared stage lies up to the cutoff, or not one whole period does.
    """
    if cutoff is None:
        cutoff = _last_day(events, counts, funnel, fresh_until=None)
    last = number_from_day(cutoff)
    tracks = None if events is None else tracks_from_events(events, funnel=funnel, cutoff=last)
    tallies = None if counts is None else tallies_from_counts(counts, funnel=funnel, cutoff=last)
    first_event = None if tracks is None or not len(tracks.entities.value) else int(tracks.entities.days[:, 0].min())
    first_count = None if tallies is None or not len(tallies.day) else int(tallies.day.min())
    firsts = [day for day in (first_event, first_count) if day is not None]
    if not firsts:
        raise HistoryError(f"no row of the stages {list(funnel.stages)} lies on or before {cutoff}")
    first = min(firsts) if start is None else max(min(firsts), number_from_day(start))
    whole = tallies is not None and tallies.weekly and first == first_count
    span = _span(funnel, first=first, last=last, whole=whole)
    return _assemble(
        funnel,
        tracks=tracks if first_event is not None else None,
        tallies=tallies if first_count is not None else None,
        span=span,
        repairs=(*(tracks.repairs if tracks else ()), *(tallies.repairs if tallies else ())),
    )


def _span(funnel: Funnel, *, first: int, last: int, whole: bool) -> Span:
    """Whole periods between two days (since 1970), both inclusive; `whole`: the first day stands for its week."""
    length = STEP_DAYS[funnel.frequency]
    if length == 7:
        late = (day_from_number(first).weekday() - funnel.week_start) % 7
        first += -late if whole else -late % 7
    periods = (last + 1 - first) // length
    if periods < 1:
        raise HistoryError(
            f"not one whole {funnel.frequency} lies between {day_from_number(first)} and {day_from_number(last)}"
        )
    return Span(first, periods, length)


def _assemble(
    funnel: Funnel, *, tracks: Tracks | None, tallies: Tallies | None, span: Span, repairs: tuple[Repair, ...]
) -> History:
    """Lay events and counts on one grid."""
    segments = sorted({*(tracks.segments if tracks else ()), *(tallies.segments if tallies else ())})
    shape = (max(1, len(segments)), len(funnel.stages), span.periods)
    counts, value = np.full(shape, np.nan), np.full(shape, np.nan)
    entities = None
    if tracks is not None:
        entities = _entities_on(tracks, segments=segments, start=span.start)
        _fill_from_entities(counts, value, entities=entities, tracks=tracks, length=span.length)
    counted = () if tallies is None else tuple(np.unique(tallies.code).tolist())
    if tallies is not None:
        rows = _codes(tallies.segments, segments)
        for stage in counted:
            counts[:, stage], value[:, stage], holes = grid_from_tallies(
                tallies, stage=stage, rows=shape[0], segment=rows, span=span
            )
            unit = span.length if tallies.weekly else 1
            repairs += repairs_of_holes(
                holes, stage=funnel.stages[stage], names=tuple(segments) or (TOTAL,), unit=unit, start=span.start
            )
    return History(
        start=day_from_number(span.start),
        frequency=funnel.frequency,
        segments=tuple(segments),
        stages=funnel.stages,
        counts=counts,
        value=None if np.isnan(value).all() else value,
        entities=entities,
        counted=tuple(funnel.stages[stage] for stage in counted),
        repairs=repairs,
    )


def _codes(names: tuple[str, ...], known: list[str]) -> npt.NDArray[np.int64]:
    """Where each of a part's segments is among all of them; without segments, the one row there is."""
    return codes_from_names(np.asarray(names, dtype=object), known) if names else np.zeros(1, dtype=np.int64)


def _entities_on(tracks: Tracks, *, segments: list[str], start: int) -> Entities:
    """The entities with days counted from `start` and segments of the whole history."""
    entities = tracks.entities
    return Entities(
        days=np.where(entities.days == NEVER, NEVER, entities.days - start).astype(np.int32),
        segment=_codes(tracks.segments, segments)[entities.segment].astype(np.int32),
        due=np.where(entities.due == NEVER, NEVER, entities.due - start).astype(np.int32),
        value=entities.value,
    )


def _fill_from_entities(counts: Floats, value: Floats, *, entities: Entities, tracks: Tracks, length: int) -> None:
    """Write into (rows, stages, periods) what the entities add up to, from the period of the first one on."""
    rows, stages, periods = counts.shape
    open_from = -(-int(entities.days[:, 0].min()) // length)
    for stage in range(stages):
        period = entities.days[:, stage] // length
        inside = (period >= max(open_from, 0)) & (period < periods)
        cell = entities.segment[inside].astype(np.int64) * periods + period[inside]
        sums = np.bincount(cell, minlength=rows * periods).reshape(rows, periods)
        counts[:, stage, max(open_from, 0) :] = sums[:, max(open_from, 0) :]
        if tracks.amounts is None:
            continue
        amounts = tracks.amounts[:, stage][inside]
        if not np.isnan(amounts).all():
            money = np.bincount(cell, weights=np.nan_to_num(amounts), minlength=rows * periods).reshape(rows, periods)
            value[:, stage, max(open_from, 0) :] = money[:, max(open_from, 0) :]


def last_complete_day(events: Events | None, counts: Counts | None, funnel: Funnel, *, fresh_until: int) -> date:
    """The last day that can be read as complete, in the funnel's zone.

    `fresh_until` (µs since the epoch) is the instant up to which the source is known to be told in full:
    the day that holds it is partial. Silent days before it count as zeros only if silences of that length are
    usual in this history; otherwise the data simply ends earlier. Raises HistoryError when no day is complete.
    """
    return _last_day(events, counts, funnel, fresh_until=fresh_until)


def _last_day(events: Events | None, counts: Counts | None, funnel: Funnel, *, fresh_until: int | None) -> date:
    """As `last_complete_day`; without `fresh_until`, the newest row is as fresh as the data is."""
    limit = None
    if fresh_until is not None:
        limit = int(days_from_instants(np.asarray([fresh_until]), timezone=funnel.timezone)[0]) - 1
    by_events = _last_of_events(events, funnel, limit=limit) if events is not None else None
    by_counts = _last_of_counts(counts, funnel, limit=limit) if counts is not None else None
    if by_events is None and by_counts is None:
        when = "" if limit is None else f" on or before {day_from_number(limit)}"
        raise HistoryError(f"no complete day of the stages {list(funnel.stages)} lies{when} in the data")
    if by_events is None or (by_counts is not None and by_events < by_counts - SILENT_DAYS):
        return day_from_number(by_counts or 0)
    return day_from_number(by_events)


def _last_of_events(events: Events, funnel: Funnel, *, limit: int | None) -> int | None:
    """Last complete day of the events. Without a limit, a newest day that knows hours is taken to be unfinished."""
    ts = events.ts[codes_from_names(events.stage, (*funnel.stages, *funnel.exits)) >= 0]
    day = days_from_instants(ts, timezone=funnel.timezone)
    if len(day) == 0:
        return None
    if limit is None:
        limit = int(day.max())
        before = days_from_instants(ts[day == limit] - 1, timezone=funnel.timezone)
        limit -= int((before == limit).any())
    return _extended(day[day <= limit], limit)


def _last_of_counts(counts: Counts, funnel: Funnel, *, limit: int | None) -> int | None:
    """Last complete day of the counts; rows that stand for weeks reach to the end of theirs."""
    tallies = tallies_from_counts(counts, funnel=funnel, cutoff=2**31 - 1 if limit is None else limit)
    day = tallies.day
    if tallies.weekly:
        start = (funnel.week_start - EPOCH.weekday()) % 7
        day = day + 6 - (day - start) % 7
    limit = int(day.max(initial=0)) if limit is None else limit
    return _extended(np.minimum(day, limit), limit)


def _extended(days: Days, limit: int) -> int | None:
    """The last of these days, or `limit` if a silence as long as from there to it is usual among them."""
    if len(days) == 0:
        return None
    first, last = int(days.min()), int(days.max())
    active = np.flatnonzero(np.bincount(days - first))
    silences = int((np.diff(active) - 1 >= limit - last).sum())
    usual = silences >= max(2, (last - first) / 60)
    return limit if usual else last
