"""Series and funnels whose last days depart from their forecast."""

from __future__ import annotations

from datetime import date

import numpy as np

from models import departure
from models.calendar import Calendar
from models.engine import fit
from models.forecast import QUANTILES, Forecast
from models.history import NEVER, Entities, History
from models.origins import make_origins

HORIZON, PERIODS, START = 28, 200, date(2023, 1, 2)
LOW, HIGH = QUANTILES.index(0.1), QUANTILES.index(0.9)
WEEK = np.array([1.1, 1.1, 1.0, 1.0, 0.9, 0.5, 0.4])
CLOSED = 40 * np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.01, 0.01])[np.arange(204 + HORIZON) % 7]
"""A week that rests at its end; 204 days end on a Monday."""


def shape(periods: int) -> np.ndarray:
    return WEEK[np.arange(periods) % 7]


def held(
    counts: np.ndarray, usual: np.ndarray, now: np.ndarray | None = None, *, cap: float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Forecast and doubts at the cutoff of a series of which `usual` (periods + HORIZON,) was always forecast, and
    `now` (HORIZON,) is at the cutoff; None: `usual` still.
    """
    periods = len(counts)
    origins = make_origins(0, periods=periods, horizon=HORIZON)
    state = departure.make_state(1, stages=1, horizon=HORIZON)
    departures = departure.Departures(state, counts[None, None], np.full((1, 1, 120), np.nan), origins=origins)
    mean = np.stack([usual[origin + 1 : origin + 1 + HORIZON] for origin in origins.every])
    mean[-1] = mean[-1] if now is None else now
    caps = np.full((1, len(origins.asked)), cap)
    made = departures.hold(0, mean[None], caps=caps, season_length=7)
    return made[0, -1], departures.doubts[0, 0, -1]


def chances(days: int, lift: float) -> np.ndarray:
    """That a departure of so many days still lasts, (HORIZON,)."""
    return days**2 / (days**2 + 2.0 * min(abs(np.log(lift)), 3.0) * np.arange(1, HORIZON + 1))


def noisy(usual: np.ndarray, *, seed: int = 0, periods: int = PERIODS) -> np.ndarray:
    return np.random.default_rng(seed).poisson(usual[:periods]).astype(np.float64)


def history(counts: np.ndarray, *, value: bool = False) -> History:
    money = 20.0 * counts if value else None
    known = counts[None, None]
    return History(
        START, "day", (), ("won",), known, value=None if money is None else money[None, None], counted=("won",)
    )


def forecast_of(counts: np.ndarray) -> Forecast:
    (made,) = fit(history(counts), calendar=Calendar(), horizon=HORIZON, scored=False).forecasts
    return made


def wild(days: int, factor: float, *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    usual = 60 * shape(PERIODS + HORIZON)
    counts = noisy(usual, seed=seed)
    counts[-days:] = np.random.default_rng(seed + 100).poisson(factor * usual[PERIODS - days : PERIODS])
    return counts, usual[PERIODS:]


def funnel(days: int, factor: float, *, entities: bool, stays: bool = True, periods: int = PERIODS) -> History:
    """Leads whose last days before PERIODS are wild, and those of them that are won about a week later."""
    generator = np.random.default_rng(5)
    rates = 60 * shape(periods)
    rates[PERIODS - days : None if stays else PERIODS] *= factor
    entered = np.repeat(np.arange(periods), generator.poisson(rates))
    won = np.where(generator.random(len(entered)) < 0.5, entered + 4 + generator.poisson(4, len(entered)), NEVER)
    known = np.stack([entered, np.where(won < periods, won, NEVER)], axis=1).astype(np.int32)
    counts = np.stack([np.bincount(each[each != NEVER], minlength=periods) for each in known.T]).astype(np.float64)
    if not entities:
        return History(START, "day", (), ("lead", "won"), counts[None], counted=("lead", "won"))
    none, nobody = np.full(len(known), NEVER, dtype=np.int32), np.zeros(len(known), dtype=np.int32)
    told = Entities(known, nobody, none, np.full(len(known), np.nan))
    return History(START, "day", (), ("lead", "won"), counts[None], entities=told)
