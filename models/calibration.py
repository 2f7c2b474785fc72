"""Quantiles around combined forecasts, and the scores of those made before: both learnt from their errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models import intervals, scoring, univariate
from models.origins import Origins, bucket_of_steps, gap_of, make_origins
from models.quantiles import SCORES, are_whole, count_quantiles
from models.skill import MEASURES

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SeriesForecasts:
    """Forecasts of a block of n series: mean (n, horizon), quantiles (n, horizon, len(QUANTILES)).

    in_flight: (n, horizon), the part of the mean from entities in the funnel at the cutoff. ceiling: (n,), the
    explosion guard in counts. cascaded: (n,), whether the funnel before the stage was used. sums: (n, buckets,
    len(skill.MEASURES)), and scale: (n,), see `scoring.measured`. observed: (n,), periods observed. recent: (n,
    univariate.RECENT), the last counts. factors: (n, horizon), what declared days and the month multiplied the mean by.
    whole: (n,), whether only whole numbers were observed.
    """

    mean: Array
    quantiles: Array
    in_flight: Array
    ceiling: Array
    cascaded: npt.NDArray[np.bool_]
    sums: Array
    scale: Array
    observed: Array
    recent: Array
    factors: Array
    whole: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationState:
    """What the past of n series leaves behind. spread, naive: of the forecasts that are scored and whose targets have
    not all arrived, see `scoring.Issued`.
    """

    intervals: intervals.IntervalState
    scoring: scoring.ScoringState
    spread: Array
    naive: Array


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """quantiles: (n, horizon, len(QUANTILES)), at the cutoff; state: after it."""

    quantiles: Array
    state: CalibrationState


def make_state(series: int, *, horizon: int, season_length: int, counted: bool = True) -> CalibrationState:
    """Return the state before the first period, of counts or of amounts."""
    buckets = len(np.unique(bucket_of_steps(horizon)))
    return CalibrationState(
        intervals=intervals.make_state(series, horizon=horizon),
        scoring=scoring.make_state(series, horizon=horizon, season_length=season_length, counted=counted),
        spread=np.zeros((series, 0, buckets, 5)),
        naive=np.zeros((series, 0, season_length + 1)),
    )


def calibrate(  # noqa: PLR0913 - each is said by its name
    state: CalibrationState,
    mean: Array,
    counts: Array,
    *,
    origins: Origins,
    start_day: int,
    seen: int,
    scored: bool = True,
    taught: Array | None = None,
    doubts: Array | None = None,
) -> Calibrated:
    """Learn from new counts what they say of earlier forecasts, and tell the quantiles at the cutoff.

    Parameters
    ----------
    state
        Of the periods before; not changed.
    mean
        (n, origins.every, horizon), each made with what was known at its origin.
    counts
        (n, periods), the new ones, NaN where missing.
    start_day, seen
        Absolute number of the first period of all, and the periods before the new ones.
    scored
        Whether past forecasts are scored.
    taught
        The counts that teach how far forecasts err, as `counts`; None: all do.
    doubts
        As `mean`, relative variance that is added to what errors teach; None: none is.
    """
    horizon, rolling = mean.shape[2], origins.every[:-1]
    chosen = scoring.is_scored(rolling, start_day, seen=seen, gap=origins.gap) & scored
    learnt, spread = intervals.advance(
        state.intervals,
        mean,
        counts if taught is None else taught,
        origins=origins,
        wanted=np.append(chosen, True),
    )
    pending = state.spread.shape[1]
    fresh = int(chosen.sum()) - pending
    issued = scoring.Issued(
        mean=mean[:, :-1][:, chosen],
        spread=np.concatenate([state.spread, spread[:, :-1][:, chosen][:, pending:]], axis=1),
        naive=np.concatenate([state.naive, np.zeros((len(mean), fresh, state.naive.shape[2]))], axis=1),
        doubts=None if doubts is None else doubts[:, :-1][:, chosen],
    )
    index = rolling[chosen]
    slots = (index + seen + start_day) // (scoring.SCORED * origins.gap) % scoring.ORIGINS_KEPT
    measured = scoring.advance(state.scoring, issued, counts, origins=index, slots=slots)
    waiting = origins.waiting(periods=counts.shape[1], horizon=horizon)
    still = waiting[chosen]
    after = CalibrationState(learnt, measured, issued.spread[:, still], issued.naive[:, still])
    bucket = bucket_of_steps(horizon)
    last = spread[:, -1]
    if doubts is not None:  # each step has a spread of its own then
        last, bucket = last[:, bucket], np.arange(horizon)
        last[..., 1] += doubts[:, -1]
    quantiles = np.array([count_quantiles(mean[i, -1], bucket, last[i], SCORES) for i in range(len(mean))])
    return Calibrated(quantiles.reshape(len(mean), horizon, len(SCORES)), after)


def forecast_series(
    counts: Array, day_types: Days, *, start_day: int, horizon: int, season_length: int
) -> SeriesForecasts:
    """Fit and forecast every row of `counts` (n, periods) by itself, without a cascade and without a scorecard.

    `day_types` (periods + horizon,): see `smoothing.advance`; `start_day`: absolute number of the first period.
    """
    size = {"horizon": horizon, "season_length": season_length}
    origins = make_origins(start_day, periods=counts.shape[1], horizon=horizon, gap=gap_of(season_length))
    rolling = univariate.roll(univariate.make_state(len(counts), **size), counts, day_types, origins=origins)
    fresh = make_state(len(counts), horizon=horizon, season_length=season_length)
    calibrated = calibrate(fresh, rolling.mean, counts, origins=origins, start_day=start_day, seen=0, scored=False)
    sums, scale = scoring.measured(calibrated.state.scoring)
    return SeriesForecasts(
        mean=rolling.mean[:, -1],
        quantiles=calibrated.quantiles,
        in_flight=np.zeros((len(counts), horizon)),
        ceiling=rolling.caps[:, -1],
        cascaded=np.zeros(len(counts), dtype=np.bool_),
        sums=sums,
        scale=scale,
        observed=np.isfinite(counts).sum(axis=1).astype(np.float64),
        recent=rolling.state.recent,
        factors=np.ones((len(counts), horizon)),
        whole=calibrated.state.scoring.fractions == 0,
    )


def unfitted(counts: Array, *, horizon: int, counted: bool) -> SeriesForecasts:
    """What is known of series (n, periods) that nothing could be fitted to: their latest counts, and no forecast.

    `counted`: whether they are counts, not amounts.
    """
    recent = np.full((len(counts), univariate.RECENT), np.nan)
    latest = counts[:, -univariate.RECENT :]
    recent[:, univariate.RECENT - latest.shape[1] :] = latest
    unknown = np.full((len(counts), horizon), np.nan)
    return SeriesForecasts(
        mean=unknown,
        quantiles=np.full((len(counts), horizon, len(SCORES)), np.nan),
        in_flight=unknown,
        ceiling=univariate.GROWTH * (np.nan_to_num(recent).max(axis=1) + 1),
        cascaded=np.zeros(len(counts), dtype=np.bool_),
        sums=np.zeros((len(counts), len(np.unique(bucket_of_steps(horizon))), len(MEASURES))),
        scale=np.full(len(counts), np.nan),
        observed=np.isfinite(counts).sum(axis=1).astype(np.float64),
        recent=recent,
        factors=np.ones((len(counts), horizon)),
        whole=are_whole(counts) & counted,
    )
