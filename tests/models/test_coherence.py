"""Segments add up to the total, whatever each of them said alone."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from models import engine
from models.calendar import Calendar
from models.coherence import coherent
from models.errors import ForecastError
from models.forecast import QUANTILES
from models.history import History

STEPS = 3
SPREAD = np.linspace(0.5, 1.5, len(QUANTILES))


def shared(means: np.ndarray, shares: list[float | None]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forecasts of one stage, the total first; `shares`: of each, what is in flight, None where that is not known."""
    mean = np.asarray(means, dtype=float)[:, None]
    flying = mean * np.array([np.nan if share is None else share for share in shares])[:, None, None]
    return tuple(part[:, 0] for part in coherent(mean, mean[..., None] * SPREAD, flying))


means = arrays(np.float64, (4, STEPS), elements=st.floats(0, 1e4))
shares = st.lists(st.none() | st.floats(0, 1), min_size=4, max_size=4)


@given(means, shares)
def test_segments_add_up_and_the_total_stays(given_means, given_shares):
    mean, quantiles, in_flight = shared(given_means, given_shares)
    scale = max(1.0, float(mean[0].max()))
    assert_array_equal(mean[0], given_means[0])
    assert_array_equal(quantiles[0], given_means[0, :, None] * SPREAD)
    assert_allclose(mean[1:].sum(axis=0), mean[0], atol=1e-9 * scale)
    if None not in given_shares:
        assert_allclose(in_flight[1:].sum(axis=0), in_flight[0], atol=1e-9 * scale)
    assert [bool(np.isnan(row).any()) for row in in_flight] == [share is None for share in given_shares]
    told = np.isfinite(in_flight)
    assert (in_flight[told] >= 0).all()
    assert (in_flight[told] <= mean[told] + 1e-9 * scale).all()


def test_segments_share_in_proportion_and_their_spread_moves_with_them():
    mean, quantiles, _ = shared([[12, 12, 12], [3, 3, 3], [1, 1, 1]], [0.25, 0.25, 0.25])
    assert_allclose(mean[1:], [[9, 9, 9], [3, 3, 3]])
    assert_allclose(quantiles[1, 0] / 9, SPREAD)


def test_segments_whose_parts_are_not_all_known_keep_their_own():
    mean, _, in_flight = shared([[12, 12, 12], [3, 3, 3], [1, 1, 1]], [0.5, 0.25, None])
    assert_allclose(in_flight[1], 0.25 * mean[1])
    assert np.isnan(in_flight[2]).all()


def test_where_no_segment_expects_anything_they_share_equally():
    mean, quantiles, _ = shared([[6, 6, 0], [0, 0, 0], [0, 0, 0]], [0.25, 0.25, 0.25])
    assert_allclose(mean[1], [3, 3, 0])
    assert_allclose(quantiles[2, 0], 3 * SPREAD)


def test_a_funnel_without_segments_is_left_alone():
    mean, quantiles, in_flight = shared(np.ones((1, STEPS)), [0.5])
    assert_array_equal(mean, np.ones((1, STEPS)))
    assert_array_equal(quantiles, np.ones((1, STEPS, 1)) * SPREAD)
    assert_array_equal(in_flight, np.full((1, STEPS), 0.5))


def test_the_explosion_guard_of_a_segment_does_not_stand_against_the_total(monkeypatch):
    counts = np.random.default_rng(3).poisson(4.0, (2, 1, 60)).astype(float)
    past = History(date(2025, 1, 6), "day", ("a", "b"), ("lead",), counts)
    monkeypatch.setattr(engine, "coherent", lambda mean, quantiles, in_flight: (mean * 99, quantiles * 99, in_flight))
    with pytest.raises(ForecastError, match=r"total/lead .* above its ceiling"):
        engine.fit(past, calendar=Calendar(country="NL"), horizon=14)
    first = np.arange(3)[:, None, None] > 0
    monkeypatch.setattr(
        engine,
        "coherent",
        lambda mean, quantiles, in_flight: (
            np.where(first, mean * 99, mean),
            np.where(first[..., None], quantiles * 99, quantiles),
            in_flight,
        ),
    )
    _, *segments = engine.fit(past, calendar=Calendar(country="NL"), horizon=14).forecasts
    assert all(segment.mean.max() > 99 and segment.ceiling >= segment.mean.max() for segment in segments)


@pytest.mark.parametrize("periods", [10, 90])
def test_a_funnel_with_thin_and_new_segments_is_coherent(periods):
    rng = np.random.default_rng(7)
    counts = rng.poisson(np.array([20.0, 8.0, 0.05])[:, None, None], (3, 2, periods)).astype(float)
    counts = np.concatenate([counts, np.zeros((1, 2, periods))])
    counts[3, :, -4:] = 5.0
    segments = ("big", "mid", "thin", "new")
    past = History(date(2025, 1, 6), "day", segments, ("lead", "won"), counts)
    forecasts = {
        (f.segment, f.stage): f for f in engine.fit(past, calendar=Calendar(country="NL"), horizon=14).forecasts
    }
    for stage in past.stages:
        parts = [forecasts[segment, stage].mean for segment in segments]
        assert_allclose(sum(parts), forecasts["total", stage].mean, rtol=1e-9)
    assert forecasts["new", "lead"].mean.sum() > 0
