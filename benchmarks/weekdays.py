"""Weekdays that change for good: closed, opened, moved, all on one day; of what comes by itself and of conversions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks import changes
from benchmarks.report import Bar, Result
from models.entities import NEVER
from models.history import Entities, History

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HORIZON = 28
SEEDS = 3
USUAL = np.array([1.1, 1.1, 1.0, 1.0, 0.9, 0.45, 0.4])
OPEN = np.where(np.arange(7) < 5, 1.0, 0.0)
KINDS: dict[str, tuple[Array, Array]] = {
    "none": (USUAL, USUAL),
    "weekends close": (USUAL, USUAL * OPEN),
    "weekends open": (USUAL * OPEN, USUAL),
    "Mondays close": (USUAL, USUAL * (np.arange(7) > 0)),
    "another pattern": (USUAL, np.array([0.7, 0.7, 0.8, 1.0, 1.2, 1.1, 1.0])),
    "all on Thursdays": (USUAL, np.array([0.05, 0.05, 0.05, 3.0, 0.05, 0.05, 0.05])),
}
"""Factors of weekdays before and after."""
AGO = (28, 56)
"""Days since the change."""
LEVELS, ENDS = (10.0, 100.0, 400.0), (200, 320)
HAZARD, LOST = 0.1, 0.03
"""Chance a day of converting, times the weekday's factor, and of leaving."""
MOST = 1.5


def run(*, seeds: int = SEEDS) -> Result:
    """A single counted series, and the last stage of a funnel of two that is known by entities."""
    rows = []
    for name, (before, after) in KINDS.items():
        for ago in AGO[: 1 if name == "none" else None]:
            for of, source in (("by itself", of_series), ("of conversions", of_funnel)):
                found = [
                    source(before, after, level=level, end=end, ago=ago, seed=seed)
                    for level in LEVELS
                    for end in ENDS
                    for seed in range(seeds)
                ]
                rows.append(row(name, ago, of, found))
    over = [float(each["over a weekday mean's"]) for each in rows]
    return Result(
        name="weekdays",
        question=f"quantile loss of {HORIZON} steps after weekdays have changed for good, {seeds} seeds",
        rows=tuple(rows),
        bars=(
            Bar("changed, geometric mean: over a weekday mean's", float(np.exp(np.log(over[2:]).mean())), at_most=MOST),
        ),
        notes=(
            "the truth: a Poisson number whose mean is known, given who waits",
            "a weekday mean: the product's fallback, of the four weeks before, all of which are after the change",
        ),
    )


def of_series(before: Array, after: Array, *, level: float, end: int, ago: int, seed: int) -> Array:
    """Losses in units of the level, see `changes.measured`, of a counted series by itself."""
    generator = np.random.default_rng([seed, int(level), end, ago])
    rates = level * _factors(before, after, last=end + HORIZON, change=end - ago)
    counts = generator.poisson(rates).astype(np.float64)
    history = History(changes.START, "day", (), ("won",), counts[None, None, :end], counted=("won",))
    return _in_units(changes.measured(history, rates[end:], counts[end:]), level)


def of_funnel(before: Array, after: Array, *, level: float, end: int, ago: int, seed: int) -> Array:
    """The same of the conversions of those who enter at that level, and leave at times."""
    generator = np.random.default_rng([seed, int(level), end, ago])
    last = end + HORIZON
    chances = np.minimum(HAZARD * _factors(before, after, last=last, change=end - ago), 0.9)
    rates = level * USUAL[np.arange(last) % 7]
    entered = np.repeat(np.arange(last), generator.poisson(rates))
    days = np.stack([entered, np.full_like(entered, NEVER), np.full_like(entered, NEVER)], axis=1)
    here, waiting = np.zeros(len(entered), dtype=bool), 0
    for day, chance in enumerate(chances):
        here |= entered == day
        drawn = generator.random(len(entered))
        for column, happens in ((1, drawn < chance), (2, (drawn >= chance) & (drawn < chance + LOST))):
            days[here & happens, column] = day
        here &= drawn >= chance + LOST
        waiting = int(here.sum()) if day == end - 1 else waiting
    true, left = np.zeros(HORIZON), float(waiting)
    for step in range(HORIZON):
        left += rates[end + step]
        true[step] = chances[end + step] * left
        left *= 1 - chances[end + step] - LOST
    came = np.bincount(days[:, 1][days[:, 1] >= end] - end, minlength=HORIZON).astype(np.float64)
    return _in_units(changes.measured(_history(days, end=end), true, came), level)


def _factors(before: Array, after: Array, *, last: int, change: int) -> Array:
    day = np.arange(last)
    return np.where(day < change, before[day % 7], after[day % 7])


def _in_units(sums: Array, level: float) -> Array:
    return np.asarray(sums / np.array([level, level, level, 1.0, 1.0]))


def _history(days: Ints, *, end: int) -> History:
    known = np.where(days[days[:, 0] < end] < end, days[days[:, 0] < end], NEVER).astype(np.int32)
    counts = np.stack([np.bincount(each[each != NEVER], minlength=end) for each in known.T[:2]]).astype(np.float64)
    none, nobody = np.full(len(known), NEVER, dtype=np.int32), np.zeros(len(known), dtype=np.int32)
    entities = Entities(known, nobody, none, np.full(len(known), np.nan))
    return History(changes.START, "day", (), ("lead", "won"), counts[None], entities=entities)


def row(name: str, ago: int, of: str, found: list[Array]) -> dict[str, str | float]:
    """One line of the table, of losses in units of the level."""
    ours, truth, simple, held, many = np.sum(found, axis=0)
    return {
        "change": name,
        "days ago": "" if name == "none" else str(ago),
        "counts": of,
        "loss over the truth's": float(ours / truth),
        "over a weekday mean's": float(ours / simple),
        "80 % held": float(held / many),
        "n": float(many),
    }
