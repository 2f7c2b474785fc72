"""The discounted level on series whose answer is known."""

from dataclasses import fields

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from models.level import LevelState, advance, make_state

WEEK = np.arange(400, dtype=np.int64) % 7


def run(state: LevelState, counts, *, first: int = 0, horizon: int = 14, types=WEEK, origins=None):
    origins = np.array([counts.shape[1] - 1]) if origins is None else np.asarray(origins)
    return advance(state, counts, types[first:], origins=origins, horizon=horizon)


def test_a_constant_week_is_forecast_as_it_is():
    week = np.array([10.0, 12.0, 14.0, 12.0, 8.0, 0.0, 0.0])
    _, forecasts = run(make_state(1, season_length=7), np.tile(week, 30)[None])
    assert_allclose(forecasts[0, 0], np.tile(week, 2), rtol=0.02, atol=0.2)


def test_a_drift_is_held_against_and_a_lasting_change_taken_up_at_once():
    generator = np.random.default_rng(8)
    steady = generator.poisson(100, 120).astype(float)
    for share, low, high in ((1.05, 99, 102), (1.6, 150, 170)):
        counts = np.concatenate([steady, generator.poisson(100 * share, 14)])[None]
        _, forecasts = run(make_state(1, season_length=7), counts)
        assert low < forecasts[0, 0].mean() < high


def test_an_append_is_exactly_a_longer_fit():
    counts = np.random.default_rng(4).poisson(6, (3, 120)).astype(float)
    counts[1, 30:40] = np.nan
    whole, forecasts = run(make_state(3, season_length=7), counts)
    part, _ = run(make_state(3, season_length=7), counts[:, :55])
    part, appended = run(part, counts[:, 55:], first=55)
    assert_array_equal(appended, forecasts)
    for field in fields(LevelState):
        assert_array_equal(getattr(part, field.name), getattr(whole, field.name))


def test_a_holiday_has_a_level_of_its_own():
    types = WEEK.copy()
    types[[60, 75, 90, 105, 119, 125]] = 7
    counts = np.where(types[:120] == 7, 1.0, 20.0)[None]
    _, forecasts = run(make_state(1, season_length=7), counts, types=types)
    assert forecasts[0, 0, 5] < 10
    assert_allclose(np.delete(forecasts[0, 0], 5), 20.0, rtol=0.05)


def test_one_wild_day_does_not_carry_the_level_away():
    counts = np.random.default_rng(5).poisson(20, 150).astype(float)
    counts[145] = 5000.0
    _, forecasts = run(make_state(1, season_length=7), counts[None])
    assert forecasts.max() < 40


def test_before_the_first_count_there_is_no_forecast():
    counts = np.full((1, 5), np.nan)
    _, forecasts = run(make_state(1, season_length=7), counts)
    assert np.isnan(forecasts).all()
