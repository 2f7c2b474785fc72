"""The forecast of one series: immutable, and checked once, when it is made."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from models.errors import ForecastError, HorizonError
from models.funnel import Frequency, Measure

QUANTILES: tuple[float, ...] = (0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.975)
"""Probabilities of the columns of `Forecast.quantiles`."""
MEDIAN = QUANTILES.index(0.5)
LEVELS: tuple[int, ...] = (20, 40, 60, 80, 95)
"""Central percents that `QUANTILES` hold."""
STEP_DAYS: dict[Frequency, int] = {"day": 1, "week": 7}

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Share of rolling-origin actuals inside the interval of a level, and of how many."""

    measured: float
    samples: int


@dataclass(frozen=True, slots=True)
class DeclaredEffect:
    """A declared day or range ahead, and the factor by which it multiplies a forecast.

    evidence: earlier periods of that name that the factor is learnt from; 0: none, and the factor is 1, as it is where
    so much is declared that it is taken for ordinary.
    """

    name: str
    start: date
    end: date
    factor: float
    evidence: int


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Mean and quantiles of one series at steps 1..horizon after the cutoff.

    Parameters
    ----------
    segment, stage
        The series.
    cutoff
        Last observed day (of a week: its last day), inclusive; step 1 is the one after it.
    model
        What answered; a fallback bears its own name.
    mean
        Shape (horizon,), counts.
    quantiles
        Shape (horizon, len(QUANTILES)), counts, ascending along the last axis.
    in_flight, new
        Shape (horizon,); the parts of `mean` from entities in the funnel at the cutoff and
        from those still to enter. None where the model does not tell them apart.
    reliable_until
        Last step at which the model beats seasonal naive in the backtest; 0: nowhere.
    ceiling
        No mean or median may be above it (explosion guard): a multiple of what history has seen.
    coverage
        By level: how often the backtest's intervals held the actual.
    repairs
        What cleaning did to this series, one sentence each.
    fallback_reason
        Why a fallback answered; None when none did.
    declared
        Declared days within the horizon that concern the series.
    value
        The same series in money: mean, quantiles, parts and ceiling are sums of `value` instead of counts. None where
        no row of the stage carries any.

    Raises
    ------
    ForecastError
        Naming the series and the invariant that does not hold.
    """

    segment: str
    stage: str
    cutoff: date
    model: str
    mean: Array
    quantiles: Array
    in_flight: Array | None = None
    new: Array | None = None
    reliable_until: int = 0
    frequency: Frequency = "day"
    ceiling: float = np.inf
    coverage: dict[int, Coverage] = field(default_factory=dict)
    repairs: tuple[str, ...] = ()
    fallback_reason: str | None = None
    value: Forecast | None = None
    declared: tuple[DeclaredEffect, ...] = ()

    def __post_init__(self) -> None:
        check_forecast(self)
        for values in (self.mean, self.quantiles, self.in_flight, self.new):
            if values is not None:
                values.setflags(write=False)

    @property
    def horizon(self) -> int:
        """Number of steps."""
        return len(self.mean)

    @property
    def dates(self) -> tuple[date, ...]:
        """Last day of each step, steps 1..horizon."""
        days = STEP_DAYS[self.frequency]
        return tuple(self.cutoff + timedelta(days=days * step) for step in range(1, self.horizon + 1))

    def interval(self, level: int) -> tuple[Array, Array]:
        """Lower and upper bound, each (horizon,), of the central `level` percent.

        Raises HorizonError when `level` is not one of LEVELS.
        """
        low, high = quantiles_of_level(level)
        return self.quantiles[:, QUANTILES.index(low)], self.quantiles[:, QUANTILES.index(high)]


def quantiles_of_level(level: int) -> tuple[float, float]:
    """The two probabilities that bound the central `level` percent, e.g. 80 -> (0.1, 0.9)."""
    if level not in LEVELS:
        raise HorizonError(f"level {level} is not served; choose from {list(LEVELS)}")
    low = round((1 - level / 100) / 2, 3)
    return low, round(1 - low, 3)


def forecasts_of(forecasts: Iterable[Forecast], measure: Measure) -> tuple[Forecast, ...]:
    """The forecasts themselves, or those of the value of what they count, without stages that carry none."""
    if measure == "count":
        return tuple(forecasts)
    return tuple(forecast.value for forecast in forecasts if forecast.value is not None)


def check_forecast(forecast: Forecast) -> None:
    """Raise ForecastError unless shapes fit, all is finite and >= 0, and nothing crosses or explodes."""
    name = f"{forecast.segment}/{forecast.stage} at {forecast.cutoff}"
    mean, quantiles = forecast.mean, forecast.quantiles
    if mean.ndim != 1 or quantiles.shape != (len(mean), len(QUANTILES)):
        raise ForecastError(f"{name}: mean {mean.shape} and quantiles {quantiles.shape} do not fit")
    # The extremes tell all that there is to tell, as a NaN is one of them: a retrain checks thousands.
    least = mean.min(initial=0.0), quantiles.min(initial=0.0)
    most = mean.max(initial=0.0), quantiles.max(initial=0.0)
    if not all(map(math.isfinite, least + most)):
        raise ForecastError(f"{name}: not finite")
    if min(least) < 0:
        raise ForecastError(f"{name}: negative")
    if (quantiles[:, 1:] < quantiles[:, :-1]).any():
        raise ForecastError(f"{name}: quantiles cross")
    if max(most[0], quantiles[:, MEDIAN].max(initial=0.0)) > forecast.ceiling:
        raise ForecastError(f"{name}: above its ceiling of {forecast.ceiling:g}")
    if not 0 <= forecast.reliable_until <= len(mean):
        raise ForecastError(f"{name}: reliable_until {forecast.reliable_until} is not a step")
    if (forecast.in_flight is None) != (forecast.new is None):
        raise ForecastError(f"{name}: in_flight and new come together")
    if forecast.in_flight is not None and forecast.new is not None:
        scale = 1e-9 * max(1.0, float(most[0]))
        if (forecast.in_flight < 0).any() or (forecast.new < 0).any():
            raise ForecastError(f"{name}: negative part")
        if np.abs(forecast.in_flight + forecast.new - mean).max(initial=0.0) > scale:
            raise ForecastError(f"{name}: in_flight + new is not the mean")
