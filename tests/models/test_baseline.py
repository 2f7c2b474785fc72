"""Baselines on series whose answer is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.baseline import seasonal_naive, weekday_mean
from models.forecast import QUANTILES

WEEK = np.arange(1.0, 8.0)
BOTH = pytest.mark.parametrize("baseline", [seasonal_naive, weekday_mean])


@BOTH
def test_a_repeating_week_is_repeated_from_the_day_after_the_cutoff(baseline):
    counts = np.tile(WEEK, 10)[None, :66]
    mean, _ = baseline(counts, horizon=9, season_length=7)
    assert_allclose(mean[0], [4, 5, 6, 7, 1, 2, 3, 4, 5])


@BOTH
@pytest.mark.parametrize("periods", [1, 3, 7, 8, 20])
def test_it_answers_from_the_first_day(baseline, periods):
    counts = np.full((2, periods), 6.0)
    mean, quantiles = baseline(counts, horizon=28, season_length=7)
    assert mean.shape == (2, 28)
    assert quantiles.shape == (2, 28, len(QUANTILES))
    assert (quantiles >= 0).all()
    assert (np.diff(quantiles, axis=2) >= 0).all()


def test_seasonal_naive_repeats_the_last_season_and_not_an_older_one():
    counts = np.concatenate([np.tile(WEEK, 4), WEEK * 10])[None]
    mean, _ = seasonal_naive(counts, horizon=14, season_length=7)
    assert_array_equal(mean[0], np.tile(WEEK * 10, 2))


def test_seasonal_naive_grows_wider_season_by_season():
    counts = np.random.default_rng(0).poisson(50, (1, 100)).astype(float)
    mean, quantiles = seasonal_naive(counts, horizon=21, season_length=7)
    width = quantiles[0, :, -1] - quantiles[0, :, 0]
    assert_allclose(width[[7, 14]] / width[0], np.sqrt([2, 3]), rtol=0.05)
    assert_allclose(mean[0], np.tile(counts[0, -7:], 3))


def test_a_missing_day_is_answered_by_the_same_weekday_before():
    counts = np.tile(WEEK, 5)[None].copy()
    counts[0, -3] = np.nan
    mean, _ = seasonal_naive(counts, horizon=7, season_length=7)
    assert_array_equal(mean[0], WEEK)


def test_weekday_means_look_back_eight_weeks_only():
    counts = np.concatenate([np.full(70, 100.0), np.full(56, 3.0)])[None]
    mean, _ = weekday_mean(counts, horizon=7, season_length=7)
    assert_allclose(mean, 3.0)
