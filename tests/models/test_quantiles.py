"""Quantiles of counts as they are served, beside those of distributions that are known."""

from datetime import date

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import nbinom, poisson

from models.baseline import seasonal_naive
from models.calendar import Calendar
from models.engine import fit
from models.forecast import QUANTILES
from models.history import History
from models.metrics import quantile_loss
from models.quantiles import BOUNDS, SCORES, count_quantiles, settle, settled

INNER = slice(BOUNDS, -BOUNDS)
SMALL = [0.01, 0.03, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 12.0]


def read(mean: float, *, phi: float = 1.0, psi: float = 0.0) -> np.ndarray:
    """Quantiles between the whole numbers."""
    spread = np.array([[phi, psi, 1.0, 1.0, 1.0]])
    return count_quantiles(np.array([mean]), np.zeros(1, dtype=np.int64), spread, SCORES)[0]


def served(mean: float, **spread: float) -> np.ndarray:
    return settled(np.array([[mean]]), read(mean, **spread)[None, None])[0, 0]


def expected_loss(quantiles: np.ndarray, mean: float) -> float:
    count = np.arange(100.0)
    return float(poisson.pmf(count, mean) @ quantile_loss(count, np.tile(quantiles, (len(count), 1))))


@pytest.mark.parametrize("mean", SMALL)
def test_inner_quantiles_of_a_poisson_number_are_its_own(mean):
    assert_array_equal(served(mean)[INNER], poisson.ppf(QUANTILES, mean)[INNER])


@pytest.mark.parametrize("mean", SMALL)
def test_rare_counts_cost_what_they_cost_whoever_knows_their_distribution(mean):
    least = expected_loss(poisson.ppf(QUANTILES, mean), mean)
    assert least <= expected_loss(served(mean), mean) < 1.01 * least
    if mean <= 0.1:
        assert expected_loss(read(mean), mean) > 1.6 * least


@pytest.mark.parametrize("mean", [*SMALL, 40.0, 3000.0])
@pytest.mark.parametrize("spread", [{}, {"phi": 1.6, "psi": 0.1}, {"phi": 4.0}])
def test_the_bounds_hold_the_counts_that_they_held(mean, spread):
    before, after = read(mean, **spread), served(mean, **spread)
    for bound in range(BOUNDS):
        assert np.ceil(after[bound]) == np.ceil(before[bound])
        assert np.floor(after[-1 - bound]) == np.floor(before[-1 - bound])
    assert (np.diff(after) >= 0).all()
    assert (np.abs(after - before) < 1).all()


@pytest.mark.parametrize("mean", [0.1, 0.5, 2.0])
def test_bursts_are_nearly_at_their_own_quantiles_too(mean):
    size = mean / 0.6  # variance 1.6 times the mean
    own = nbinom.ppf(QUANTILES, size, 1 / 1.6)
    assert_allclose(served(mean, phi=1.6)[INNER], own[INNER], atol=1.0)
    assert (served(mean, phi=1.6)[INNER] == own[INNER]).mean() >= 6 / 7


def test_quantiles_between_the_same_two_counts_do_not_cross():
    quantiles = np.array([0.1, 0.2, 0.3, 0.31, 0.32, 0.33, 0.34, 0.35, 0.36, 0.37, 0.38])
    settle(0.5, quantiles)
    assert_allclose(quantiles, [0.1, *[0.2] * 8, 0.37, 0.37])


def test_no_interval_holds_a_count_more_or_less_whatever_the_distribution():
    generator = np.random.default_rng(6)
    for _ in range(20_000):
        mean = np.exp(generator.uniform(-4, 4))
        before = np.sort(mean * generator.gamma(0.5, 2.0, len(QUANTILES)))
        after = before.copy()
        settle(mean, after)
        assert (np.diff(after) >= 0).all()
        for bound in range(BOUNDS):
            held, holds = ((np.ceil(each[bound]), np.floor(each[-1 - bound])) for each in (before, after))
            assert held == holds or max(held[1] - held[0], holds[1] - holds[0]) < 0


def test_enormous_counts_stay_what_they_are():
    quantiles = np.linspace(1e19, 2e19, len(QUANTILES))
    settle(1.5e19, quantiles)
    assert_allclose(quantiles, np.linspace(1e19, 2e19, len(QUANTILES)))


def test_nothing_expected_is_nothing():
    assert_array_equal(served(0.0), 0.0)


def forecast(y: np.ndarray, **more: object):
    history = History(date(2023, 1, 2), "day", (), ("won",), y[None, None], counted=("won",), **more)
    return fit(history, calendar=Calendar(), horizon=28)


def test_a_stage_that_comes_in_fractions_is_read_between_the_whole_numbers():
    y = np.random.default_rng(1).poisson(2.0, 200).astype(float)
    (whole,) = forecast(y).forecasts
    assert_array_equal(whole.quantiles[:, INNER], np.round(whole.quantiles[:, INNER]))
    y[3] = 0.5
    (between,) = forecast(y).forecasts
    assert (between.quantiles[:, INNER] != np.round(between.quantiles[:, INNER])).all()
    _, naive = seasonal_naive(y[None], horizon=28, season_length=7)
    assert (naive[..., INNER] != np.round(naive[..., INNER])).mean() > 0.5


def test_the_first_fraction_is_taken_up_when_it_comes_whatever_was_known_before():
    y = np.random.default_rng(2).poisson(1.0, 230).astype(float)
    y[150] = 0.25
    history = History(date(2023, 1, 2), "day", (), ("won",), y[None, None], counted=("won",))
    size = {"calendar": Calendar(), "horizon": 28}
    fresh = fit(history, **size)
    early = History(date(2023, 1, 2), "day", (), ("won",), y[None, None, :140], counted=("won",))
    later = fit(history, before=fit(early, **size).memory, **size)
    assert later.appended == 1
    assert later.memory == fresh.memory
    assert later.scorecard == fresh.scorecard
    assert_array_equal(later.forecasts[0].quantiles, fresh.forecasts[0].quantiles)


def test_rare_counts_are_scored_as_they_are_served():
    generator = np.random.default_rng(3)
    made = [forecast(generator.poisson(0.1, 320).astype(float)) for _ in range(20)]
    skill = np.array([score.skill for each in made for score in each.scorecard])
    assert np.nanmedian(skill) > 0.25
