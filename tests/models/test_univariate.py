"""The univariate engine as a whole: alignment, leakage, independence of series, and calibrated intervals."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import poisson

from models import calibration, scoring, univariate
from models.calibration import forecast_series
from models.combination import advance, make_state
from models.forecast import QUANTILES
from models.origins import BUCKETS, Origins, bucket_of_steps, make_origins

HORIZON = 28


def week(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.int64) % 7


def forecast(counts, *, horizon=HORIZON, season_length=7, types=None):
    types = week(counts.shape[1] + horizon) if types is None else types
    return forecast_series(counts, types, start_day=0, horizon=horizon, season_length=season_length)


def rolled(counts):
    """Forecasts at every rolling origin, those origins, and what scoring them leaves behind."""
    size = {"horizon": HORIZON, "season_length": 7}
    series, periods = counts.shape
    origins = make_origins(0, periods=periods, horizon=HORIZON)
    mean = univariate.roll(univariate.make_state(series, **size), counts, week(periods + HORIZON), origins=origins).mean
    fresh = calibration.make_state(series, **size)
    calibrated = calibration.calibrate(fresh, mean, counts, origins=origins, start_day=0, seen=0)
    return mean, origins.every, calibrated.state.scoring


def test_step_one_is_the_day_after_the_cutoff_on_a_ramp():
    counts = np.arange(1.0, 201.0)[None] + 100
    result = forecast(counts, horizon=7)
    assert_allclose(result.mean[0], np.arange(301.0, 308.0), rtol=0.02)


def test_a_spike_on_one_weekday_is_forecast_on_that_weekday_only():
    counts = np.where(week(140) == 3, 70.0, 1.0)[None]
    result = forecast(counts, horizon=14)
    expected = np.where(week(154)[140:] == 3, 70.0, 1.0)
    assert_allclose(result.mean[0], expected, rtol=0.15, atol=0.6)


def test_past_origins_are_forecast_and_scored_by_what_was_known_there():
    counts = np.random.default_rng(0).poisson(12, (2, 200)).astype(float)
    changed = counts.copy()
    changed[:, 160:] = 400.0
    (one, origins, scored), (other, _, rescored) = rolled(counts), rolled(changed)
    early = origins < 160
    assert_array_equal(one[:, early], other[:, early])
    assert not np.array_equal(one, other)
    arrived = origins[scoring.is_scored(origins, 0, seen=0, gap=5) & (origins + HORIZON < 160)]
    slots = arrived // (5 * scoring.SCORED) % scoring.ORIGINS_KEPT
    assert scored.sums[:, slots, :, 0].all()
    assert_array_equal(scored.sums[:, slots], rescored.sums[:, slots])
    assert not np.array_equal(scored.sums, rescored.sums)


def test_a_series_is_forecast_alike_whatever_stands_beside_it():
    counts = np.random.default_rng(1).poisson(8, (6, 120)).astype(float)
    together = forecast(counts)
    alone = [forecast(counts[i : i + 1]) for i in range(6)]
    assert_array_equal(together.quantiles, np.concatenate([result.quantiles for result in alone]))
    sums, *others = (scoring.measured(rolled(part)[2])[0] for part in (counts, *np.split(counts, 6)))
    assert sums.any()
    assert_array_equal(sums, np.concatenate(others))


@pytest.mark.parametrize("mean", [2.0, 12.0, 150.0, 4000.0])
def test_intervals_of_pure_noise_hold_what_they_promise(mean):
    generator = np.random.default_rng(int(mean))
    profile = np.array([1.2, 1.1, 1.0, 1.0, 0.9, 0.5, 0.3])
    periods = 240
    rate = mean * profile[week(periods + HORIZON)]
    actual = generator.negative_binomial(8, 8 / (8 + rate), (60, periods + HORIZON)).astype(float)
    result = forecast(actual[:, :periods])
    future = actual[:, periods:, None]
    inside80 = (future[..., 0] >= result.quantiles[..., 1]) & (future[..., 0] <= result.quantiles[..., -2])
    inside95 = (future[..., 0] >= result.quantiles[..., 0]) & (future[..., 0] <= result.quantiles[..., -1])
    assert 0.75 <= inside80.mean() <= 0.87
    assert 0.91 <= inside95.mean() <= 0.99


def test_all_zeros_are_forecast_as_zero():
    result = forecast(np.zeros((2, 90)))
    assert_array_equal(result.mean, 0.0)
    assert_array_equal(result.quantiles, 0.0)


@pytest.mark.parametrize("periods", [1, 2, 6, 7, 8, 13, 14, 15, 30])
def test_short_histories_are_answered(periods):
    counts = np.random.default_rng(periods).poisson(5, (3, periods)).astype(float)
    result = forecast(counts)
    assert np.isfinite(result.mean).all()
    assert (np.diff(result.quantiles, axis=2) >= 0).all()


def test_a_history_with_nothing_observed_is_answered_with_zero():
    result = forecast(np.full((1, 40), np.nan))
    assert_array_equal(result.mean, 0.0)


def test_weeks_have_no_season_and_are_forecast_too():
    counts = np.random.default_rng(3).poisson(50, (2, 60)).astype(float)
    result = forecast(counts, horizon=13, season_length=1, types=np.zeros(73, dtype=np.int64))
    assert_allclose(result.mean, 50, rtol=0.2)
    assert result.quantiles.shape == (2, 13, len(QUANTILES))


def test_an_exploding_series_stays_under_its_ceiling():
    counts = (1.3 ** np.arange(60))[None]
    result = forecast(counts)
    assert (result.mean <= result.ceiling[:, None]).all()


def test_a_gap_of_sixty_days_is_bridged():
    counts = np.random.default_rng(4).poisson(30, (1, 240)).astype(float)
    counts[0, 120:180] = np.nan
    assert_allclose(forecast(counts).mean, 30, rtol=0.25)


def combine(forecasts, counts, origins: Origins):
    """Combine the experts (experts, origins, horizon) of one series: forecasts at every origin, weights at the last."""
    state = make_state(1, experts=len(forecasts), horizon=HORIZON)
    nothing = np.zeros((1, 0, HORIZON))
    _, combined, weights = advance(state, forecasts[:, None], counts[None], origins=origins, combined=nothing)
    return combined[0], weights[0, -1]


def test_rolling_origins_stay_where_they_are_as_history_grows():
    short, long = (make_origins(100, periods=periods, horizon=HORIZON) for periods in (120, 150))
    assert set(short.fresh) <= set(long.fresh)
    assert (short.cutoff, short.asked[-1], len(short.pending)) == (119, 119, 0)
    shifted = make_origins(110, periods=140, horizon=HORIZON).fresh + 10
    assert set(shifted) <= set(long.fresh)
    later = make_origins(100, periods=30, horizon=HORIZON, seen=120)
    assert set(later.every + 120) <= {*long.fresh, 149}
    assert later.pending.min() >= -HORIZON


def test_the_better_expert_gets_the_weight():
    generator = np.random.default_rng(6)
    counts = generator.poisson(40, 200).astype(float)
    origins = make_origins(0, periods=200, horizon=HORIZON)
    good = np.full((len(origins.every), HORIZON), 40.0)
    bad = np.full((len(origins.every), HORIZON), 80.0)
    combined, weights = combine(np.stack([good, bad]), counts, origins)
    assert (weights[:, 0] > 0.9).all()
    assert_allclose(weights.sum(axis=1), 1.0)
    assert_allclose(combined[-1], 40.0, rtol=0.1)


def test_two_experts_that_err_on_either_side_are_balanced():
    generator = np.random.default_rng(7)
    counts = generator.poisson(50, 300).astype(float)
    origins = make_origins(0, periods=300, horizon=HORIZON)
    low = np.full((len(origins.every), HORIZON), 40.0)
    high = np.full((len(origins.every), HORIZON), 60.0)
    combined, _ = combine(np.stack([low, high]), counts, origins)
    assert_allclose(combined[-1], 50.0, rtol=0.05)


def test_an_origin_is_combined_by_weights_known_there():
    generator = np.random.default_rng(8)
    counts = generator.poisson(40, 200).astype(float)
    origins = make_origins(0, periods=200, horizon=HORIZON)
    forecasts = generator.uniform(20, 60, (3, len(origins.every), HORIZON))
    before, _ = combine(forecasts, counts, origins)
    changed = counts.copy()
    changed[120:] = 500.0
    after, _ = combine(forecasts, changed, origins)
    early = origins.every <= 119
    assert_array_equal(before[early], after[early])
    assert not np.array_equal(before[-1], after[-1])


def test_every_step_has_a_bucket():
    bucket = bucket_of_steps(56)
    assert [int((bucket == b).sum()) for b in range(len(BUCKETS))] == [last - first + 1 for first, last in BUCKETS]


@pytest.mark.parametrize("mean", [0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0])
def test_the_mean_of_a_log_is_that_of_a_poisson_number(mean):
    count = np.arange(1000)
    z = poisson.pmf(count, mean) @ np.log1p(count)
    assert univariate.mean_of_log(z) == pytest.approx(mean, rel=2e-3)


@pytest.mark.parametrize("level", [0.3, 1.0, 3.0, 30.0])
def test_means_of_rare_counts_add_up_to_what_comes(level):
    week = np.array([1.1, 1.1, 1.0, 1.0, 0.9, 0.45, 0.4])
    counts = np.random.default_rng(5).poisson(level * week[np.arange(200) % 7], (150, 200)).astype(float)
    types = np.arange(228) % 7
    origins = make_origins(0, periods=200, horizon=28)
    state = univariate.make_state(150, horizon=28, season_length=7)
    mean = univariate.roll(state, counts, types, origins=origins).mean[:, -1]
    assert mean.sum(axis=1).mean() == pytest.approx(level * week.sum() * 4, rel=0.04)
