"""The smoothing kernel against statsmodels, against itself cut in two, and on series whose answer is known."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from models.smoothing import GRID, SmoothingState, advance, make_state

WEEK = np.arange(400, dtype=np.int64) % 7
NO_CAP = 1e9


def run(state: SmoothingState, z, *, first: int = 0, horizon: int = 14, grid=GRID, types=WEEK, origins=None):
    origins = np.array([z.shape[1] - 1]) if origins is None else np.asarray(origins)
    caps = np.full((len(z), len(origins)), NO_CAP)
    return advance(state, z, types[first:], origins=origins, horizon=horizon, caps=caps, grid=grid)


@pytest.mark.parametrize("point", [(0.3, 0.06, 0.1, 0.9), (0.05, 0.005, 0.25, 0.97), (0.8, 0.4, 0.05, 0.96)])
def test_from_the_same_state_and_parameters_the_recursion_is_that_of_statsmodels(point):
    alpha, beta, gamma, phi = point
    generator = np.random.default_rng(7)
    season = generator.normal(0, 0.4, 7)
    z = 3 + season[WEEK[:120]] + generator.normal(0, 0.3, 120)
    state = make_state(1, season_length=7, grid=np.array([point]))
    long_ago = replace(
        state,
        level=np.full((1, 1), 2.9),
        trend=np.full((1, 1), 0.02),
        season=season.reshape(1, 7, 1).copy(),
        variance=np.full((1, 1), 1e6),
        seen=np.full(1, 1000.0),
        count=np.full((1, 7), 1000.0),
    )
    _, forecasts = run(long_ago, z[None], grid=np.array([point]), horizon=28)

    theirs = ETSModel(
        pd.Series(z, index=pd.date_range("2024-01-01", periods=120)),
        error="add",
        trend="add",
        damped_trend=True,
        seasonal="add",
        seasonal_periods=7,
        initialization_method="known",
        initial_level=2.9,
        initial_trend=0.02,
        initial_seasonal=season,
    )
    fitted = theirs.smooth([alpha, beta, gamma, phi])
    assert_allclose(forecasts[0, 0], fitted.forecast(28), rtol=0, atol=1e-10)


def test_an_append_is_exactly_a_longer_fit():
    generator = np.random.default_rng(1)
    z = np.log1p(generator.poisson(12, (5, 200)).astype(float))
    z[2, 60:75] = np.nan
    whole, forecasts = run(make_state(5, season_length=7), z)
    for cut in (3, 7, 40, 71, 199):
        part, _ = run(make_state(5, season_length=7), z[:, :cut])
        part, appended = run(part, z[:, cut:], first=cut)
        assert_array_equal(appended, forecasts)
        for field in fields(SmoothingState):
            assert_array_equal(getattr(part, field.name), getattr(whole, field.name))


def test_an_append_leaves_the_state_it_started_from_as_it_was():
    z = np.log1p(np.random.default_rng(2).poisson(9, (2, 90)).astype(float))
    state, _ = run(make_state(2, season_length=7), z)
    before = state.copy()
    run(state, z, first=90)
    for field in fields(SmoothingState):
        assert_array_equal(getattr(state, field.name), getattr(before, field.name))


def test_forecasts_of_an_early_origin_do_not_see_what_comes_later():
    z = np.log1p(np.random.default_rng(3).poisson(15, (3, 150)).astype(float))
    changed = z.copy()
    changed[:, 100:] = 9.0
    _, one = run(make_state(3, season_length=7), z, origins=[50, 99])
    _, other = run(make_state(3, season_length=7), changed, origins=[50, 99])
    assert one.tobytes() == other.tobytes()


def test_a_weekly_profile_is_continued_on_the_right_weekdays():
    profile = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.1])
    z = profile[WEEK[:73]][None]
    _, forecasts = run(make_state(1, season_length=7), z)
    assert_allclose(forecasts[0, 0], profile[WEEK[73:87]], atol=0.15)


def test_a_holiday_teaches_nothing_and_is_forecast_like_a_sunday():
    profile = np.array([5.0, 5.0, 5.0, 5.0, 5.0, 2.0, 1.0])
    types = WEEK.copy()
    types[[70, 150]] = 7
    z = profile[WEEK[:140]].copy()
    z[70] = 0.0
    _, forecasts = run(make_state(1, season_length=7), z[None], types=types)
    assert_allclose(np.delete(forecasts[0, 0], 10), np.delete(profile[WEEK[140:154]], 10), atol=0.05)
    assert_allclose(forecasts[0, 0, 10], 1.0, atol=0.05)


def test_missing_days_do_not_move_the_profile_to_other_weekdays():
    profile = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.1])
    z = profile[WEEK[:120]].copy()
    z[[50, 51, 52, 80]] = np.nan
    _, forecasts = run(make_state(1, season_length=7), z[None])
    assert_allclose(forecasts[0, 0], profile[WEEK[120:134]], rtol=0.02, atol=0.05)


def test_without_a_season_a_level_shift_is_followed():
    z = np.concatenate([np.full(30, 2.0), np.full(30, 4.0)])[None]
    _, forecasts = run(make_state(1, season_length=1), z, types=np.zeros(100, dtype=np.int64))
    assert_allclose(forecasts[0, 0, 0], 4.0, atol=0.2)


def test_no_forecast_is_above_its_cap():
    z = np.log1p(2.0 ** np.arange(60) / 2.0**20)[None]
    state = make_state(1, season_length=7)
    _, forecasts = advance(state, z, WEEK, origins=np.array([59]), horizon=28, caps=np.full((1, 1), 30.0))
    assert forecasts.max() <= 30.0


def test_before_a_whole_season_there_is_no_forecast():
    _, forecasts = run(make_state(1, season_length=7), np.ones((1, 10)), origins=[5, 6])
    assert np.isnan(forecasts[0, 0]).all()
    assert np.isfinite(forecasts[0, 1]).all()
