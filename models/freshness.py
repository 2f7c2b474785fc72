"""How far the data can be trusted to be complete: a day that is not over is never read as a drop."""

from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt

from models.calendar import EPOCH, day_from_number, days_from_instants
from models.coded import CodedEvents, codes_from_names
from models.errors import HistoryError
from models.forecast import STEP_DAYS
from models.funnel import Funnel
from models.records import Events
from models.tallies import CountRows, days_of_counts

YOUNG = 2
"""Periods after the cutoff that may be partial."""
SILENT_DAYS = 28
"""A feed of events that ended so long before the counts did no longer holds the cutoff back."""


def last_complete_day(
    events: Events | CodedEvents | None, counts: CountRows | None, funnel: Funnel, *, fresh_until: int | None
) -> date:
    """The last day that can be read as complete, in the funnel's zone.

    `fresh_until` (µs since the epoch) is the instant up to which the source is known to be told in full:
    the day that holds it is partial. None: the rows must tell, and a newest day on which events have hours
    is taken to be unfinished. Silent days before it count as zeros only if silences of that length are usual
    in this history; otherwise the data simply ends earlier.

    Events decide when there are both, as count rows that lack are seen to lack. Raises HistoryError when no
    day is complete.
    """
    fresh = None
    if fresh_until is not None:
        fresh = int(days_from_instants(np.asarray([fresh_until]), timezone=funnel.timezone)[0])
    by_events = _last_of_events(events, funnel, fresh=fresh) if events is not None else None
    by_counts = _last_of_counts(counts, funnel, fresh=fresh) if counts is not None else None
    if by_events is None and by_counts is None:
        when = "" if fresh is None else f" on or before {day_from_number(fresh - 1)}"
        raise HistoryError(f"no complete day of the stages {list(funnel.stages)} lies{when} in the data")
    if by_events is None or (by_counts is not None and by_events < by_counts - SILENT_DAYS):
        return day_from_number(by_counts or 0)
    return day_from_number(by_events)


def partial_until(cutoff: date, funnel: Funnel, *, fresh_until: int | None) -> date | None:
    """The day that was not over when the source was told, after the cutoff; None when none had begun, or nobody knows.

    Far from the cutoff it is not that the day is young: the feed has been silent.
    """
    if fresh_until is None:
        return None
    day = day_from_number(int(days_from_instants(np.asarray([fresh_until]), timezone=funnel.timezone)[0]))
    return day if 0 < (day - cutoff).days <= YOUNG * STEP_DAYS[funnel.frequency] else None


def _last_of_events(events: Events | CodedEvents, funnel: Funnel, *, fresh: int | None) -> int | None:
    """Last complete day of the events when day `fresh` is partial."""
    ts = events.ts[codes_from_names(events.stage, (*funnel.stages, *funnel.exits)) >= 0]
    day = days_from_instants(ts, timezone=funnel.timezone)
    if len(day) == 0:
        return None
    if fresh is None:
        newest = int(day.max())
        before = days_from_instants(ts[day == newest] - 1, timezone=funnel.timezone)
        fresh = newest if (before == newest).any() else newest + 1
    return _last_of_days(day, fresh)


def _last_of_counts(counts: CountRows, funnel: Funnel, *, fresh: int | None) -> int | None:
    """Last complete day of the counts when day `fresh` is partial; a row that stands for a week tells all its days."""
    day, weekly = days_of_counts(counts, funnel=funnel, cutoff=2**31 - 1 if fresh is None else fresh)
    if weekly:
        start = (funnel.week_start - EPOCH.weekday()) % 7
        day = (day - (day - start) % 7 + np.arange(7, dtype=np.int32)[:, None]).reshape(-1)
    if len(day) == 0:
        return None
    return _last_of_days(day, int(day.max()) + 1 if fresh is None else fresh)


def _last_of_days(days: npt.NDArray[np.int32], fresh: int) -> int | None:
    """The last complete one of the days with rows, or the day before `fresh` if the silence up to there is real.

    It is when there are rows of day `fresh` already, or when silences of that length are usual.
    """
    told = days[days < fresh]
    if len(told) == 0:
        return None
    first, last = int(told.min()), int(told.max())
    active = np.flatnonzero(np.bincount(told - first))
    silences = int((np.diff(active) - 1 >= fresh - 1 - last).sum())
    usual = silences >= max(2, (last - first) / 60)
    return fresh - 1 if usual or (days == fresh).any() else last
