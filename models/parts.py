"""Intervals of in flight and new, the two parts of a forecast, from the interval of their sum.

The whole is a count with variance proportional to its mean at each step. A negative binomial falls apart into two
independent ones of the same ratio of variance to mean (Johnson, Kemp and Kotz, Univariate discrete distributions,
2005, section 5.12), so each part has the share of the variance that it has of the mean: its bounds lie sqrt(share)
times as far from its mean as those of the whole. Put together as independent parts, they make the whole's again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.forecast import Forecast

Array = npt.NDArray[np.float64]


def part_intervals(forecast: Forecast, level: int) -> tuple[tuple[Array, Array], tuple[Array, Array]] | None:
    """Lower and upper bounds of in flight, then of new, each (horizon,); None where they are not told apart.

    Raises HorizonError when `level` is not one of `forecast.LEVELS`.
    """
    lower, upper = forecast.interval(level)
    if forecast.in_flight is None or forecast.new is None:
        return None
    mean = forecast.mean
    bounds = []
    for part in (forecast.in_flight, forecast.new):
        root = np.sqrt(np.divide(part, mean, out=np.zeros_like(mean), where=mean > 0))
        bounds.append((np.maximum(part - (mean - lower) * root, 0.0), np.maximum(part + (upper - mean) * root, 0.0)))
    return bounds[0], bounds[1]
