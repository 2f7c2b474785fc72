"""One transition of the cascade: a day more, and a refit with its forecast, after few and after many entities.

Computing time of the thread, so that what else the machine does counts for little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt

from benchmarks.report import Bar, Result, spread
from models.conversion import ConversionState, advance, forecast, make_state
from models.spells import moves_from_days

Ints = npt.NDArray[np.int64]

DAYS, HORIZON, SEASON = 400, 28, 7
FEW, MANY = 20_000, 1_000_000
"""Entities that went through before."""
FRESH = 50
"""Entities of the day that is added."""
ROUNDS, CALLS = 9, 50
MOST_FORECAST, MOST_UPDATE, MOST_GROWTH = 1.8, 0.1, 1.2
"""Milliseconds, twice, and times slower after MANY than after FEW."""


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """The state that so many entities left, and its timings, ms per call."""

    entities: int
    state: ConversionState
    update: list[float]
    forecast: list[float]


def run(*, rounds: int = ROUNDS) -> Result:
    """Both after few and after many entities, in turn."""
    generator = np.random.default_rng(0)
    pasts = [Past(entities, state_after(entities, generator=generator), [], []) for entities in (FEW, MANY)]
    day = random_moves(FRESH, days=1, generator=generator)
    types, inflow = np.arange(1 + HORIZON) % SEASON, np.full(HORIZON, 50.0)
    for place in range(rounds + 1):
        for past in pasts:
            update = timed(lambda state=past.state: one_day(state, day, types))  # type: ignore[misc]
            ahead = timed(lambda state=past.state: forecast(state, types[1:], inflow))  # type: ignore[misc]
            if place > 0:
                past.update.append(update)
                past.forecast.append(ahead)
    few, many = pasts
    growth = max(
        median(many.update) / median(few.update),
        median(many.forecast) / median(few.forecast),
    )
    return Result(
        name="conversion",
        question=f"one transition on age and due clocks, ms; {rounds} rounds of {CALLS} calls",
        rows=tuple(row(past) for past in pasts),
        bars=(
            Bar("refit and forecast, ms", max(median(past.forecast) for past in pasts), at_most=MOST_FORECAST),
            Bar("a day more, ms", max(median(past.update) for past in pasts), at_most=MOST_UPDATE),
            Bar(f"times slower after {MANY:,} entities than after {FEW:,}", growth, at_most=MOST_GROWTH),
        ),
    )


def row(past: Past) -> dict[str, str | float]:
    """One line of the table."""
    return {
        "entities before": float(past.entities),
        "a day more, ms": spread(past.update),
        f"refit and {HORIZON} steps, ms": spread(past.forecast),
    }


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of computing of a call."""
    start = time.thread_time()
    for _ in range(CALLS):
        call()
    return (time.thread_time() - start) / CALLS * 1000


def one_day(state: ConversionState, moves: Ints, types: Ints) -> ConversionState:
    """The state after one more day, without a forecast on the way."""
    none = np.zeros(0, dtype=np.int64)
    observed = np.ones(1, dtype=np.bool_)
    return advance(state, moves, types, observed=observed, origins=none, inflow=np.zeros((0, HORIZON)))[0]


def state_after(entities: int, *, generator: np.random.Generator) -> ConversionState:
    """The state after DAYS days in which so many entities came."""
    moves = random_moves(entities, days=DAYS, generator=generator)
    types, observed = np.arange(DAYS + HORIZON) % SEASON, np.ones(DAYS, dtype=np.bool_)
    none = np.zeros(0, dtype=np.int64)
    fresh = make_state(season_length=SEASON)
    return advance(fresh, moves, types, observed=observed, origins=none, inflow=np.zeros((0, HORIZON)))[0]


def random_moves(entities: int, *, days: int, generator: np.random.Generator) -> Ints:
    """Moves of entities that come evenly, half of them with a due day; half convert, a fifth leave."""
    never = np.iinfo(np.int32).min
    entered = generator.integers(0, days, entities)
    wait = generator.geometric(0.08, (2, entities))
    fate = generator.random(entities)
    converted = np.where(fate < 0.5, entered + wait[0], never).astype(np.int32)
    left = np.where(fate > 0.8, entered + wait[1], never).astype(np.int32)
    due = np.where(generator.random(entities) < 0.5, entered + wait[0] + 1, never).astype(np.int32)
    return moves_from_days(entered.astype(np.int32), converted, left[:, None], due, periods=days)
