"""The forecast of one series: immutable, and checked once, when it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import InitVar, dataclass, field
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
Ints = npt.NDArray[np.int64]


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
    checked
        Whether `check_forecasts` has been asked already, of many at once.

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
    checked: InitVar[bool] = False

    def __post_init__(self, checked: bool) -> None:
        if not checked:
            self._check()
        for values in (self.mean, self.quantiles, self.in_flight, self.new):
            if values is not None:
                values.setflags(write=False)

    def _check(self) -> None:
        unknown = np.full(self.mean.shape, np.nan)
        check_forecasts(
            lambda _: name_of_forecast(self.segment, self.stage, self.cutoff),
            self.mean[None],
            self.quantiles[None],
            ceiling=np.array([self.ceiling]),
            reliable_until=np.array([self.reliable_until]),
            in_flight=(unknown if self.in_flight is None else self.in_flight)[None],
            new=(unknown if self.new is None else self.new)[None],
        )

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


def name_of_forecast(segment: str, stage: str, cutoff: date) -> str:
    """For messages."""
    return f"{segment}/{stage} at {cutoff}"


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


def check_forecasts(
    name: Callable[[int], str],
    mean: Array,
    quantiles: Array,
    *,
    ceiling: Array,
    reliable_until: Ints,
    in_flight: Array,
    new: Array,
) -> None:
    """Check n forecasts at once: a retrain makes thousands, and alone each would cost more in calls than in numbers.

    Raises ForecastError, with its name, for the first of which shapes do not fit, a number is not finite or below 0, or
    something crosses or explodes.

    Parameters
    ----------
    name
        Of the forecast at a place.
    mean, quantiles
        (n, horizon) and (n, horizon, len(QUANTILES)).
    ceiling, reliable_until
        (n,).
    in_flight, new
        (n, horizon); NaN where the parts are not told apart.
    """
    if mean.ndim != 2 or quantiles.shape != (*mean.shape, len(QUANTILES)):
        raise ForecastError(f"{name(0)}: mean {mean.shape[1:]} and quantiles {quantiles.shape[1:]} do not fit")
    horizon = mean.shape[1]
    # The extremes tell all that there is to tell, as a NaN is one of them.
    least = np.minimum(mean.min(axis=1, initial=0.0), quantiles.min(axis=(1, 2), initial=0.0))
    highest = mean.max(axis=1, initial=0.0)
    most = np.maximum(highest, quantiles.max(axis=(1, 2), initial=0.0))
    apart = np.isnan(in_flight) != np.isnan(new)
    with np.errstate(invalid="ignore"):  # what is not finite is told as that
        off = np.abs(in_flight + new - mean) > 1e-9 * np.maximum(1.0, highest)[:, None]
    faults = {
        "not finite": ~(np.isfinite(least) & np.isfinite(most)),
        "negative": least < 0,
        "quantiles cross": (quantiles[..., 1:] < quantiles[..., :-1]).any(axis=(1, 2)),
        "above its ceiling": np.maximum(highest, quantiles[..., MEDIAN].max(axis=1, initial=0.0)) > ceiling,
        "reliable_until is not a step": (reliable_until < 0) | (reliable_until > horizon),
        "in_flight and new come together": apart.any(axis=1),
        "negative part": ((in_flight < 0) | (new < 0)).any(axis=1),
        "in_flight + new is not the mean": off.any(axis=1),
    }
    for fault, found in faults.items():
        if found.any():
            place = int(np.argmax(found))
            raise ForecastError(
                f"{name(place)}: {fault} (up to {most[place]:g}, ceiling {ceiling[place]:g}, reliable until step "
                f"{reliable_until[place]} of {horizon})"
            )
