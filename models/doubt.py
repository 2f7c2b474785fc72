"""Days of which it is not known whether they are a holiday: forecast as both, and mixed by what is believed.

A day that is a holiday or is none has two likely counts and little between them. Half of one and half of the other
is neither; a mixture of the two distributions says what is known, and costs half as much as a guess when either is as
likely: belief p of two points costs p (1 - p) of their distance in expected quantile loss, a guess min(p, 1 - p).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from models.calendar import HOLIDAY
from models.calibration import SeriesForecasts
from models.forecast import QUANTILES
from models.funnel import SEASON_LENGTH

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

LEAST = 0.1
"""Days that are believed to be the other kind by less than this are no matter of doubt."""
PROBABILITIES = np.array([0.0, *QUANTILES, 1.0])


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """The days to come as they are thought less likely to be.

    day_types: (horizon,). weight: (horizon,), belief in them where they differ from the likelier ones, 0 elsewhere.
    """

    day_types: Days
    weight: Array

    def note(self, cutoff: date) -> str:
        """The days in doubt and how far they are believed to be holidays, for people."""
        holiday = np.where(self.day_types == HOLIDAY, self.weight, 1 - self.weight)
        days = (
            f"{cutoff + timedelta(days=int(step) + 1)} ({holiday[step]:.0%})" for step in np.flatnonzero(self.weight)
        )
        return f"forecast as a holiday and as none, by the belief that it is one: {', '.join(days)}"


def make_doubt(day_types: Days, plain: Days, share: Array) -> Doubt | None:
    """The doubt there is about the days to come; None when there is none.

    Parameters
    ----------
    day_types, plain
        (horizon,), types as they are believed to be, and without any holiday.
    share
        (horizon,), belief that a day is a holiday.
    """
    taken = day_types == HOLIDAY
    weight = np.where(taken, 1 - share, share)
    weight = np.where(weight >= LEAST, weight, 0.0)
    if not weight.any():
        return None
    other = np.where(taken, plain, HOLIDAY)
    return Doubt(np.where(weight > 0, other, day_types).astype(np.int64), weight)


def mixed(likelier: SeriesForecasts, other: SeriesForecasts, weight: Array) -> SeriesForecasts:
    """Forecasts of the likelier days with those of the other ones mixed in, each day by its weight.

    In the week after a day in doubt its weight holds on: what a holiday left undone reaches later stages then.
    """
    steps = np.arange(len(weight))
    last = np.maximum.accumulate(np.where(weight > 0, steps, 0))
    weight = np.where(steps - last < SEASON_LENGTH["day"], weight[last], 0.0)
    quantiles = likelier.quantiles.copy()
    apart = (likelier.quantiles != other.quantiles).any(axis=2)
    for row in range(len(quantiles)):
        for step in np.flatnonzero(apart[row] & (weight > 0)):
            pair = likelier.quantiles[row, step], other.quantiles[row, step]
            quantiles[row, step] = mixture_quantiles(*pair, weight=float(weight[step]))
    return replace(
        likelier,
        mean=(1 - weight) * likelier.mean + weight * other.mean,
        in_flight=(1 - weight) * likelier.in_flight + weight * other.in_flight,
        quantiles=quantiles,
    )


def mixture_quantiles(first: Array, second: Array, *, weight: float) -> Array:
    """Quantiles of the mixture of two distributions that are known by theirs, linear between them.

    `first` and `second` are (len(QUANTILES),), >= 0 and ascending; `weight` is the second's, within 0..1.
    """
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return first
    one, two = _knots(first), _knots(second)
    values = np.unique(np.concatenate([one, two]))
    below = (1 - weight) * _probability(values, one) + weight * _probability(values, two)
    return np.asarray(np.maximum(np.interp(QUANTILES, below, values), 0.0))


def _knots(quantiles: Array) -> Array:
    """Values at PROBABILITIES, strictly ascending: the ends lie one more step out, a step of no width gets a little.

    It is taken from below, so that 0 is not above an actual of 0.
    """
    low = max(quantiles[0] - (quantiles[1] - quantiles[0]), 0.0)
    high = quantiles[-1] + (quantiles[-1] - quantiles[-2])
    knots = np.concatenate([[low], quantiles, [high]])
    return np.asarray(knots + 1e-9 * (1 + knots[-1]) * np.arange(1 - len(knots), 1))


def _probability(values: Array, knots: Array) -> Array:
    """Probability of no more than each value."""
    return np.asarray(np.interp(values, knots, PROBABILITIES))
