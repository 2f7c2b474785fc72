"""How complete a day is by its age: learnt from what each upload changed in the counts of past days.

A day that ended a days before the source was last told of has age a. The share of its count as it is known today that
was known at that age is taken together over weeks, and the median week decides, so that one outage that was filled up
later is no habit. Days touched by a backfill, and those at whose age no upload came, are not asked. A habit ends at
once where a week of days of which it said that more would come has seen next to nothing come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.arrivals import Arrivals
from models.calendar import day_from_number, days_from_instants, number_from_day
from models.forecast import STEP_DAYS
from models.funnel import TOTAL, Funnel
from models.history import History
from models.repairs import Repair

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MATURE = 14
"""Days after which a day counts as complete: corrections of older ones are not foreseen."""
WINDOW = 126
"""Days back from the youngest mature one that are asked."""
HALF_LIFE = 6.0
"""Of what a week tells, weeks."""
LEAST_WEEKS = 3
"""With fewer weeks nothing is said."""
PRIOR_WEEKS = 0.25
"""So many weeks without anything late are believed beforehand."""
ENDED = 0.25
"""Of what the habit says would have come, the part below which it has ended: one day of the old habit in a week."""
LEAST_ENDED = 6.0
"""Counts of which the habit says that they would have come: for fewer than that, more than a week is asked."""
TOLERANCE = 0.005
"""A share missing below this is no matter."""
NAMED = 3
"""Days of which a sentence names the share."""
SLACK = 2 * 3_600_000_000
"""An upload may come so much later in its day than the last one did, µs, and still be what was known at that age."""


@dataclass(frozen=True, slots=True, eq=False)
class Lateness:
    """How complete the days of a stage are when they are young.

    share, low, high: (MATURE,), by age in days: median and quartiles of the weeks; low and high as observed, share a
    little nearer to 1. days: from which it was learnt. last: the day of age 0.
    """

    stage: str
    share: Array
    low: Array
    high: Array
    days: int
    last: int


def lateness_of_stages(arrivals: Arrivals, funnel: Funnel) -> tuple[Lateness, ...]:
    """The stages whose young days are habitually incomplete, as of the last upload."""
    if not len(arrivals.fresh):
        return ()
    told_until = np.maximum.accumulate(arrivals.fresh)
    # The last upload's time of day is that at which all are asked: what comes later in a day is known a day later.
    ends = days_from_instants(told_until[-1:], timezone=funnel.timezone)[0]
    into = _since_midnight(int(told_until[-1]), int(ends), timezone=funnel.timezone)
    known_on = days_from_instants(told_until - into - SLACK, timezone=funnel.timezone).astype(np.int64)
    # Where a day's first upload comes later than that, the hour has moved: it still is the one that told of yesterday.
    came_on = days_from_instants(told_until, timezone=funnel.timezone).astype(np.int64)
    _, start, which = np.unique(came_on, return_index=True, return_inverse=True)
    first = told_until - told_until[start][which] <= SLACK
    known_on = np.where(first, np.minimum(known_on, came_on - 1), known_on)
    reached = known_on[known_on < came_on]
    names = np.asarray(arrivals.stage, dtype=object)
    found = []
    for stage in funnel.stages:
        own = np.flatnonzero(names == stage)
        if len(own):
            late = _lateness(stage, known_on, reached, arrivals.upload[own], arrivals.day[own], arrivals.change[own])
            found += [] if late is None else [late]
    return tuple(found)


def _since_midnight(instant: int, day: int, *, timezone: str) -> int:
    """µs from the beginning of a local day to an instant of it, to a minute."""
    minutes = np.arange(26 * 60, dtype=np.int64) * 60_000_000
    inside = days_from_instants(instant - minutes, timezone=timezone) == day
    return int(minutes[inside].max())


def _lateness(stage: str, known_on: Ints, reached: Ints, upload: Ints, day: Ints, change: Array) -> Lateness | None:
    """Lateness of one stage; `known_on`: (uploads,), the day of age 0 at each upload; `reached`: those that were over
    by then. None: nothing is late, or rows stand for whole weeks.
    """
    if len(np.unique(day % 7)) == 1:
        return None
    last = int(known_on[-1])
    age = np.maximum(known_on[upload] - day, 0)
    first = max(int(known_on[upload].min()), int(known_on[0]))
    asked = np.arange(last, last - MATURE - WINDOW, -1)
    place = last - day
    usable = (place >= 0) & (place < len(asked)) & (day > first)
    eligible = np.isin(asked[:, None] + np.arange(MATURE), reached) & (asked > first)[:, None]
    for number in _backfills(upload, age, change):
        eligible[place[usable & (upload == number) & (age > 0)]] = False
    final = np.bincount(place[usable], weights=change[usable], minlength=len(asked)).astype(np.float64)
    known = np.zeros((len(asked), MATURE))
    young = usable & (age < MATURE)
    np.add.at(known, (place[young], age[young]), change[young])
    known = np.where(eligible, known.cumsum(axis=1), 0.0)
    in_all = np.where(eligible, final[:, None], 0.0)
    by_week = (-1, 7, MATURE)
    told, whole = (part[MATURE:].reshape(by_week).sum(axis=1) for part in (known, in_all))
    weight = eligible[MATURE:].reshape(by_week).mean(axis=1) * 0.5 ** (np.arange(WINDOW // 7) / HALF_LIFE)[:, None]
    weight = np.where(whole > 0, weight, 0.0)
    share = np.clip(np.divide(told, whole, out=np.ones_like(told), where=whole > 0), 0.0, 1.0)
    pairs = list(zip(share.T, weight.T, strict=True))
    low, median, high = (np.array([_quantile(*pair, q) for pair in pairs]) for q in (0.25, 0.5, 0.75))
    weeks = (weight > 0).sum(axis=0)
    median = 1 - (1 - median) * weeks / (weeks + PRIOR_WEEKS)
    told_of = weeks >= LEAST_WEEKS
    median = np.where(told_of, np.maximum.accumulate(np.where(told_of, median, 0.0)), 1.0)
    ended = [_ended(age, median, known[:, age], final, eligible[:, age]) for age in range(MATURE)]
    median = np.where(np.logical_or.accumulate(ended), 1.0, median)
    if (1 - median < TOLERANCE).all():
        return None
    return Lateness(stage, median, low, high, int((eligible[MATURE:, 0] & (final[MATURE:] > 0)).sum()), last)


def _ended(age: int, share: Array, known: Array, now: Array, eligible: npt.NDArray[np.bool_]) -> bool:
    """Whether the youngest days older than `age` contradict the shares: next to nothing came after that age.

    known, now: (days,), newest first, counts known at the age and as of the last upload.
    """
    days = age + 1 + np.flatnonzero(eligible[age + 1 :])
    by_now = np.where(days < MATURE, share[np.minimum(days, MATURE - 1)], 1.0)
    missing = 1 - np.divide(share[age], by_now, out=np.ones(len(days)), where=by_now > 0)
    foreseen, came = np.cumsum(now[days] * missing), np.cumsum(now[days] - known[days])
    asked = np.flatnonzero(foreseen[6:] >= LEAST_ENDED) + 6
    return len(asked) > 0 and bool(came[asked[0]] < ENDED * foreseen[asked[0]])


def _backfills(upload: Ints, age: Ints, change: Array) -> Ints:
    """Uploads most of whose changes are of days that had been complete."""
    size = int(upload.max()) + 1
    old = np.bincount(upload, weights=np.where(age >= MATURE, np.abs(change), 0.0), minlength=size)
    every = np.bincount(upload, weights=np.abs(change), minlength=size)
    return np.flatnonzero(2 * old > every)


def _quantile(values: Array, weights: Array, probability: float) -> float:
    """Weighted quantile, 1 without any weight."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    if below[-1] <= 0:
        return 1.0
    return float(values[order][np.searchsorted(below, probability * below[-1])])


def with_lateness(history: History, late: Sequence[Lateness]) -> History:
    """The history with the share that is told of its last periods, and what is said about it."""
    length, end = STEP_DAYS[history.frequency], number_from_day(history.cutoff)
    told = np.ones((len(history.stages), MATURE))
    notes = []
    for each in late:
        days = end - np.arange(length * MATURE)
        age = each.last - days
        share = np.where((age >= 0) & (age < MATURE), each.share[np.clip(age, 0, MATURE - 1)], 1.0)
        told[history.stages.index(each.stage)] = share.reshape(MATURE, length).mean(axis=1)
        if _incomplete(each, end):
            notes.append(_note(each, end))
    young = np.flatnonzero((1 - told >= TOLERANCE).any(axis=0))
    if not len(young) or young[-1] + 1 >= history.periods:
        return history
    told = np.where(1 - told >= TOLERANCE, told, 1.0)[:, young[-1] :: -1]
    return replace(history, told=np.ascontiguousarray(told), repairs=(*history.repairs, *notes))


def completeness_documents(history: History, late: Sequence[Lateness]) -> list[dict[str, Any]]:
    """Per stage that is late, the days that are not complete at the cutoff, newest first; JSON-ready."""
    end = number_from_day(history.cutoff)
    documents = []
    for each in late:
        days = [
            {
                "ds": day_from_number(each.last - age),
                "share": round(float(each.share[age]), 4),
                "low": round(float(each.low[age]), 4),
                "high": round(float(each.high[age]), 4),
            }
            for age in _incomplete(each, end)
        ]
        if days and history.told is not None:
            documents.append({"stage": each.stage, "learnt_from": each.days, "days": days})
    return documents


def _incomplete(late: Lateness, end: int) -> list[int]:
    """Ages of the days up to `end` that are not complete, ascending."""
    return [age for age in range(max(late.last - end, 0), MATURE) if 1 - late.share[age] >= TOLERANCE]


def _note(late: Lateness, end: int) -> Repair:
    ages = _incomplete(late, end)
    shares = [f"{late.share[age]:.0%}" for age in ages[:NAMED]]
    listed = (
        ", ".join(shares) if len(ages) > NAMED else " and ".join([", ".join(shares[:-1]), shares[-1]][-len(shares) :])
    )
    more = f", ... ({len(ages)} days)" if len(ages) > NAMED else ""
    text = (
        f"{late.stage} is told of late: {listed}{more} complete, newest day first, as learnt from {late.days} days; "
        "the forecast starts from what is likely to be told still"
    )
    days = [day_from_number(late.last - age) for age in (ages[-1], ages[0])]
    return Repair("incomplete", TOTAL, late.stage, days[0], days[1], len(ages), text)
