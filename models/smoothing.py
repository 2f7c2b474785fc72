"""Additive damped exponential smoothing of all series at once, over a fixed grid of parameters.

Every series runs through every point of `GRID` in one causal pass, and the points with the smallest
discounted 1- and 7-step errors are averaged. Nothing is optimised, so a fit cannot fail to converge, an
append is exactly a longer fit, and the forecasts of all earlier origins come out of the same pass.

Recursion: (A,Ad,A) in error-correction form, Hyndman, Koehler, Ord and Snyder, Forecasting with Exponential
Smoothing (2008), table 2.2. Averaging the best of a grid replaces the maximum of a likelihood; the
measurements behind this choice are in docs/decisions.md.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from models.extrapolation import extrapolate
from models.kernel import kernel
from models.recursion import (
    LOOK_AHEAD,
    SETTLED,
    bound,
    by_parameter,
    fits,
    learn,
    lose,
    open_season,
    pass_by,
    replace_season,
)
from models.weekday import KNOWN, WEEKS, recurs

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]


def make_grid(alphas: tuple[float, ...], gammas: tuple[float, ...], trends: tuple[tuple[float, float], ...]) -> Array:
    """Points (alpha, beta, gamma, phi), shape (points, 4); `trends` are (beta / alpha, phi), (0, 1): no trend."""
    return np.array(
        [(alpha, alpha * share, gamma, phi) for alpha, gamma, (share, phi) in itertools.product(alphas, gammas, trends)]
    )


GRID = make_grid(
    (0.05, 0.2, 0.6),
    (0.05, 0.15),
    ((0.0, 1.0), (0.1, 0.9), (0.2, 0.97), (0.3, 0.99)),
)


@dataclass(frozen=True, slots=True, eq=False)
class SmoothingState:
    """What the past leaves behind, per series (n) and grid point (p); float64, no references to the data.

    level, trend, variance, loss: (n, p). season: (n, season_length, p). ahead: (n, LOOK_AHEAD, p), the
    seasonless forecasts LOOK_AHEAD steps ahead made on the last days. count: (n, season_length), observations
    of each weekday since it last changed. seen: (n,), observations; opening: (n, season_length), the first season's
    values. runs: (n, season_length), see `models.weekday.recurs`. former: (n, season_length), the profile before the
    last change, by the mean of the points; NaN without one.
    """

    level: Array
    trend: Array
    variance: Array
    loss: Array
    season: Array
    ahead: Array
    count: Array
    seen: Array
    opening: Array
    runs: Array
    former: Array

    def copy(self) -> SmoothingState:
        """Own arrays, so that an append leaves the original as it was."""
        return replace(self, **{field.name: getattr(self, field.name).copy() for field in fields(self)})


def make_state(series: int, *, season_length: int, grid: Array = GRID) -> SmoothingState:
    """Return the state before the first observation."""
    points = len(grid)
    flat = (series, points)
    return SmoothingState(
        level=np.zeros(flat),
        trend=np.zeros(flat),
        variance=np.zeros(flat),
        loss=np.zeros(flat),
        season=np.zeros((series, season_length, points)),
        ahead=np.full((series, LOOK_AHEAD, points), np.nan),
        count=np.zeros((series, season_length)),
        seen=np.zeros(series),
        opening=np.zeros((series, season_length)),
        runs=np.zeros((series, season_length)),
        former=np.full((series, season_length), np.nan),
    )


def advance(
    state: SmoothingState,
    z: Array,
    day_types: Days,
    *,
    origins: Days,
    horizon: int,
    caps: Array,
    grid: Array = GRID,
) -> tuple[SmoothingState, Array]:
    """Run new observations through the grid.

    Parameters
    ----------
    state
        Of the periods before; not changed.
    z
        New observations on the scale they are smoothed on, (series, periods), NaN where missing.
    day_types
        (at least periods + horizon,), from the first new period on: 0 .. season_length - 1, or season_length
        for a special day, which teaches nothing about its weekday and is forecast like the last one (Sunday).
    origins
        Ascending indices of new periods after which to forecast `horizon` steps.
    caps
        (series, origins): no forecast is above it, on the scale of `z`.

    Returns
    -------
    The new state and the forecasts, (series, origins, horizon); NaN before the first full season.
    """
    check_day_types(day_types, periods=z.shape[1], horizon=horizon, season_length=state.count.shape[1])
    state = state.copy()
    forecasts = np.full((len(z), len(origins), horizon), np.nan)
    _advance(
        state.level,
        state.trend,
        state.variance,
        state.loss,
        state.season,
        state.ahead,
        state.count,
        state.seen,
        state.opening,
        state.runs,
        state.former,
        np.ascontiguousarray(z),
        np.ascontiguousarray(day_types, dtype=np.int64),
        grid,
        np.ascontiguousarray(origins, dtype=np.int64),
        caps,
        forecasts,
    )
    return state, forecasts


def check_day_types(day_types: Days, *, periods: int, horizon: int, season_length: int) -> None:
    """Raise ValueError unless every period and every step has a type that the kernels know."""
    if len(day_types) < periods + horizon:
        raise ValueError(f"{len(day_types)} day types do not reach over {periods} periods and {horizon} steps")
    if len(day_types) and not 0 <= day_types.min() <= day_types.max() <= season_length:
        raise ValueError(f"day types must lie within 0..{season_length}")


@kernel
def _advance(  # noqa: PLR0913, PLR0917 - one pass over time, in one place for the compiler
    level: Array,
    trend: Array,
    variance: Array,
    loss: Array,
    season: Array,
    ahead: Array,
    count: Array,
    seen: Array,
    opening: Array,
    runs: Array,
    former: Array,
    z: Array,
    types: Days,
    grid: Array,
    origins: Days,
    caps: Array,
    out: Array,
) -> None:
    length, points = count.shape[1], grid.shape[0]
    parameters = by_parameter(grid)
    due, error = np.empty(points), np.empty(points)
    for i in range(z.shape[0]):
        levels, trends, variances, losses, seasons, later = (
            level[i],
            trend[i],
            variance[i],
            loss[i],
            season[i],
            ahead[i],
        )
        at = 0
        for t in range(-1, z.shape[1]):  # -1: from the state as it is
            if t >= 0:
                kind = types[t] if length > 1 else 0
                taught = not np.isnan(z[i, t]) and kind < length
                _move_on(later, due)
                if seen[i] < length:
                    if taught:
                        open_season(levels, seasons, count[i], opening[i], kind, z[i, t], seen[i])
                elif taught:
                    for p in range(points):
                        error[p] = z[i, t] - seasons[kind, p]
                    lose(losses, levels, trends, parameters, due, error)
                    side = bound(error, levels, trends, variances, parameters, seen[i] - length, seen[i] > SETTLED)
                    _watch(
                        seasons[kind],
                        error,
                        runs[i],
                        former[i],
                        count[i],
                        kind,
                        side,
                        z[i, t],
                        levels,
                        trends,
                        variances,
                        parameters,
                    )
                    opening_gain = 1.0 / (seen[i] + 1.0) if seen[i] < SETTLED else 0.0
                    season_gain = 1.0 / (count[i, kind] + 1.0) if length > 1 else -1.0
                    learn(error, levels, trends, seasons, kind, parameters, opening_gain, season_gain)
                else:
                    pass_by(levels, trends, parameters)
                for p in range(points):
                    later[LOOK_AHEAD - 1, p] = levels[p] + trends[p] * parameters[4, p]
                if taught:
                    count[i, kind] += 1
                    seen[i] += 1
            while at < origins.size and origins[at] == t:
                if seen[i] >= length:
                    extrapolate(levels, trends, seasons, losses, grid, types, t, seen[i], caps[i, at], out[i, at])
                at += 1


@kernel
def _watch(  # noqa: PLR0913, PLR0917 - as above
    season: Array,
    error: Array,
    runs: Array,
    former: Array,
    count: Array,
    kind: int,
    side: float,
    value: float,
    level: Array,
    trend: Array,
    variance: Array,
    parameters: Array,
) -> None:
    """Where a weekday has another place in the week, put its profile there, and the innovation with it; in place."""
    back = side != 0.0 and count[kind] < KNOWN and fits(former[kind], value, level, trend, variance, parameters)
    if recurs(runs, kind, side, False) or back:
        place, was = former[kind] if back else np.nan, season.mean()
        replace_season(season, place, error, value, level, trend, parameters)
        if back:
            runs[kind] = 0.0
        else:
            count[kind] = 0.0
        if abs(runs[kind]) <= WEEKS:  # else the change goes on, and what was before it is known
            former[kind] = was


@kernel
def _move_on(ahead: Array, due: Array) -> None:
    """A period passes: what was said of it LOOK_AHEAD periods ago is due now."""
    for p in range(due.size):
        due[p] = ahead[0, p]
    for step in range(LOOK_AHEAD - 1):
        for p in range(due.size):
            ahead[step, p] = ahead[step + 1, p]
