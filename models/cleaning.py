"""Cleaning, the same for training and for live data: silence that cannot be true is not read as zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from models.calendar import HOLIDAY, Calendar
from models.forecast import STEP_DAYS
from models.funnel import SEASON_LENGTH, TOTAL, Frequency
from models.history import NEVER, History
from models.repairs import Repair
from models.wording import worded

__all__ = ["Repair", "clean"]

SHORTEST: dict[Frequency, int] = {"day": 7, "week": 1}
"""Shortest silence, periods, that can be a gap: a feed that lost less is mostly filled up later, or was a closure."""
IMPROBABLE = -np.log(1e-4)
"""A silence is a gap when its probability, negative log, is beyond this."""
SEASONS = 8
"""So many observed seasons before a silence tell what to expect in it."""
PARTIAL, BUSY = 0.5, 20.0
"""The feed broke off during the period before a gap if that holds under this share of what was expected, if many."""

NEGATIVE_VALUE = "negative_value"
"""The kind of repair that is about value alone."""

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """Stages that fall silent together: all stages from events, or one stage that came as counts.

    name
        Stage that came as counts; empty for the events.
    stages
        Rows of the history.
    activity
        float64 (periods,): everything the feed told, exits too; NaN where it was not observed.
    special
        Whether a period is a public holiday or declared, on which silence is nothing to wonder at.
    """

    name: str
    stages: tuple[int, ...]
    activity: Floats
    special: Mask


def clean(history: History, *, calendar: Calendar) -> tuple[History, tuple[Repair, ...]]:
    """The history without what cannot be true, and all repairs up to here, those of the gate first.

    Negative and infinite counts become not observed (NaN), and so does a silence of a whole feed that the
    weeks before it make all but impossible. Only these are asked, so what comes after a silence does not
    change the verdict. All segments of a stage become NaN together: the total is then
    unknown too, rather than a sum of what happens to be there. Values below zero are kept, as they can be, and
    named: no forecast is below zero. Cleaning twice changes nothing.
    """
    counts, found = _possible(history)
    gaps: list[tuple[Feed, npt.NDArray[np.int64]]] = []
    for feed in _feeds(history, counts, calendar=calendar):
        for first, last in _silences(feed.activity):
            if _is_gap(feed, first, last, frequency=history.frequency):
                periods = np.arange(_broken_off(feed, first, frequency=history.frequency), last + 1)
                periods = periods[~((feed.activity == 0) & feed.special)[periods]]
                feed.activity[periods] = np.nan
                gaps.append((feed, periods))
                found.append(_gap_repair(history, feed, periods))
        if not np.nan_to_num(feed.activity).any():
            text = "[the only {unit} is|all {count} {unit}s are] zero or not observed"
            text = worded(text, history.periods, unit=history.frequency)
            found.append(_repair(history, "all_zero", feed.name, np.arange(history.periods), text))
    if gaps:
        counts = counts.copy()
    for feed, periods in gaps:
        counts[:, np.asarray(feed.stages)[:, None], periods] = np.nan
    value = None if history.value is None else np.where(np.isnan(counts), np.nan, history.value)
    found += [] if value is None else _below_zero(value, history)
    repairs = tuple(dict.fromkeys((*history.repairs, *found)))
    return replace(history, counts=counts, value=value, repairs=repairs), repairs


def _possible(history: History) -> tuple[Floats, list[Repair]]:
    """The counts with NaN for those that cannot be, not copied where there are none."""
    wrong = (history.counts < 0) | np.isinf(history.counts)
    if not wrong.any():
        return history.counts, []
    return np.where(wrong, np.nan, history.counts), [
        _repair(
            history,
            "impossible",
            stage,
            np.flatnonzero(wrong[:, row].any(axis=0)),
            worded(
                "{count} [count was negative or infinite and counts|counts were negative or infinite and count] "
                "as not observed",
                int(wrong[:, row].sum()),
            ),
        )
        for row, stage in enumerate(history.stages)
        if wrong[:, row].any()
    ]


def _below_zero(value: Floats, history: History) -> list[Repair]:
    """Periods in which refunds exceed what came in, of any segment: `History.money` takes them for 0."""
    found = []
    for row, stage in enumerate(history.stages):
        periods = np.flatnonzero((value[:, row] < 0).any(axis=0))
        if len(periods):
            text = "the value of {count} [{unit}|{unit}s] is below zero and counts as 0"
            if not (value[:, row] > 0).any():
                text += ", and none is above: if they are no refunds, send them without the sign"
            text = worded(text, len(periods), unit=history.frequency)
            found.append(_repair(history, NEGATIVE_VALUE, stage, periods, text))
    return found


def _feeds(history: History, counts: Floats, *, calendar: Calendar) -> list[Feed]:
    """The events' stages together, with exits; and each stage that came as counts by itself."""
    by_events = tuple(row for row, stage in enumerate(history.stages) if stage not in history.counted)
    groups: dict[str, tuple[int, ...]] = {
        stage: (row,) for row, stage in enumerate(history.stages) if stage in history.counted
    }
    if by_events:
        groups[""] = by_events
    holidays = calendar.day_types(history.start, history.periods) == HOLIDAY
    feeds = []
    for name, rows in groups.items():
        activity, observed = np.zeros(history.periods), np.zeros(history.periods, dtype=np.bool_)
        for row in rows:  # one by one: all at once would be copied, and that is most of what this costs
            missing = np.isnan(counts[:, row])
            observed |= ~missing.all(axis=0)
            activity += np.nansum(counts[:, row], axis=0) if missing.any() else counts[:, row].sum(axis=0)
        activity += 0 if name else _exits(history)
        stages = [history.stages[row] for row in rows]
        declared = [calendar.declared(history.start, history.periods, stage, TOTAL) for stage in stages]
        feeds.append(Feed(name, rows, np.where(observed, activity, np.nan), np.any([holidays, *declared], axis=0)))
    return feeds


def _exits(history: History) -> Floats:
    """Entities that left by an exit, in each period."""
    periods = np.zeros(history.periods)
    if history.entities is not None:
        days = history.entities.days[:, len(history.stages) :]
        period = days[days != NEVER] // STEP_DAYS[history.frequency]
        periods += np.bincount(period[(period >= 0) & (period < history.periods)], minlength=history.periods)
    return periods


def _silences(activity: Floats) -> list[tuple[int, int]]:
    """First and last period of each run of observed zeros after the first activity, in order."""
    silent = np.concatenate([[False], activity == 0, [False]])
    edges = np.flatnonzero(np.diff(silent.astype(np.int8)))
    began = np.flatnonzero(np.nan_to_num(activity) > 0)
    runs = zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True)
    return [(first, last) for first, last in runs if len(began) and first > began[0]]


def _is_gap(feed: Feed, first: int, last: int, *, frequency: Frequency) -> bool:
    """Whether a silence is all but impossible, judged by how often periods like these were active before it.

    Not by how much there was: stages follow each other, and one entity can be all that happens in a month.
    """
    length, season = last + 1 - first, SEASON_LENGTH[frequency]
    if length < SHORTEST[frequency] or _is_usual(feed.activity[:first], length):
        return False
    ordinary = np.arange(first, last + 1)[~feed.special[first : last + 1]]
    active = _by_place((feed.activity > 0).astype(float), feed, first, season=season)[ordinary % season]
    return bool(-np.log1p(-active).sum() > IMPROBABLE)


def _is_usual(before: Floats, length: int) -> bool:
    """Whether two silences at least half as long came earlier, read as zero or not."""
    quiet = np.concatenate([[0], ~(before > 0), [0]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(quiet))
    return bool((2 * (edges[1::2] - edges[::2]) >= length).sum() >= 2)


def _by_place(values: Floats, feed: Feed, before: int, *, season: int) -> Floats:
    """Mean of `values` by place in the season, (season,), over the last SEASONS observed ordinary ones.

    Shrunk towards the mean of all places, and that towards 0 as if one season more had been 0.
    """
    usable = np.flatnonzero(~np.isnan(feed.activity[:before]) & ~feed.special[:before])[-SEASONS * season :]
    mean = values[usable].sum() / (len(usable) + season)
    sums = np.bincount(usable % season, weights=values[usable], minlength=season)
    return np.asarray((sums + mean) / (np.bincount(usable % season, minlength=season) + 1), dtype=np.float64)


def _broken_off(feed: Feed, first: int, *, frequency: Frequency) -> int:
    """First period of a gap, which is the one before the silence when the feed broke off during that one."""
    season, before = SEASON_LENGTH[frequency], first - 1
    expected = _by_place(feed.activity, feed, before, season=season)[before % season]
    partial = expected >= BUSY and feed.activity[before] < PARTIAL * expected
    return before if partial and not feed.special[before] else first


def _gap_repair(history: History, feed: Feed, periods: npt.NDArray[np.int64]) -> Repair:
    """What is said about a silence that is not read as zero."""
    what = "{count} [{unit}|{unit}s] without any {feed}"
    if periods[-1] == history.periods - 1:
        kind = "dead_feed"
        text = f"{what} up to the cutoff: the feed seems to be dead, and [it counts|they count] as not observed"
    else:
        kind = "gap"
        text = f"{what} [counts|count] as not observed; if that was a closure, declare its days"
    told = worded(text, len(periods), unit=history.frequency, feed=feed.name or "event")
    return _repair(history, kind, feed.name, periods, told)


def _repair(history: History, kind: str, stage: str, periods: npt.NDArray[np.int64], text: str) -> Repair:
    """A repair over these periods of the total."""
    length = STEP_DAYS[history.frequency]
    start = history.start + timedelta(days=length * int(periods.min()))
    end = history.start + timedelta(days=length * (int(periods.max()) + 1) - 1)
    return Repair(kind, TOTAL, stage, start, end, len(periods), text)
