"""A discounted level with a day-type profile: weekday means, for all series at once.

The level is a ratio of discounted sums, sum(y) / sum(profile), a Gamma-Poisson posterior mean with a flat
prior (West and Harrison, Bayesian Forecasting and Dynamic Models, 1997, section 10.8); near-zero weekends
need no transform, public holidays are a day type of their own, and a week of data is enough. When the level is seen to
have changed for good (`models.change`), what came before is forgotten at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from models.change import watch
from models.kernel import kernel
from models.smoothing import check_day_types
from models.weekday import FORMER, KNOWN, RUN, SINCE, doubted, make_places, moved, side_of

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

HALF_LIFE = 365.0
"""Half-life of the level, periods: it holds, since smoothing follows, and a lasting change is told apart."""
PROFILE_HALF_LIFE = 90.0
CLIP = 4.0
"""Counts beyond this many standard deviations above the level are clipped, once `SETTLED` were seen."""
SETTLED = 28
STEADY = 2.0
"""Where the level is so many times the mean that the profile is learnt from, or the reverse, no place is new."""


@dataclass(frozen=True, slots=True, eq=False)
class LevelState:
    """Discounted sums per series (n) and day type (k = season_length + 1).

    total, days: (n, k), sums of counts and of days. profile_total, profile_days: (n, k), and profile, the factors
    as of the last observation.
    dispersion, seen: (n,), running variance over mean, and number of observations.
    cusum: (n, 2), and since: (n, 2, 2, k), see `models.change.watch`. places: see `models.weekday.make_places`, of the
    four sums.
    """

    total: Array
    days: Array
    profile_total: Array
    profile_days: Array
    profile: Array
    dispersion: Array
    seen: Array
    cusum: Array
    since: Array
    places: Array

    def copy(self) -> LevelState:
        """Own arrays, so that an append leaves the original as it was."""
        return replace(self, **{field.name: getattr(self, field.name).copy() for field in fields(self)})


def make_state(series: int, *, season_length: int) -> LevelState:
    """Return the state before the first observation."""
    kinds = season_length + 1
    return LevelState(
        total=np.zeros((series, kinds)),
        days=np.zeros((series, kinds)),
        profile_total=np.zeros((series, kinds)),
        profile_days=np.zeros((series, kinds)),
        profile=np.ones((series, kinds)),
        dispersion=np.zeros(series),
        seen=np.zeros(series),
        cusum=np.zeros((series, 2)),
        since=np.zeros((series, 2, 2, kinds)),
        places=make_places(series, sums=4, season_length=season_length),
    )


def advance(
    state: LevelState, counts: Array, day_types: Days, *, origins: Days, horizon: int
) -> tuple[LevelState, Array]:
    """Run new counts through the level.

    `counts` is (series, periods), NaN where missing; `day_types` and `origins` as in `smoothing.advance`.
    Returns the new state and the forecasts, (series, origins, horizon); NaN before the first count.
    """
    check_day_types(day_types, periods=counts.shape[1], horizon=horizon, season_length=state.profile_days.shape[1] - 1)
    state = state.copy()
    forecasts = np.full((len(counts), len(origins), horizon), np.nan)
    _advance(
        state.total,
        state.days,
        state.profile_total,
        state.profile_days,
        state.profile,
        state.dispersion,
        state.seen,
        state.cusum,
        state.since,
        state.places,
        np.ascontiguousarray(counts),
        np.ascontiguousarray(day_types, dtype=np.int64),
        np.ascontiguousarray(origins, dtype=np.int64),
        forecasts,
    )
    return state, forecasts


@kernel
def _advance(  # noqa: C901, PLR0913, PLR0917 - one pass over time, in one place for the compiler
    total: Array,
    days: Array,
    profile_total: Array,
    profile_days: Array,
    profiles: Array,
    dispersion: Array,
    seen: Array,
    cusum: Array,
    since: Array,
    places: Array,
    y: Array,
    types: Days,
    origins: Days,
    out: Array,
) -> None:
    decay, profile_decay = 0.5 ** (1.0 / HALF_LIFE), 0.5 ** (1.0 / PROFILE_HALF_LIFE)
    kinds = profile_days.shape[1]
    for i in range(y.shape[0]):
        profile = profiles[i]
        at = 0
        for t in range(-1, y.shape[1]):  # -1: from the state as it is
            if t >= 0:
                for k in range(kinds):
                    total[i, k] *= decay
                    days[i, k] *= decay
                    profile_total[i, k] *= profile_decay
                    profile_days[i, k] *= profile_decay
                if not np.isnan(y[i, t]):
                    kind = types[t]
                    count = y[i, t]
                    mean = _level(total[i], days[i], profile) * profile[kind]
                    error = (count - mean) / np.sqrt(max(dispersion[i], 1.0) * (mean + 0.5))
                    suspected, shifted = cusum[i].max() > 0.0, False
                    if seen[i] >= SETTLED and kind < kinds - 1:
                        sums = (total[i], days[i], profile_total[i], profile_days[i])
                        shifted = _shift(places[i], sums, kind, count, mean, profile, dispersion[i])
                        suspected = suspected or doubted(places[i], kind)
                    if seen[i] >= kinds - 1 and not shifted:
                        count = _clip(count, mean, dispersion, i, seen[i], kinds, suspected)
                    total[i, kind] += count
                    days[i, kind] += 1
                    if seen[i] >= SETTLED and kind < kinds - 1:
                        changed = watch(cusum[i], since[i], error, kind, y[i, t])
                        if changed >= 0:
                            total[i], days[i] = since[i, changed, 0], since[i, changed, 1]
                            since[i] = 0.0
                            places[i, RUN] = 0.0
                    profile_total[i, kind] += count
                    profile_days[i, kind] += 1
                    seen[i] += 1
                    _profile(profile_total[i], profile_days[i], profile)
            while at < origins.size and origins[at] == t:
                if seen[i] > 0:
                    level = _level(total[i], days[i], profile)
                    for h in range(out.shape[2]):
                        out[i, at, h] = level * profile[types[t + 1 + h]]
                at += 1


@kernel
def _shift(
    places: Array,
    sums: tuple[Array, Array, Array, Array],
    kind: int,
    count: float,
    mean: float,
    profile: Array,
    dispersion: float,
) -> bool:
    """Whether this day's weekday has another place in the week, where its sums are then."""
    side, level, ordinary = (
        side_of(count, mean, dispersion),
        _level(sums[0], sums[1], profile),
        _ordinary(sums[2], sums[3]),
    )
    back = False
    if max(level, ordinary) >= STEADY * min(level, ordinary):
        places[RUN] = 0.0  # the level is elsewhere than what its profile is learnt from
        return False
    if side != 0.0 and places[SINCE, kind] < KNOWN:
        factor = _factor(places[FORMER + 2, kind], places[FORMER + 3, kind], ordinary)
        back = side_of(count, level * factor, dispersion) == 0.0
    shifted = moved(places, sums, kind, count / level, 1.0, side, back, False)
    if shifted and not back:  # what came is kept in shares of the level, which may have changed meanwhile
        sums[0][kind] *= level
        sums[2][kind] *= ordinary
    return bool(shifted)


@kernel
def _clip(count: float, mean: float, dispersion: Array, i: int, seen: float, kinds: int, doubted: bool) -> float:
    """Return the count, clipped if it is far above what its day promised; learn the dispersion.

    While a change is suspected nothing is learnt: it would pass for noise, and hide itself.
    """
    ratio = (count - mean) ** 2 / (mean + 0.5)
    if seen < SETTLED:
        dispersion[i] += (ratio - dispersion[i]) / (seen - kinds + 2)
        return count
    bound = CLIP * CLIP * max(dispersion[i], 1.0)  # a count is at least as noisy as Poisson's
    if not doubted:
        dispersion[i] += 0.03 * (min(ratio, bound) - dispersion[i])
    return float(min(count, mean + np.sqrt(bound * (mean + 0.5))))


@kernel
def _level(total: Array, days: Array, profile: Array) -> float:
    """Counts over the days, each weighed by its factor."""
    seen, weighed = 0.0, 0.0
    for k in range(total.size):
        seen += total[k]
        weighed += days[k] * profile[k]
    return float(seen / max(weighed, 1e-9))


@kernel
def _profile(total: Array, days: Array, profile: Array) -> None:
    """Set each day type's factor against the mean of the ordinary ones; a holiday starts from the last weekday's."""
    last = total.size - 1
    mean = _ordinary(total, days)
    if mean > 0:
        for k in range(last):
            profile[k] = _factor(total[k], days[k], mean)
        profile[last] = (total[last] / mean + 2 * profile[last - 1]) / (days[last] + 2)
    else:
        profile[:] = 1.0


@kernel
def _ordinary(total: Array, days: Array) -> float:
    """Mean of the ordinary days."""
    seen = days[:-1].sum()
    return float(total[:-1].sum() / seen) if seen > 0 else 0.0


@kernel
def _factor(total: float, days: float, mean: float) -> float:
    """A weekday's counts against the mean, held near 1 while it has few."""
    return float((total / mean + 0.3) / (days + 0.3))
