"""The one gate from rows to grids: events and counts become a daily or weekly history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from models.calendar import day_from_number, number_from_day
from models.coded import CodedEvents, codes_from_names
from models.entities import NEVER, Entities, Tracks, tracks_from_events
from models.errors import HistoryError
from models.forecast import STEP_DAYS
from models.freshness import last_complete_day
from models.funnel import TOTAL, Frequency, Funnel
from models.observed import Span, grid_from_tallies, repairs_of_holes
from models.records import Events
from models.repairs import Repair
from models.tallies import CountRows, Tallies, make_tallies

__all__ = ["NEVER", "Entities", "History", "last_complete_day", "make_history"]

Days = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


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
    due_stage
        Stage that the entities' due days speak of; None without one.
    repairs
        What the gate and the cleaning did to get here.
    told
        Share of the final count that is known of the last periods, (stages, young periods), see `models.lateness`;
        None: no period is habitually incomplete.
    """

    start: date
    frequency: Frequency
    segments: tuple[str, ...]
    stages: tuple[str, ...]
    counts: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64] | None = None
    entities: Entities | None = None
    counted: tuple[str, ...] = ()
    due_stage: str | None = None
    repairs: tuple[Repair, ...] = ()
    told: npt.NDArray[np.float64] | None = None

    @property
    def periods(self) -> int:
        """Number of periods on the grid."""
        return int(self.counts.shape[2])

    @property
    def settled(self) -> int:
        """Number of periods before those that are habitually incomplete."""
        return self.periods - (0 if self.told is None else self.told.shape[1])

    @property
    def cutoff(self) -> date:
        """Last observed day, inclusive."""
        return self.start + timedelta(days=STEP_DAYS[self.frequency] * self.periods - 1)

    @property
    def series(self) -> tuple[tuple[str, str], ...]:
        """(segment, stage) of each row of `matrix`: the total's stages first."""
        return tuple((segment, stage) for segment in (TOTAL, *self.segments) for stage in self.stages)

    @property
    def valued(self) -> tuple[str, ...]:
        """Stages whose rows carry value."""
        if self.value is None:
            return ()
        told = np.flatnonzero((~np.isnan(self.value)).any(axis=(0, 2)))
        return tuple(self.stages[stage] for stage in told)

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """Counts of all series, (len(series), periods): the total first, then the segments."""
        return _stacked(self.counts) if self.segments else self.counts[0]

    @property
    def total(self) -> npt.NDArray[np.float64]:
        """The rows of `matrix` that are the total, (stages, periods)."""
        return np.asarray(self.counts.sum(axis=0)) if self.segments else self.counts[0]

    def funnels(self, rows: Sequence[int]) -> npt.NDArray[np.float64]:
        """Counts of some funnels, (len(rows), stages, periods): 0 is the total, the segments follow."""
        if not self.segments:
            return np.asarray(self.counts[np.asarray(rows)])
        chosen = np.asarray(self.counts[np.asarray(rows) - 1])
        if 0 in rows:
            chosen[list(rows).index(0)] = self.total
        return chosen

    def latest(self, periods: int) -> npt.NDArray[np.float64]:
        """As `matrix`, of the last `periods`: what costs the same however long the history is; all if it has fewer."""
        last = self.counts[:, :, max(self.periods - periods, 0) :]
        return _stacked(last) if self.segments else last[0]

    @property
    def money(self) -> npt.NDArray[np.float64] | None:
        """As `matrix`, of value; a period whose refunds exceed what came in counts as 0, as no forecast is below."""
        if self.value is None:
            return None
        value = np.maximum(self.value, 0.0)
        return _stacked(value) if self.segments else value[0]


def _stacked(values: Floats) -> Floats:
    """Sums over the segments, then the segments, each with its stages: (series, periods)."""
    return np.concatenate([values.sum(axis=0), values.reshape(-1, values.shape[2])])


def make_history(
    funnel: Funnel,
    *,
    events: Events | CodedEvents | None = None,
    counts: CountRows | None = None,
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
        cutoff = last_complete_day(events, counts, funnel, fresh_until=None)
    last = number_from_day(cutoff)
    tracks = None if events is None else tracks_from_events(events, funnel=funnel, cutoff=last)
    tallies = None if counts is None else make_tallies(counts, funnel=funnel, cutoff=last)
    first_event = None if tracks is None or not len(tracks.entities.value) else int(tracks.entities.days[:, 0].min())
    first_count = None if tallies is None or not len(tallies.days) else int(tallies.days[0])
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
    counts = np.full(shape, np.nan)
    told = [tracks.entities.amounts if tracks else None, tallies.value if tallies else None]
    value = None if all(part is None for part in told) else np.full(shape, np.nan)
    entities = None
    if tracks is not None:
        entities = _entities_on(tracks, segments=segments, start=span.start)
        _fill_from_entities(counts, value, entities=entities, length=span.length)
    counted = () if tallies is None else tuple(tallies.stages)
    apart = {funnel.stages[stage] for stage in counted}  # entities are not expected to have rows for them
    repairs = tuple(repair for repair in repairs if repair.kind != "implied_stage" or repair.stage not in apart)
    if tallies is not None:
        rows = _codes(tallies.segments, segments)
        for stage in counted:
            counts[:, stage], money, holes = grid_from_tallies(
                tallies, stage=stage, rows=shape[0], segment=rows, span=span
            )
            if value is not None:
                value[:, stage] = np.nan if money is None else money
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
        value=None if value is None or np.isnan(value).all() else value,
        entities=entities,
        counted=tuple(funnel.stages[stage] for stage in counted),
        due_stage=funnel.due_stage,
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
        moved=entities.moved - np.array([0, start, start], dtype=np.int32),
        amounts=entities.amounts,
    )


def _fill_from_entities(counts: Floats, value: Floats | None, *, entities: Entities, length: int) -> None:
    """Write into (rows, stages, periods) what the entities add up to, from the period of the first one on."""
    rows, stages, periods = counts.shape
    open_from = -(-int(entities.days[:, 0].min()) // length)
    for stage in range(stages):
        period = entities.days[:, stage] // length
        inside = (period >= max(open_from, 0)) & (period < periods)
        cell = entities.segment[inside].astype(np.int64) * periods + period[inside]
        sums = np.bincount(cell, minlength=rows * periods).reshape(rows, periods)
        counts[:, stage, max(open_from, 0) :] = sums[:, max(open_from, 0) :]
        if value is None or entities.amounts is None:
            continue
        amounts = entities.amounts[:, stage][inside]
        if not np.isnan(amounts).all():
            money = np.bincount(cell, weights=np.nan_to_num(amounts), minlength=rows * periods).reshape(rows, periods)
            value[:, stage, max(open_from, 0) :] = money[:, max(open_from, 0) :]
