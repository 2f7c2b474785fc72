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

__all__ = ["Repair", "clean"]

SHORTEST: dict[Frequency, int] = {"day": 7, "week": 1}
"""Shortest silence, periods, that can be a gap: a feed that lost less is mostly filled up later, or was a closure."""
IMPROBABLE = -np.log(1e-4)
"""A silence is a gap when its probability, negative log, is beyond this."""
DISPERSION = 1.5
"""Size parameter of the negative binomial by which a silent period is judged: far from Poisson, to be careful."""
SEASONS = 8
"""So many observed seasons before a silence tell what to expect in it."""
NEW_DAYS, LONG_DAYS = 14, 28
"""With fewer days before it than the first, a silence longer than the second is taken to be a gap."""
PARTIAL, BUSY = 0.5, 20.0
"""The feed broke off during the period before a gap if that holds under this share of what was expected, if many."""

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
    weeks before it make all but impossible. Of a closed silence only earlier periods are asked, so what comes
    later does not change the verdict. All segments of a stage become NaN together: the total is then
    unknown too, rather than a sum of what happens to be there. Cleaning twice changes nothing.
    """
    counts = history.counts.copy()
    found = _impossible(counts, history)
    for feed in _feeds(history, counts, calendar=calendar):
        for first, last in _silences(feed.activity):
            if _is_gap(feed, first, last, frequency=history.frequency):
                periods = np.arange(_broken_off(feed, first, frequency=history.frequency), last + 1)
                periods = periods[~((feed.activity == 0) & feed.special)[periods]]
                feed.activity[periods] = np.nan
                counts[:, np.asarray(feed.stages)[:, None], periods] = np.nan
                found.append(_gap_repair(history, feed, periods))
        if not np.nan_to_num(feed.activity).any():
            text = f"all {history.periods} {history.frequency}s are zero or not observed"
            found.append(_repair(history, "all_zero", feed.name, np.arange(history.periods), text))
    repairs = tuple(dict.fromkeys((*history.repairs, *found)))
    value = None if history.value is None else np.where(np.isnan(counts), np.nan, history.value)
    return replace(history, counts=counts, value=value, repairs=repairs), repairs


def _impossible(counts: Floats, history: History) -> list[Repair]:
    """Set counts that cannot be to NaN, in place."""
    wrong = (counts < 0) | np.isinf(counts)
    counts[wrong] = np.nan
    return [
        _repair(
            history,
            "impossible",
            stage,
            np.flatnonzero(wrong[:, row].any(axis=0)),
            f"{int(wrong[:, row].sum())} counts were negative or infinite and count as not observed",
        )
        for row, stage in enumerate(history.stages)
        if wrong[:, row].any()
    ]


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
        observed = ~np.isnan(counts[:, rows]).all(axis=(0, 1))
        activity = np.nansum(counts[:, rows], axis=(0, 1)) + (0 if name else _exits(history))
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
    """Whether a silence cannot be real, judged by the periods before it."""
    season = SEASON_LENGTH[frequency]
    ordinary = np.flatnonzero(~feed.special[first : last + 1])
    if last + 1 - first < SHORTEST[frequency] or len(ordinary) == 0:
        return False
    days = STEP_DAYS[frequency]
    if (~np.isnan(feed.activity[:first])).sum() * days < NEW_DAYS and len(ordinary) * days >= LONG_DAYS:
        return True
    expected = _expected(feed, first, season=season)[(first + ordinary) % season]
    return bool((DISPERSION * np.log1p(expected / DISPERSION)).sum() > IMPROBABLE)


def _expected(feed: Feed, before: int, *, season: int) -> Floats:
    """Mean activity by place in the season, (season,), over the last SEASONS observed ordinary ones."""
    usable = np.flatnonzero(~np.isnan(feed.activity[:before]) & ~feed.special[:before])[-SEASONS * season :]
    if len(usable) == 0:
        return np.zeros(season)
    place, activity = usable % season, feed.activity[usable]
    sums = np.bincount(place, weights=activity, minlength=season) + activity.mean()
    return np.asarray(sums / (np.bincount(place, minlength=season) + 1), dtype=np.float64)


def _broken_off(feed: Feed, first: int, *, frequency: Frequency) -> int:
    """First period of a gap, which is the one before the silence when the feed broke off during that one."""
    season, before = SEASON_LENGTH[frequency], first - 1
    expected = _expected(feed, before, season=season)[before % season]
    partial = expected >= BUSY and feed.activity[before] < PARTIAL * expected
    return before if partial and not feed.special[before] else first


def _gap_repair(history: History, feed: Feed, periods: npt.NDArray[np.int64]) -> Repair:
    """What is said about a silence that is not read as zero."""
    what = f"{len(periods)} {history.frequency}s without any {feed.name or 'event'}"
    if periods[-1] == history.periods - 1:
        text = f"{what} up to the cutoff: the feed seems to be dead, and they count as not observed"
        return _repair(history, "dead_feed", feed.name, periods, text)
    text = f"{what} count as not observed; if that was a closure, declare its days"
    return _repair(history, "gap", feed.name, periods, text)


def _repair(history: History, kind: str, stage: str, periods: npt.NDArray[np.int64], text: str) -> Repair:
    """A repair over these periods of the total."""
    length = STEP_DAYS[history.frequency]
    start = history.start + timedelta(days=length * int(periods.min()))
    end = history.start + timedelta(days=length * (int(periods.max()) + 1) - 1)
    return Repair(kind, TOTAL, stage, start, end, len(periods), text)
