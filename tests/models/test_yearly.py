"""What last year says: ratios that know weekdays, growth, holidays and gaps, and an expert that earns its weight."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models import univariate, yearly
from models.calibration import forecast_series
from models.origins import make_origins

WEEK = np.array([1.3, 1.1, 1.0, 1.0, 0.9, 0.5, 0.2])
YEAR = 364
ENOUGH = yearly.PAST * 7


def types(periods):
    return np.arange(periods, dtype=np.int64) % 7


def ratios(counts, *, origin=None, horizon=28, kinds=None):
    kinds = types(counts.shape[1] + horizon) if kinds is None else kinds
    past = yearly.make_past(len(counts), season_length=7)
    origins = np.array([counts.shape[1] - 1 if origin is None else origin])
    return yearly.advance(past, counts, kinds, origins=origins, horizon=horizon, season_length=7)[1][:, 0]


def season(periods, *, dip=0.5, first=30, length=21, growth=1.0):
    """Counts of weekday profile WEEK that fall to `dip` for `length` days from day `first` of every year."""
    day = np.arange(periods)
    level = np.where((day % YEAR >= first) & (day % YEAR < first + length), dip, 1.0)
    return (100 * level * growth ** (day // YEAR) * WEEK[day % 7])[None]


def test_a_fall_of_last_year_is_told_for_its_days_of_this_year_and_growth_is_none_of_its_business():
    counts = season(YEAR + ENOUGH - YEAR + 20, first=ENOUGH + 25 - YEAR)  # the fall begins 5 days after the cutoff
    found = ratios(counts)[0]
    assert_allclose(found[0], 1.0, atol=0.02)
    share = yearly.WEIGHT / (1 + yearly.WEIGHT)
    assert_allclose(found[10:18], 0.5 * (1 - share) + share, atol=0.02)
    grown = season(counts.shape[1], first=ENOUGH + 25 - YEAR, growth=1.5)
    assert found[12] < ratios(grown)[0][12] < 0.7


def test_nothing_is_told_before_the_first_weeks_of_last_year_are_over():
    counts = season(ENOUGH + 1)
    assert np.isnan(ratios(counts[:, : ENOUGH - 15])).all()
    assert np.isfinite(ratios(counts)).all()


def test_a_flat_year_says_one_whatever_the_weekdays_and_a_year_of_nothing_too():
    flat = np.tile(WEEK, 80)[None] * 40
    assert_allclose(ratios(flat), 1.0, rtol=1e-12)
    assert_array_equal(ratios(np.zeros((1, 500))), 1.0)


def test_the_ratio_stays_within_its_limits():
    counts = np.full((2, 500), 10.0)
    counts[0, 500 - YEAR :] = 1000.0
    counts[1, 500 - YEAR :] = 0.0
    found = ratios(counts)
    assert_array_equal(found[0, 10:], yearly.MOST)
    assert (found[1] >= 1 / yearly.MOST).all()


def test_special_days_and_days_without_a_count_say_nothing_of_their_season():
    counts = season(500, dip=1.0)
    holiday = 500 - YEAR + 3
    counts[0, holiday] = 0.0
    kinds = types(528)
    kinds[holiday] = 7
    assert_allclose(ratios(counts, kinds=kinds), 1.0, rtol=1e-12)
    counts[0, holiday] = np.nan
    assert_allclose(ratios(counts), 1.0, rtol=1e-12)


def test_one_wild_day_of_last_year_makes_no_season():
    counts = season(500, dip=1.0)
    told = []
    for wild in (500 - YEAR - 10, 500 - YEAR + 10):  # in the level of that time, and in a week that is asked
        counts[0, wild] *= 50
        told.append(ratios(counts)[0])
        counts[0, wild] /= 50
    assert (np.abs(np.array(told) - 1) < 0.35).all()


def test_weeks_are_compared_with_weeks():
    counts = np.full((1, 80), 50.0)
    counts[0, 79 - 52 + 2] = 100.0
    past = yearly.make_past(1, season_length=1)
    kinds = np.zeros(84, dtype=np.int64)
    found = yearly.advance(past, counts, kinds, origins=np.array([79]), horizon=4, season_length=1)[1][0, 0]
    assert_allclose(found, [1.0, (100 + 10) / (50 + 10), 1.0, 1.0])


@pytest.mark.parametrize("parts", [(1,), (430, 1, 60), (100, 300, 5, 90)])
def test_periods_in_parts_are_the_periods_at_once(parts):
    counts = np.random.default_rng(3).poisson(30, (3, 500)).astype(float)
    counts[1, 40:50] = np.nan
    horizon, past, found = 14, yearly.make_past(3, season_length=7), []
    kinds = types(500 + horizon)
    for since, until in pairwise([0, *np.cumsum(parts), 500]):
        now = np.arange(until - since)
        past, told = yearly.advance(
            past, counts[:, since:until], kinds[since : until + horizon], origins=now, horizon=horizon, season_length=7
        )
        found.append(told)
    origins = np.arange(500)
    fresh = yearly.make_past(3, season_length=7)
    end, whole = yearly.advance(fresh, counts, kinds, origins=origins, horizon=horizon, season_length=7)
    assert_array_equal(np.concatenate(found, axis=1), whole)
    assert_array_equal(past, end)


def test_the_expert_earns_its_weight_where_years_repeat_and_keeps_little_where_they_do_not():
    generator = np.random.default_rng(5)
    periods, rounds = 3 * YEAR, 8
    day = np.arange(periods)
    blocks = np.tile(np.repeat(generator.uniform(0.6, 1.4, 13), 28), 3)  # every four weeks at another level
    alike = generator.poisson(200 * blocks * WEEK[day % 7], (rounds, periods)).astype(float)
    steady = generator.poisson(200 * WEEK[day % 7], (rounds, periods)).astype(float)
    weights = []
    for counts in (alike, steady):
        state = univariate.make_state(rounds, horizon=28, season_length=7)
        origins = make_origins(0, periods=periods, horizon=28)
        rolled = univariate.roll(state, counts, types(periods + 28), origins=origins)
        weights.append(rolled.weights[:, -1, univariate.EXPERTS.index("yearly")].mean())
    assert weights[0] > 0.5
    assert weights[1] < 0.25


def test_without_a_year_of_history_the_expert_has_no_say():
    counts = np.random.default_rng(0).poisson(20, (2, 200)).astype(float)
    state = univariate.make_state(2, horizon=28, season_length=7)
    origins = make_origins(0, periods=200, horizon=28)
    rolled = univariate.roll(state, counts, types(228), origins=origins)
    assert_allclose(rolled.experts[2], rolled.experts[:2].mean(axis=0))


def test_a_summer_that_was_low_last_year_is_forecast_lower_this_year():
    generator = np.random.default_rng(9)
    periods, ahead = 2 * YEAR + 25, slice(5, 28)  # the third summer begins five days after the cutoff
    day = np.arange(periods + 28)
    level = np.where((day % YEAR >= 30) & (day % YEAR < 58), 0.6, 1.0)
    counts = generator.poisson(300 * level * WEEK[day % 7], (4, periods + 28)).astype(float)
    made = [
        forecast_series(some, types(some.shape[1] + 28), start_day=0, horizon=28, season_length=7).mean[:, ahead].sum()
        for some in (counts[:, :periods], counts[:, YEAR + 1 : periods])
    ]
    assert made[0] < 0.95 * made[1]
