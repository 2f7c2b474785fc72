"""Spreads learnt from counts whose distribution is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from numpy.testing import assert_allclose

from models import intervals
from models.forecast import QUANTILES
from models.origins import bucket_of_steps, make_origins
from models.quantiles import SCORES, count_probability, count_quantiles

HORIZON, PERIODS = 28, 500


def learnt(counts: npt.NDArray[np.float64], mean: float) -> npt.NDArray[np.float64]:
    """Spread of the longest steps, (n, 5), when `mean` was forecast throughout."""
    origins = make_origins(0, periods=counts.shape[1], horizon=HORIZON)
    forecasts = np.full((len(counts), len(origins.every), HORIZON), mean)
    wanted = np.arange(len(origins.every)) == len(origins.every) - 1
    state = intervals.make_state(len(counts), horizon=HORIZON)
    return intervals.advance(state, forecasts, counts, origins=origins, wanted=wanted)[1][:, -1, -1]


def gamma_poisson(mean: float, shape: float, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(7)
    return rng.poisson(rng.gamma(shape, mean / shape, size)).astype(float)


@pytest.mark.parametrize("mean", [0.3, 0.7, 1.5, 4.0, 8.0])
def test_scales_of_counts_as_forecast_are_one_however_small_the_mean(mean):
    scales = learnt(gamma_poisson(mean, 1e9, (40, PERIODS)), mean)[:, 2:].mean(axis=0)
    assert_allclose(scales, 1.0, atol=0.05)


@pytest.mark.parametrize("mean", [4.0, 6.0, 8.0])
def test_intervals_of_bursts_hold_what_they_promise_for_small_means(mean):
    counts = gamma_poisson(mean, 10.0, (40, PERIODS + 1000))
    came = counts[:, PERIODS:]
    bucket = bucket_of_steps(1)
    quantiles = np.array(
        [
            count_quantiles(np.array([mean]), bucket, spread[None], SCORES)[0]
            for spread in learnt(counts[:, :PERIODS], mean)
        ]
    )
    low, high = QUANTILES.index(0.1), QUANTILES.index(0.9)
    held = ((came >= quantiles[:, low, None]) & (came <= quantiles[:, high, None])).mean()
    assert held == pytest.approx(0.8, abs=0.03)


def test_small_counts_steadier_than_by_chance_narrow_their_interval():
    counts = np.tile([1.0, 2.0], PERIODS // 2)[None]
    assert learnt(counts, 1.5)[0, 2] < 0.8


def test_scales_of_amounts_between_the_counts_lie_on_either_side_of_one():
    counts = gamma_poisson(4.0, 1e9, (40, PERIODS))
    amounts = np.maximum(counts + np.random.default_rng(8).uniform(-0.5, 0.5, counts.shape), 0.0)
    _, lower, upper = learnt(amounts, 4.0)[:, 2:].mean(axis=0)
    assert lower == pytest.approx(upper, abs=0.1)


def test_periods_without_hope_of_an_event_teach_nothing():
    counts = np.zeros((1, PERIODS))
    assert_allclose(learnt(counts, 0.0)[0, 2:], 1.0, atol=1e-3)


def test_a_place_within_a_step_divides_its_probability():
    steps = [count_probability(2.0, 1.3, 0.1, count)[0] for count in range(60)]
    mass = np.diff(steps)
    count = np.arange(len(mass))
    assert steps[0] == 0.0
    assert mass.sum() == pytest.approx(1.0)
    assert mass @ count == pytest.approx(2.0)
    assert mass @ (count - 2.0) ** 2 == pytest.approx(1.3 * 2.0 + 0.1 * 4.0)
    below, told = count_probability(2.0, 1.3, 0.1, 3.25)
    assert below == pytest.approx(steps[3] + 0.25 * mass[3])
    assert told == pytest.approx(1 - mass[0])
    assert count_probability(2.0, 1.0, 0.0, 1)[0] == pytest.approx(np.exp(-2.0))
