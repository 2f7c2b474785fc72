"""The intervals of in flight and new fit each other and that of their sum."""

from datetime import date

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.errors import HorizonError
from models.forecast import QUANTILES, Forecast
from models.intervals import SCORES
from models.parts import part_intervals


def made(share: float | None, *, mean: float = 100.0, spread: float = 15.0) -> Forecast:
    means = np.full(5, mean)
    return Forecast(
        segment="total",
        stage="won",
        cutoff=date(2024, 1, 31),
        model="cascade",
        mean=means,
        quantiles=np.maximum(means[:, None] + spread * SCORES, 0.0),
        in_flight=None if share is None else means * share,
        new=None if share is None else means - means * share,
    )


def test_parts_put_together_as_independent_ones_have_the_interval_of_the_whole():
    forecast = made(0.3)
    for level in (80, 95):
        low, high = forecast.interval(level)
        halves = [(upper - lower) / 2 for lower, upper in part_intervals(forecast, level)]
        assert_allclose(np.hypot(*halves), (high - low) / 2)
        assert_allclose(halves[0] / halves[1], np.sqrt(0.3 / 0.7))


def test_thinned_negative_binomials_are_held_as_often_as_promised():
    generator = np.random.default_rng(1)
    mean, ratio, share = 40.0, 3.0, 0.25  # of the variance to the mean; of what is in flight
    whole = generator.negative_binomial(mean / (ratio - 1), 1 / ratio, 200_000)
    part = generator.negative_binomial(share * mean / (ratio - 1), 1 / ratio, 200_000)
    bounds = np.quantile(whole, QUANTILES)
    forecast = Forecast(
        "total", "won", date(2024, 1, 31), "cascade", np.array([mean]), bounds[None],
        in_flight=np.array([share * mean]), new=np.array([mean - share * mean]),
    )  # fmt: skip
    (low, high), _ = part_intervals(forecast, 80)
    assert 0.76 < ((part >= low) & (part <= high)).mean() < 0.88


def test_a_whole_of_one_part_is_that_part_and_nothing_is_below_zero():
    forecast = made(1.0, mean=3.0, spread=4.0)
    (low, high), (none, nothing) = part_intervals(forecast, 80)
    assert_allclose(np.stack([low, high]), np.stack(forecast.interval(80)))
    assert not np.any([none, nothing])
    assert min(bound.min() for pair in part_intervals(made(0.5, mean=1.0, spread=9.0), 95) for bound in pair) == 0.0


def test_parts_not_told_apart_have_no_intervals_and_other_levels_are_refused():
    assert part_intervals(made(None), 80) is None
    with pytest.raises(HorizonError, match="level 90"):
        part_intervals(made(0.5), 90)
