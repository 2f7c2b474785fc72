"""A counted stage is told from the one before it: the lag and the level are recovered, and drift is followed."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from models import lag

HORIZON = 28


def waves(periods, *, seed=0):
    generator = np.random.default_rng(seed)
    return 400 * np.exp(np.sin(np.arange(periods) / 25)) * generator.uniform(0.9, 1.1, periods)


def run(before, after, *, origins=None, inflow=None, types=None):
    periods = len(before)
    origins = np.array([periods - 1]) if origins is None else origins
    types = np.arange(periods + HORIZON, dtype=np.int64) % 7 if types is None else types
    inflow = np.zeros((len(origins), HORIZON)) if inflow is None else inflow
    state = lag.make_state(1, season_length=7)
    state, made = lag.advance(state, before[None], after[None], types, origins=origins, inflow=inflow[None])
    return state, made[0]


def told(state, types, inflow):
    """Forecast from a state as it is."""
    none = np.zeros((1, 0))
    return lag.advance(state, none, none, types, origins=np.array([-1]), inflow=inflow[None, None])[1][0, 0]


def test_a_stage_ten_days_behind_is_forecast_from_what_has_happened_above_it():
    before = waves(428)
    after = np.zeros(428)
    after[10:] = 0.2 * np.convolve(before, np.full(7, 1 / 7))[3 : 3 + 418]
    _, forecast = run(before[:400], after[:400], inflow=before[None, 400:])
    assert_allclose(forecast[0], after[400:], rtol=0.12)


def test_only_the_lags_within_the_past_are_told_without_inflow():
    before = np.full(400, 100.0)
    after = np.full(400, 30.0)
    state, forecast = run(before, after, inflow=np.full((1, HORIZON), 100.0))
    assert_allclose(forecast[0], 30.0, rtol=0.03)
    types = np.arange(400, 428, dtype=np.int64) % 7
    past = told(state, types, np.zeros(HORIZON))
    rest = told(state, types, np.full(HORIZON, 100.0)) - past
    assert_allclose(past + rest, forecast[0], rtol=1e-12)
    assert past[0] > past[-1]


def test_responses_are_what_a_forecast_of_one_entrant_more_adds():
    before = waves(60)
    before[[40, 56, 58]] = np.nan
    state, _ = run(before, 0.2 * before)
    types = np.arange(60, 88, dtype=np.int64) % 8
    found = lag.responses(state, types)[0]
    assert_array_equal(found[0], told(state, types, np.zeros(HORIZON)))
    for step, one in enumerate(np.eye(HORIZON), start=1):
        assert_allclose(found[step], told(state, types, one) - found[0], rtol=1e-6, atol=1e-9)


def test_the_level_follows_when_the_share_that_moves_on_halves():
    before = np.random.default_rng(0).uniform(90, 110, 300)
    after = 0.3 * before
    after[270:] *= 0.5
    _, forecast = run(before, after, inflow=np.full((1, HORIZON), 100.0))
    assert_allclose(forecast[0], 15.0, rtol=0.15)


def test_missing_days_on_either_side_teach_nothing_and_break_nothing():
    before = np.random.default_rng(0).uniform(390, 410, 300)
    after = 0.3 * before
    before[100:103] = np.nan
    after[200:220] = np.nan
    _, forecast = run(before, after, inflow=np.full((1, HORIZON), 400.0))
    assert np.isfinite(forecast).all()
    assert_allclose(forecast[0], 120.0, rtol=0.05)


def test_one_pass_forecasts_at_an_origin_as_a_shorter_history_does():
    before, after = waves(300), 0.3 * waves(300, seed=1)
    inflow = np.full((2, HORIZON), 400.0)
    _, together = run(before, after, origins=np.array([149, 299]), inflow=inflow)
    _, alone = run(before[:150], after[:150], inflow=inflow[:1])
    assert_array_equal(together[0], alone[0])


def test_nothing_observed_is_forecast_as_nothing():
    nothing = np.full(60, np.nan)
    _, forecast = run(nothing, nothing)
    assert_array_equal(forecast, np.zeros((1, HORIZON)))


def test_a_holiday_that_fell_into_a_wave_does_not_tilt_the_factor_of_holidays():
    before = np.full(300, 100.0)
    before[230:260] *= 20
    after = 0.3 * np.convolve(before, np.full(7, 1 / 7))[:300]
    types = np.arange(300 + HORIZON, dtype=np.int64) % 7
    types[[245, 250, 303]] = 7
    _, forecast = run(before, after, types=types, inflow=np.full((1, HORIZON), 100.0))
    assert_allclose(forecast[0, 3], forecast[0, 2], rtol=0.25)
