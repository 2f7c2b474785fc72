"""Metrics against values worked out by hand; the sign of the error; missing actuals."""

import numpy as np
import pytest

from models import metrics
from models.forecast import QUANTILES


def test_bias_is_positive_when_the_forecast_is_too_high():
    assert metrics.bias(np.array([10.0, 10.0]), np.array([12.0, 13.0])) == pytest.approx(0.25)


def test_a_degenerate_forecast_has_its_absolute_error_as_quantile_loss():
    quantiles = np.full((2, len(QUANTILES)), 12.0)
    actual = np.array([10.0, 16.0])
    assert metrics.quantile_loss(actual, quantiles) == pytest.approx([2.0, 4.0])
    assert metrics.wql(actual, quantiles) == pytest.approx(6 / 26)
    assert metrics.wmape(actual, quantiles[:, 5]) == pytest.approx(6 / 26)


def test_pinball_weighs_under_and_over_forecasts_by_the_probability():
    quantiles = np.array([[np.nan] * len(QUANTILES), [np.nan] * len(QUANTILES)])
    quantiles[0, QUANTILES.index(0.9)], quantiles[1, QUANTILES.index(0.9)] = 8.0, 12.0
    losses = metrics.pinball(np.array([10.0, 10.0]), quantiles)[:, QUANTILES.index(0.9)]
    assert losses == pytest.approx([0.9 * 2, 0.1 * 2])


def test_coverage_counts_the_bounds_as_inside_and_leaves_out_what_is_missing():
    actual = np.array([1.0, 2.0, 3.0, np.nan])
    assert metrics.coverage(actual, np.full(4, 1.0), np.full(4, 2.0)) == pytest.approx(2 / 3)


def test_the_interval_score_is_the_width_plus_a_penalty_for_misses():
    score = metrics.interval_score(np.array([5.0, 12.0]), np.array([4.0, 4.0]), np.array([10.0, 10.0]), level=80)
    assert score == pytest.approx((6 + 6 + 2 / 0.2 * 2) / 2)


def test_scaled_errors_are_one_for_the_seasonal_naive_error_itself():
    history = np.array([0.0, 10.0, 2.0, 12.0, 4.0, 14.0])
    scale = metrics.seasonal_scale(history, season_length=2)
    assert scale == 2.0
    assert metrics.mase(np.array([6.0, 16.0]), np.array([4.0, 14.0]), scale=scale) == pytest.approx(1.0)
    flat = np.full((2, len(QUANTILES)), 5.0)
    assert metrics.sql(np.array([6.0, 6.0]), flat, scale=scale) == pytest.approx(0.5 / 2)


def test_what_cannot_be_measured_is_nan():
    assert np.isnan(metrics.wql(np.zeros(2), np.zeros((2, len(QUANTILES)))))
    assert np.isnan(metrics.coverage(np.array([np.nan]), np.zeros(1), np.ones(1)))
    assert np.isnan(metrics.seasonal_scale(np.ones(3), season_length=7))
