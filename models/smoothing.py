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

from models.kernel import kernel

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

HALF_LIFE = 45.0
"""Half-life of the squared errors that rank the grid, periods."""
BEST = 6
"""Number of grid points averaged."""
LOOK_AHEAD = 7
"""Step of the second error that ranks the grid."""
CLIP = 3.0
"""Innovations beyond this many standard deviations are clipped, once `SETTLED` periods were seen."""
SETTLED = 28
LEAST_DEVIATION = 0.1
"""The deviation behind CLIP is at least this, so that a quiet past does not blind the filter to a change."""


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

    level, trend, variance, loss: (n, p). season: (n, p, season_length). ahead: (n, LOOK_AHEAD, p), the
    seasonless forecasts LOOK_AHEAD steps ahead made on the last days. count: (n, season_length), observations
    of each weekday. seen: (n,), observations; opening: (n, season_length), the first season's values.
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
        season=np.zeros((series, points, season_length)),
        ahead=np.full((series, LOOK_AHEAD, points), np.nan),
        count=np.zeros((series, season_length)),
        seen=np.zeros(series),
        opening=np.zeros((series, season_length)),
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
    z: Array,
    types: Days,
    grid: Array,
    origins: Days,
    caps: Array,
    out: Array,
) -> None:
    decay = 0.5 ** (1.0 / HALF_LIFE)
    length = count.shape[1]
    damped = np.empty(grid.shape[0])
    for p in range(grid.shape[0]):
        phi = grid[p, 3]
        damped[p] = LOOK_AHEAD if phi == 1.0 else phi * (1 - phi**LOOK_AHEAD) / (1 - phi)
    for i in range(z.shape[0]):
        at = 0
        for t in range(z.shape[1]):
            kind = types[t] if length > 1 else 0
            taught = not np.isnan(z[i, t]) and kind < length
            due = ahead[i, 0].copy()
            ahead[i, :-1] = ahead[i, 1:]
            if seen[i] < length:
                if taught:
                    _open(level[i], season[i], count[i], opening[i], kind, z[i, t], seen[i])
                ahead[i, -1] = level[i]
            else:
                _step(
                    level[i], trend[i], variance[i], loss[i], season[i], due, ahead[i, -1],
                    grid, damped, decay, z[i, t], kind, taught, seen[i], count[i, min(kind, length - 1)],
                )  # fmt: skip
            if taught:
                count[i, kind] += 1
                seen[i] += 1
            while at < origins.size and origins[at] == t:
                if seen[i] >= length:
                    _forecast(level[i], trend[i], season[i], loss[i], grid, types, t, caps[i, at], out[i, at])
                at += 1


@kernel
def _open(level: Array, season: Array, count: Array, opening: Array, kind: int, y: float, seen: float) -> None:
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
                season[:, k] = 0.5 * (opening[k] - total / days)


@kernel
def _step(  # noqa: PLR0913, PLR0917 - the state of one series, spread out for the compiler
    level: Array,
    trend: Array,
    variance: Array,
    loss: Array,
    season: Array,
    due: Array,
    ahead: Array,
    grid: Array,
    damped: Array,
    decay: float,
    y: float,
    kind: int,
    taught: bool,
    seen: float,
    count: float,
) -> None:
    """Advance all grid points by one period: `due` was forecast for it, `ahead` is the forecast made now."""
    opening_gain = 1.0 / (seen + 1.0) if seen < SETTLED else 0.0
    season_gain = 1.0 / (count + 1.0)
    for p in range(grid.shape[0]):
        alpha, beta, gamma, phi = grid[p, 0], grid[p, 1], grid[p, 2], grid[p, 3]
        base = level[p] + phi * trend[p]
        trend[p] *= phi
        level[p] = base
        if taught:
            profile = season[p, kind]
            error = y - base - profile
            lost = error * error
            earlier = y - due[p] - profile
            if not np.isnan(earlier):
                lost += 0.5 * earlier * earlier
            loss[p] = loss[p] * decay + lost
            if seen > SETTLED:
                bound = CLIP * max(np.sqrt(variance[p]), LEAST_DEVIATION)
                error = min(max(error, -bound), bound)
                variance[p] += 0.03 * (error * error - variance[p])
            else:
                variance[p] += (error * error - variance[p]) / max(1.0, seen - season.shape[1] + 1.0)
            level[p] = base + max(alpha, opening_gain) * error
            trend[p] += beta * error
            if season.shape[1] > 1:
                season[p, kind] = profile + max(gamma, season_gain) * error
        ahead[p] = level[p] + trend[p] * damped[p]


@kernel
def _forecast(  # noqa: PLR0913, PLR0917 - as above
    level: Array, trend: Array, season: Array, loss: Array, grid: Array, types: Days, t: int, cap: float, out: Array
) -> None:
    """Average the forecasts of the BEST points of the grid."""
    length = season.shape[1]
    best = _smallest(loss, min(BEST, loss.size))
    out[:] = 0.0
    for p in best:
        slope, where = trend[p], level[p]
        for h in range(out.size):
            slope *= grid[p, 3]
            where += slope
            kind = min(types[t + 1 + h], length - 1) if length > 1 else 0
            out[h] += min(where + season[p, kind], cap) / best.size


@kernel
def _smallest(values: Array, many: int) -> Days:
    """Indices of the `many` smallest values, ascending; far cheaper than sorting them all."""
    chosen = np.empty(many, dtype=np.int64)
    held = 0
    for p in range(values.size):
        if held < many or values[p] < values[chosen[held - 1]]:
            place = held if held < many else many - 1
            while place > 0 and values[chosen[place - 1]] > values[p]:
                chosen[place] = chosen[place - 1]
                place -= 1
            chosen[place] = p
            held = min(held + 1, many)
    return chosen
