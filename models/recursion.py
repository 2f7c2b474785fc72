"""One period of additive damped exponential smoothing, for all points of a grid at once, in place.

(A,Ad,A) in error-correction form: Hyndman, Koehler, Ord and Snyder, Forecasting with Exponential Smoothing (2008),
table 2.2. `models.smoothing` runs series through it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

Array = npt.NDArray[np.float64]

HALF_LIFE = 30.0
"""Half-life of the squared errors that rank the grid, periods."""
LOOK_AHEAD = 7
"""Step of the second error that ranks the grid."""
CLIP = 3.0
"""Innovations beyond this many standard deviations are clipped, once `SETTLED` periods were seen."""
SETTLED = 28
LEAST_DEVIATION = 0.1
"""The deviation behind CLIP is at least this, so that a quiet past does not blind the filter to a change."""


@kernel
def by_parameter(grid: Array) -> Array:
    """Rows alpha, beta, gamma, phi and the sum of phi^1 .. phi^LOOK_AHEAD, (5, points): loops run along the points."""
    parameters = np.empty((5, grid.shape[0]))
    for p in range(grid.shape[0]):
        parameters[:4, p] = grid[p]
        phi = grid[p, 3]
        parameters[4, p] = LOOK_AHEAD if phi == 1.0 else phi * (1 - phi**LOOK_AHEAD) / (1 - phi)
    return parameters


@kernel
def open_season(level: Array, season: Array, count: Array, opening: Array, kind: int, y: float, seen: float) -> None:
    """Take level and half the profile from the first season: no state has to be estimated."""
    opening[kind] = y
    total = y
    days = 1.0
    for k in range(opening.size):
        if k != kind and count[k] > 0:
            total += opening[k]
            days += 1
    level[:] = total / days
    if seen + 1 == opening.size and opening.size > 1:
        for k in range(opening.size):
            if count[k] > 0 or k == kind:
                season[k] = 0.5 * (opening[k] - total / days)


@kernel
def lose(loss: Array, level: Array, trend: Array, parameters: Array, due: Array, seasonless: Array) -> None:
    """Discount the losses and add the errors of the forecasts made one and LOOK_AHEAD steps ago."""
    decay = 0.5 ** (1.0 / HALF_LIFE)
    known = 0.0 if np.isnan(due[0]) else 0.5
    for p in range(loss.size):
        error = seasonless[p] - (level[p] + parameters[3, p] * trend[p])
        earlier = seasonless[p] - due[p] if known > 0 else 0.0
        loss[p] = loss[p] * decay + error * error + known * earlier * earlier


@kernel
def bound(
    seasonless: Array, level: Array, trend: Array, variance: Array, parameters: Array, seen: float, settled: bool
) -> float:
    """Turn `seasonless` into innovations, clipped once settled, in place, and learn their variance.

    Returns 1 where most points were clipped from above, -1 from below, else 0.
    """
    clipped = 0
    for p in range(level.size):
        error = seasonless[p] - (level[p] + parameters[3, p] * trend[p])
        if settled:
            bound = CLIP * max(np.sqrt(variance[p]), LEAST_DEVIATION)
            clipped += int(error > bound) - int(error < -bound)
            error = min(max(error, -bound), bound)
        seasonless[p] = error
    rate = 0.03 if settled else 1.0 / max(1.0, seen + 1.0)
    for p in range(level.size):
        variance[p] += rate * (seasonless[p] * seasonless[p] - variance[p])
    return float(np.sign(clipped)) if 2 * abs(clipped) > level.size else 0.0


@kernel
def fits(place: float, value: float, level: Array, trend: Array, variance: Array, parameters: Array) -> bool:
    """Whether most points would not have to clip this value if its weekday were at `place`; not if that is NaN."""
    within = 0
    for p in range(level.size):
        error = value - place - (level[p] + parameters[3, p] * trend[p])
        within += abs(error) <= CLIP * max(np.sqrt(variance[p]), LEAST_DEVIATION)
    return 2 * within > level.size


@kernel
def replace_season(
    season: Array, place: float, error: Array, value: float, level: Array, trend: Array, parameters: Array
) -> None:
    """Put a weekday's profile at `place`, or, where that is NaN, at the value itself, and the innovation with it."""
    for p in range(season.size):
        seasonless = value - (level[p] + parameters[3, p] * trend[p])
        season[p] = seasonless if np.isnan(place) else place
        error[p] = seasonless - season[p]


@kernel
def learn(
    error: Array,
    level: Array,
    trend: Array,
    season: Array,
    kind: int,
    parameters: Array,
    opening_gain: float,
    season_gain: float,
) -> None:
    """Correct level, trend and the profile of this weekday by the innovation; without a season `season_gain` < 0."""
    for p in range(level.size):
        level[p] += parameters[3, p] * trend[p] + max(parameters[0, p], opening_gain) * error[p]
        trend[p] = parameters[3, p] * trend[p] + parameters[1, p] * error[p]
    if season_gain >= 0:
        for p in range(level.size):
            season[kind, p] += max(parameters[2, p], season_gain) * error[p]


@kernel
def pass_by(level: Array, trend: Array, parameters: Array) -> None:
    """Let a period go by that teaches nothing."""
    for p in range(level.size):
        trend[p] *= parameters[3, p]
        level[p] += trend[p]
