"""Changes: wild days at the end of a history that come back or stay, and a share of conversions that drifts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from benchmarks.oracle import inside
from benchmarks.report import Bar, Result
from models.baseline import weekday_mean
from models.calendar import Calendar
from models.engine import fit
from models.entities import NEVER
from models.forecast import Forecast
from models.history import Entities, History
from models.metrics import quantile_loss
from models.quantiles import SCORES, count_quantiles, settled

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HORIZON, START = 28, date(2023, 1, 2)
WEEK = np.array([1.1, 1.1, 1.0, 1.0, 0.9, 0.45, 0.4])
SEEDS = 6
MEANS, ENDS = (4.0, 40.0, 400.0), (150, 300, 500)
"""Counts a day, and days of history, of single series."""
WALK = 0.005
"""Deviation of the level's logarithm from day to day."""
WILD: dict[str, tuple[int, float]] = {
    "steady": (0, 1.0),
    "2 days x 3": (2, 3.0),
    "4 days x 3": (4, 3.0),
    "7 days x 3": (7, 3.0),
    "7 days x 10": (7, 10.0),
    "4 days of none": (4, 0.0),
    "7 days x 1/3": (7, 1 / 3),
}
"""Days at the end, and how many times as much came."""
LEVELS, CUTOFFS, DAYS = (8.0, 30.0, 120.0), (200, 260, 320, 380), 420
"""Entrants a day of simulated funnels, days of history at each cutoff, and days of all."""
MEDIAN, SPREAD = 6.0, 0.6
"""Of the days from lead to conversion, a log-normal."""
Shares = Callable[[Array], Array]
DRIFTS: dict[str, Shares] = {
    "share .4": lambda day: np.full(day.shape, 0.4),
    "share .6 to .3 in 200 days": lambda day: 0.6 * 0.5 ** np.clip((day - 160) / 200, 0, 1),
    "share .3 to .6 in 200 days": lambda day: 0.3 * 2.0 ** np.clip((day - 160) / 200, 0, 1),
    "share .5, from day 240 on .3": lambda day: np.where(day < 240, 0.5, 0.3),
}
"""Share of entrants that converts, by the day on which they entered."""
MOST_STEADY, MOST_DRIFT, MOST_WILD = 1.1, 1.4, 1.15
NOISE = np.array([[1.0, 0.0, 1.0, 1.0, 1.0]])
"""Spread of a Poisson number, see `quantiles.count_quantiles`."""


def run(*, seeds: int = SEEDS) -> Result:
    """Both tables as one: what is forecast after wild days, whatever they turn out to be, and of drifting shares."""
    rows, wild = [], []
    for name, (days, factor) in WILD.items():
        for stays in (False, True)[: 1 + (days > 0)]:
            found = [of_series(days, factor, stays=stays, seed=seed) for seed in range(seeds)]
            rows.append(row(f"{name}{' that stay' if stays else ' that come back' if days else ''}", found))
        if days > 0:
            wild.append(np.exp(np.mean(np.log([float(each["over a weekday mean's"]) for each in rows[-2:]]))))
    rows += [row(name, [of_funnel(share, seed=seed) for seed in range(seeds)]) for name, share in DRIFTS.items()]
    truth = {each["change"]: each["loss over the truth's"] for each in rows}
    steady, *drifts = [float(truth[name]) for name in DRIFTS]
    return Result(
        name="changes",
        question=f"quantile loss of {HORIZON} steps after a change, {seeds} seeds",
        rows=tuple(rows),
        bars=(
            Bar("steady: over the truth's", max(float(truth["steady"]), steady), at_most=MOST_STEADY),
            Bar("a drifting share, the worst: over the truth's", max(drifts), at_most=MOST_DRIFT),
            Bar("wild days, coming back or staying, the worst: over a weekday mean's", max(wild), at_most=MOST_WILD),
        ),
        notes=(
            "the truth: a Poisson number whose mean is known, and with it whether wild days come back",
            "a weekday mean: the product's fallback, of the four weeks before",
        ),
    )


def row(name: str, found: list[Array]) -> dict[str, str | float]:
    """One line of the table, of sums of losses (ours, the truth's, the weekday mean's), actuals held, and all."""
    ours, truth, simple, held, many = np.sum(found, axis=0)
    return {
        "change": name,
        "loss over the truth's": float(ours / truth) if truth > 0 else "-",
        "over a weekday mean's": float(ours / simple),
        "80 % held": float(held / many),
        "n": float(many),
    }


def of_series(days: int, factor: float, *, stays: bool, seed: int) -> Array:
    """Single counted series whose last days are wild; losses are relative to the mean, so that all levels count."""
    sums = np.zeros(5)
    for mean in MEANS:
        generator = np.random.default_rng([seed, int(mean)])
        last = max(ENDS) + HORIZON
        rates = mean * WEEK[np.arange(last) % 7] * np.exp(np.cumsum(generator.normal(0, WALK, last)))
        usual = generator.poisson(rates).astype(np.float64)
        for end in ENDS:
            true, counts = rates.copy(), usual.copy()
            wild = slice(end - days, None if stays else end)
            true[wild] *= factor
            counts[wild] = generator.poisson(true[wild])
            known = counts[None, None, :end]
            history = History(START, "day", (), ("won",), known, counted=("won",))
            ahead = slice(end, end + HORIZON)
            sums += measured(history, true[ahead], counts[ahead]) / np.array([mean, mean, mean, 1.0, 1.0])
    return sums


def of_funnel(share: Shares, *, seed: int) -> Array:
    """The last stage of funnels of two whose share of conversions is given, known by entities."""
    generator = np.random.default_rng(seed)
    level = LEVELS[seed % len(LEVELS)]
    entered = np.repeat(np.arange(DAYS), generator.poisson(level * WEEK[np.arange(DAYS) % 7]))
    wait = np.floor(np.exp(generator.normal(np.log(MEDIAN + 0.5), SPREAD, len(entered)))).astype(np.int64)
    converts = generator.random(len(entered)) < share(entered.astype(np.float64))
    converted = np.where(converts, entered + wait, NEVER)
    true = arriving(level * WEEK[np.arange(DAYS) % 7] * share(np.arange(DAYS, dtype=np.float64)))
    sums = np.zeros(5)
    for end in CUTOFFS:
        here = entered < end
        days = np.stack([entered[here], np.where(converted[here] < end, converted[here], NEVER)], axis=1)
        counts = np.stack([np.bincount(column[column != NEVER], minlength=end) for column in days.T]).astype(np.float64)
        none = np.full(here.sum(), NEVER, dtype=np.int32)
        nobody = np.zeros(here.sum(), dtype=np.int32)
        known = Entities(days.astype(np.int32), nobody, none, np.full(here.sum(), np.nan))
        history = History(START, "day", (), ("lead", "won"), counts[None], entities=known)
        came = np.bincount(converted[(converted >= end) & (converted < end + HORIZON)] - end, minlength=HORIZON)
        sums += measured(history, true[end : end + HORIZON], came.astype(np.float64))
    return sums


def arriving(entrants: Array) -> Array:
    """Mean conversions a day of those who enter and will convert."""
    normal = NormalDist(float(np.log(MEDIAN + 0.5)), SPREAD)
    below = np.array([0.0, *(normal.cdf(float(np.log(day))) for day in range(1, len(entrants) + 1))])
    return np.convolve(entrants, np.diff(below))[: len(entrants)]


def measured(history: History, true: Array, actual: Array) -> Array:
    """Losses of the last stage's forecast, of the truth and of the weekday mean, actuals held, and their number."""
    made: Forecast = fit(history, calendar=Calendar(), horizon=HORIZON, scored=False).forecasts[-1]
    truth = count_quantiles(true, np.zeros(HORIZON, dtype=np.int64), NOISE, SCORES)
    mean, simple = weekday_mean(history.counts[0, -1:, -HORIZON:], horizon=HORIZON, season_length=7)
    others = settled(np.stack([true, mean[0]]), np.stack([truth, simple[0]]))
    losses = [float(quantile_loss(actual, each).sum()) for each in (made.quantiles, *others)]
    return np.array([*losses, float(inside(actual, made.quantiles, 0.1, 0.9).sum()), float(len(actual))])
