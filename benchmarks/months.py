"""Months: forecasts of series with pay days, month ends and batches, with what the month tells and without."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from benchmarks.oracle import inside
from benchmarks.report import Bar, Result
from models.calendar import Calendar
from models.engine import fit
from models.history import History
from models.metrics import quantile_loss

Array = npt.NDArray[np.float64]

HORIZON, DAYS, START = 28, 900, date(2023, 1, 2)
CUTOFFS = (120, 250, 400, 700, 860)
"""Days of history at the cutoffs."""
MEANS, SEEDS = (4.0, 30.0, 300.0), 4
ALL_DAYS = (1.0,) * 7
ALL_WEEK, WORKING_WEEK = (1.1, 1.1, 1.0, 1.0, 0.9, 0.4, 0.3), (1.1, 1.1, 1.0, 1.0, 0.9, 0.02, 0.02)
DRIFT, SHAPE = 0.005, 12.0
"""Deviation of the level's logarithm from day to day; and shape of the gamma that days of every second seed vary by."""
MOST, MOST_WITHOUT = 1.0, 1.002


def last_working_day(day: date) -> bool:
    """Whether no later day of the month, up to it, is one of Monday to Friday."""
    later = [day + timedelta(days=number) for number in range(1, 4)]
    return day.weekday() < 5 and not any(each.weekday() < 5 and each.month == day.month for each in later)


PATTERNS: dict[str, tuple[tuple[float, ...], Callable[[date], float]]] = {
    "none": (ALL_WEEK, lambda _: 1.0),
    "the last day, 3 x": (ALL_WEEK, lambda day: 3.0 if (day + timedelta(days=1)).day == 1 else 1.0),
    "the first, 2 x": (ALL_WEEK, lambda day: 2.0 if day.day == 1 else 1.0),
    "the 25th and 26th, 1.8 x": (ALL_WEEK, lambda day: 1.8 if day.day in (25, 26) else 1.0),
    "rising to the end, 0.7 to 1.6 x": (ALL_WEEK, lambda day: 0.7 + 0.9 * (day.day / 30) ** 2),
    "the last working day, 4 x": (WORKING_WEEK, lambda day: 4.0 if last_working_day(day) else 1.0),
    "the 1st and 15th, 1.25 x": (ALL_WEEK, lambda day: 1.25 if day.day in (1, 15) else 1.0),
    "every second Friday, 1.8 x": (ALL_WEEK, lambda day: 1.8 if (day - START).days % 14 == 4 else 1.0),
    "all on the 1st and 15th": (ALL_DAYS, lambda day: 15.0 if day.day in (1, 15) else 0.0),
    "all on every second Friday": (ALL_DAYS, lambda day: 14.0 if (day - START).days % 14 == 4 else 0.0),
}


def run(*, seeds: int = SEEDS) -> Result:
    """Every pattern, at three levels and five ages."""
    rows = [measured(name, seeds=seeds) for name in PATTERNS]
    ratios = {str(row["pattern"]): float(row["ratio"]) for row in rows}
    return Result(
        name="months",
        question=f"quantile loss with what the month tells over without, {HORIZON} steps, {seeds} seeds",
        rows=tuple(rows),
        bars=(
            Bar("without any pattern", ratios.pop("none"), at_most=MOST_WITHOUT),
            Bar("the worst with one", max(ratios.values()), at_most=MOST),
        ),
        notes=(f"geometric mean over means of {MEANS} a day and {CUTOFFS} days of history",),
    )


def measured(name: str, *, seeds: int) -> dict[str, str | float]:
    """One line of the table."""
    week, pattern = PATTERNS[name]
    days = [START + timedelta(days=number) for number in range(DAYS)]
    shape = np.array([week[day.weekday()] * pattern(day) for day in days])
    logs, held = [], np.zeros((2, 2))
    for mean in MEANS:
        for seed in range(seeds):
            generator = np.random.default_rng([seed, int(mean)])
            rates = mean * shape * np.exp(np.cumsum(generator.normal(0, DRIFT, DAYS)))
            if seed % 2:
                rates *= generator.gamma(SHAPE, 1 / SHAPE, DAYS)
            counts = generator.poisson(rates).astype(np.float64)
            for cutoff in CUTOFFS:
                own = loss(counts, cutoff)
                with patch("models.monthly.make_state", return_value=None):
                    other = loss(counts, cutoff)
                logs.append(np.log(own[0] / other[0]))
                held += [own[1:], other[1:]]
    (with_it, without), (n, _) = held[:, 0], held[:, 1]
    return {
        "pattern": name,
        "ratio": float(np.exp(np.mean(logs))),
        "80 % held": float(with_it / n),
        "without": float(without / n),
        "n": float(n),
    }


def loss(counts: Array, cutoff: int) -> tuple[float, float, float]:
    """Summed quantile loss, actuals within the 80 % interval, and their number."""
    history = History(START, "day", (), ("won",), counts[None, None, :cutoff], counted=("won",))
    (forecast,) = fit(history, calendar=Calendar(), horizon=HORIZON, scored=False).forecasts
    actual = counts[cutoff : cutoff + HORIZON]
    within = inside(actual, forecast.quantiles, 0.1, 0.9).sum()
    return float(quantile_loss(actual, forecast.quantiles).sum()), float(within), float(len(actual))
