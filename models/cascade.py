"""The cascade: each stage is forecast from the forecast of the stage before it and from what waits between them.

At every rolling origin, from the top of the funnel down, the combined forecast of a stage is the inflow of the next
transition (`models.conversion` where entities are known, `models.lag` where only counts are), whose outcome is
combined with the univariate forecast of that stage into the inflow of the one after it. So weights and intervals
are learnt from forecasts that could have been made, errors of the inflow included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models import conversion, lag
from models.combination import bucket_of_steps, combine
from models.spells import AGE, CONVERTED
from models.univariate import Rolling, SeriesForecasts, lengths_of, quantiles_of, roll

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RIDGE = 1.0
"""Pull towards the starting weights, see `combination.combine`; five times that among univariate experts."""
HALF_LIFE = 730.0
"""Half-life of the evidence for and against the cascade, periods."""
SAME_PERIOD, DELAYED = 0.3, 0.95
"""Prior weight of the cascade, from transitions within one period to those that all take longer."""
LEAST_OBSERVED = 14
"""With fewer observed periods at either stage a transition is left to the univariate forecast."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Funnels to forecast side by side; each is the same stages of another segment (or of the total).

    counts: (funnels, stages, periods), NaN where missing. moves: per funnel and transition, see
    `spells.moves_from_days`; None where a stage came as counts. day_types: (periods + horizon,).
    """

    counts: Array
    moves: Sequence[Sequence[Ints | None]]
    day_types: Ints
    start_day: int
    season_length: int

    @property
    def periods(self) -> int:
        """Number of periods up to the cutoff."""
        return int(self.counts.shape[2])


@dataclass(frozen=True, slots=True, eq=False)
class Promise:
    """What a transition promises: conversions at every origin, (origins, horizon), and the share of those at the
    cutoff that comes from entities already in the funnel, (horizon,). prior: weight without evidence.
    """

    mean: Array
    in_flight_share: Array
    prior: float


def until(panel: Panel, *, periods: int, day_types: Ints) -> Panel:
    """The panel as it was known after so many periods."""
    moves = [
        [None if part is None else part[: np.searchsorted(part[:, 0], periods)] for part in parts]
        for parts in panel.moves
    ]
    return Panel(panel.counts[:, :, :periods], moves, day_types, panel.start_day, panel.season_length)


def forecast_funnels(panel: Panel, *, horizon: int) -> SeriesForecasts:
    """Fit and forecast all stages of all funnels of a panel; rows are funnel by funnel, their stages in order."""
    funnels, stages, periods = panel.counts.shape
    counts = panel.counts.reshape(-1, periods)
    rolling = roll(
        counts, panel.day_types, start_day=panel.start_day, horizon=horizon, season_length=panel.season_length
    )
    mean = rolling.mean.copy()
    in_flight = np.zeros((len(counts), horizon))
    cascaded = np.zeros(len(counts), dtype=np.bool_)
    for row in (funnel * stages + stage for funnel in range(funnels) for stage in range(1, stages)):
        pair = counts[row - 1 : row + 1]
        if np.isfinite(pair).sum(axis=1).min() < LEAST_OBSERVED:
            continue
        moves = panel.moves[row // stages][row % stages - 1]
        promise = _promise(
            panel, pair, moves, origins=rolling.origins, inflow=mean[row - 1], earlier=in_flight[row - 1]
        )
        mean[row] = _combined(rolling, row, promise, counts[row])
        in_flight[row] = mean[row, -1] * promise.in_flight_share
        cascaded[row] = True
    quantiles = quantiles_of(mean, counts, origins=rolling.origins)
    return SeriesForecasts(mean[:, -1], quantiles, in_flight, rolling.caps[:, -1], cascaded, rolling.states)


def _promise(panel: Panel, pair: Array, moves: Ints | None, *, origins: Ints, inflow: Array, earlier: Array) -> Promise:
    """Run one transition; `earlier` is the part of the last inflow that is already in the funnel."""
    ahead = panel.day_types[panel.periods :]
    if moves is None:
        state, mean = lag.advance(
            lag.make_state(season_length=panel.season_length),
            pair[0],
            pair[1],
            panel.day_types,
            origins=origins,
            inflow=inflow,
        )
        return Promise(mean, _share(lag.forecast(state, ahead, earlier), mean[-1]), DELAYED)
    fresh = conversion.make_state(season_length=panel.season_length)
    observed = ~np.isnan(pair[1])
    transit, mean = conversion.advance(fresh, moves, panel.day_types, observed=observed, origins=origins, inflow=inflow)
    share = _share(conversion.forecast(transit, ahead, earlier), mean[-1])
    return Promise(mean, share, SAME_PERIOD + (DELAYED - SAME_PERIOD) * delayed_share(moves))


def _share(part: Array, whole: Array) -> Array:
    return np.clip(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0), 0.0, 1.0)


def _combined(rolling: Rolling, row: int, promise: Promise, counts: Array) -> Array:
    """Univariate forecast and cascade of one series at every origin, (origins, horizon)."""
    bucket = bucket_of_steps(rolling.mean.shape[2])
    experts = np.stack([rolling.mean[row], np.minimum(promise.mean, rolling.caps[row][:, None])])
    combined, _ = combine(
        experts,
        counts,
        rolling.origins,
        bucket,
        lengths_of(bucket),
        prior=np.array([1 - promise.prior, promise.prior]),
        ridge=RIDGE,
        half_life=HALF_LIFE,
    )
    return combined


def delayed_share(moves: Ints) -> float:
    """Share of conversions later than the period of entry; 0 without any conversion."""
    done = moves[moves[:, 3] == CONVERTED]
    same = (done[:, 1] == AGE) & (done[:, 2] == 0)
    return float(done[~same, 4].sum() / max(done[:, 4].sum(), 1))
