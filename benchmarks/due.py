"""Due days: bookings for days that are sought alike or not, events among them, and those who come on their day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from benchmarks.oracle import inside
from benchmarks.report import Bar, Result
from models.baseline import weekday_mean
from models.calendar import Calendar
from models.engine import fit
from models.entities import NEVER
from models.forecast import QUANTILES
from models.history import Entities, History
from models.metrics import quantile_loss
from models.quantiles import settled

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HORIZON, START = 28, date(2023, 1, 2)
WEEK = np.array([1.1, 1.1, 1.0, 1.0, 0.9, 0.45, 0.4])
"""Of the days of entry."""
SEEDS = 4
SIZES: tuple[tuple[float, float], ...] = ((5.0, 7.0), (20.0, 21.0), (60.0, 10.0), (30.0, 40.0))
"""Bookings a day, and mean lead in days, an exponential of at most LONGEST."""
CUTOFFS, DAYS, LONGEST = (60, 120, 200, 320), 420, 200
SHOWS = 0.85
"""Share of bookings that come; the others do not show up on their day."""
DRAWS = 1000
Kind = Callable[[Ints, np.random.Generator], Array]
KINDS: dict[str, Kind] = {
    "alike": lambda day, _: np.ones(len(day)),
    "by weekday": lambda day, _: np.array([0.7, 0.6, 0.6, 0.8, 1.4, 1.7, 1.2])[day % 7],
    "Saturdays alone": lambda day, _: (day % 7 == 5).astype(np.float64),
    "from day to day, by 30 %": lambda day, generator: np.exp(generator.normal(0, 0.3, len(day))),
    "in a wave of 120 days": lambda day, _: 1 + 0.6 * np.sin(2 * np.pi * day / 120),
    "weekends of differing size": lambda day, generator: np.where(
        day % 7 >= 4, np.exp(generator.normal(0, 0.5, len(day))), 0.0
    ),
    "events, one day in seven": lambda day, generator: np.where(
        generator.random(len(day)) < 1 / 7, np.exp(generator.normal(0, 0.5, len(day))), 0.0
    ),
    "ends of months, 15 times": lambda day, _: np.where(
        np.array([(START + timedelta(days=int(each) + 1)).day == 1 for each in day]), 15.0, 1.0
    ),
}
"""How much due days are sought."""
MOST_ALIKE, MOST_SOUGHT = 1.1, 2.0


def run(*, seeds: int = SEEDS) -> Result:
    """Loss of those who come, beside the truth and a weekday mean."""
    rows = [row(name, sum(of_funnel(kind, seed=seed) for seed in range(seeds))) for name, kind in KINDS.items()]  # type: ignore[arg-type]
    alike, *others = (float(each["loss over the truth's"]) for each in rows)
    return Result(
        name="due",
        question=f"quantile loss of {HORIZON} steps of a due stage, by how due days are sought; {seeds} seeds",
        rows=tuple(rows),
        bars=(
            Bar("alike: over the truth's", alike, at_most=MOST_ALIKE),
            Bar(
                "others, geometric mean: over the truth's", float(np.exp(np.mean(np.log(others)))), at_most=MOST_SOUGHT
            ),
        ),
        notes=(
            "the truth: what is booked and what will be, by day, drawn; how much each day is sought is known",
            "a weekday mean: the product's fallback, of the four weeks before",
        ),
    )


def row(name: str, sums: Array) -> dict[str, str | float]:
    """One line of the table, of sums of losses (ours, the truth's, the weekday mean's), actuals held, and all."""
    ours, truth, simple, held, many = sums
    return {
        "due days sought": name,
        "loss over the truth's": float(ours / truth),
        "over a weekday mean's": float(ours / simple),
        "80 % held": float(held / many),
        "n": float(many),
    }


def of_funnel(kind: Kind, *, seed: int) -> Array:
    """Sums over the cutoffs of one funnel."""
    generator = np.random.default_rng(seed)
    level, lead = SIZES[seed % len(SIZES)]
    sought = kind(np.arange(DAYS + LONGEST), generator)
    chances = np.stack([_chance(sought, day, lead) for day in range(DAYS)])
    rates = level * WEEK[np.arange(DAYS) % 7]
    entered = np.repeat(np.arange(DAYS), generator.poisson(rates))
    due = entered + 1 + np.array([generator.choice(LONGEST, p=chances[day]) for day in entered])
    shows = generator.random(len(due)) < SHOWS
    sums = np.zeros(5)
    for end in CUTOFFS:
        here, ahead = entered < end, np.arange(end, end + HORIZON)
        booked = np.array([(due[here] == day).sum() for day in ahead])
        later = np.zeros(HORIZON)
        for step in range(HORIZON):
            later[step + 1 :] += rates[end + step] * chances[end + step][: HORIZON - step - 1]
        drawn = generator.binomial(booked, SHOWS, (DRAWS, HORIZON)) + generator.poisson(later * SHOWS, (DRAWS, HORIZON))
        came = np.array([((due == day) & shows).sum() for day in ahead]).astype(np.float64)
        truth = np.quantile(drawn, QUANTILES, axis=0).T
        sums += _measured(_history(entered, due, shows, end=end), truth, came)
    return sums


def _chance(sought: Array, day: int, lead: float) -> Array:
    """Of each lead from 1 on, of who books on that day."""
    weight = np.exp(-np.arange(1, LONGEST + 1) / lead) * sought[day + 1 : day + 1 + LONGEST]
    return np.asarray(weight / weight.sum())


def _history(entered: Ints, due: Ints, shows: npt.NDArray[np.bool_], *, end: int) -> History:
    """What is known at the end of day `end` - 1."""
    here = entered < end
    passed = due[here] < end
    came, missed = (np.where(passed & each, due[here], NEVER) for each in (shows[here], ~shows[here]))
    days = np.stack([entered[here], came, missed], axis=1).astype(np.int32)
    counts = np.stack([np.bincount(each[each != NEVER], minlength=end) for each in days.T[:2]]).astype(np.float64)
    nobody = np.zeros(len(days), dtype=np.int32)
    known = Entities(days, nobody, due[here].astype(np.int32), np.full(len(days), np.nan))
    return History(START, "day", (), ("booked", "came"), counts[None], entities=known, due_stage="came")


def _measured(history: History, truth: Array, came: Array) -> Array:
    made = fit(history, calendar=Calendar(), horizon=HORIZON, scored=False).forecasts[-1]
    mean, simple = weekday_mean(history.counts[0, -1:, -HORIZON:], horizon=HORIZON, season_length=7)
    losses = [float(quantile_loss(came, each).sum()) for each in (made.quantiles, truth, settled(mean, simple)[0])]
    return np.array([*losses, float(inside(came, made.quantiles, 0.1, 0.9).sum()), float(HORIZON)])
