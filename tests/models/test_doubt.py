"""Days that may or may not be holidays."""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from models.calendar import HOLIDAY
from models.doubt import Doubt, make_doubt, mixed, mixture_quantiles
from models.forecast import QUANTILES
from models.funnels import forecast_funnels, make_state
from models.metrics import quantile_loss
from models.panel import Panel

LOW, HIGH = np.linspace(1, 3, len(QUANTILES)), np.linspace(90, 110, len(QUANTILES))


def test_a_mixture_has_the_quantiles_of_the_likelier_half_on_its_side():
    quantiles = mixture_quantiles(HIGH, LOW, weight=0.35)
    assert (quantiles[: QUANTILES.index(0.3) + 1] < 5).all()
    assert (quantiles[QUANTILES.index(0.4) :] > 80).all()
    assert (np.diff(quantiles) >= 0).all()


def test_mixtures_without_weight_or_of_one_distribution_are_that_distribution():
    assert_allclose(mixture_quantiles(HIGH, LOW, weight=0.0), HIGH, rtol=1e-6)
    assert_allclose(mixture_quantiles(HIGH, LOW, weight=1.0), LOW, rtol=1e-6)
    assert_allclose(mixture_quantiles(HIGH, HIGH, weight=0.4), HIGH, rtol=1e-6)


def test_a_mixture_of_counts_that_are_all_zero_stays_finite():
    zeros = np.zeros(len(QUANTILES))
    assert_allclose(mixture_quantiles(zeros, zeros, weight=0.5), zeros, atol=1e-6)
    assert np.isfinite(mixture_quantiles(zeros, HIGH, weight=0.5)).all()


def test_nothing_at_all_stays_within_the_interval_of_a_mixture_of_small_counts():
    nothing = np.array([0, 0, 0, 0, 0, 0, 0.05, 0.3, 0.6, 0.9, 1.9])
    some = np.array([0, 0, 0, 0.2, 0.5, 0.7, 1.0, 1.3, 1.7, 2.2, 3.1])
    quantiles = mixture_quantiles(nothing, some, weight=0.3)
    assert (quantiles[:3] == 0).all()
    assert (np.diff(quantiles) >= 0).all()


def test_a_mixture_costs_less_than_a_guess_when_either_is_as_likely():
    guess = (quantile_loss(np.array([2.0]), HIGH[None]) + quantile_loss(np.array([100.0]), HIGH[None])) / 2
    both = mixture_quantiles(HIGH, LOW, weight=0.5)[None]
    known = (quantile_loss(np.array([2.0]), both) + quantile_loss(np.array([100.0]), both)) / 2
    assert known < 0.7 * guess


def test_only_days_that_are_believed_to_be_either_are_in_doubt():
    plain = np.array([0, 1, 2, 3])
    types = np.array([0, HOLIDAY, 2, HOLIDAY])
    doubt = make_doubt(types, plain, np.array([0.05, 0.6, 0.4, 0.99]))
    assert doubt is not None
    assert_array_equal(doubt.day_types, [0, 1, HOLIDAY, HOLIDAY])
    assert_allclose(doubt.weight, [0, 0.4, 0.4, 0])
    assert doubt.note(date(2024, 4, 29)).endswith("2024-05-01 (60%), 2024-05-02 (40%)")
    assert make_doubt(plain, plain, np.zeros(4)) is None


def test_the_state_at_a_cutoff_says_again_what_it_said_there_and_a_holiday_is_told_apart():
    counts = np.random.default_rng(0).poisson(np.tile([60, 60, 60, 60, 60, 9, 5], 30)[None, None].repeat(2, 1) * 1.0)
    types = np.arange(210 + 28) % 7
    state = make_state(1, entities=(False,), horizon=28, season_length=7)
    panel = Panel(counts.astype(float), [[None]], types, 738_000, 7)
    made, _, after = forecast_funnels(state, panel, horizon=28)

    def again(day_types):
        ahead = Panel(np.zeros((1, 2, 0)), [[None]], day_types, 738_000, 7)
        return forecast_funnels(after, ahead, horizon=28)[0]

    same = again(types[210:])
    assert_array_equal(same.mean, made.mean)
    assert_array_equal(same.quantiles, made.quantiles)
    holiday = types[210:].copy()
    holiday[2] = HOLIDAY
    other = again(holiday)
    assert other.mean[0, 2] < 0.5 * made.mean[0, 2]
    both = mixed(made, other, Doubt(holiday, np.where(holiday == HOLIDAY, 0.5, 0.0)).weight)
    assert both.quantiles[0, 2, 1] < 0.5 * made.mean[0, 2] < both.quantiles[0, 2, -2]
    assert_array_equal(np.delete(both.mean[0], 2), np.delete(made.mean[0], 2))
    assert_allclose(both.mean[1, 3:9], (made.mean[1, 3:9] + other.mean[1, 3:9]) / 2)
    assert (both.mean[1, 3:9] < made.mean[1, 3:9]).all()
    assert_array_equal(both.mean[1, 9:], made.mean[1, 9:])
