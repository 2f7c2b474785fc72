"""Segments add up to the total, whatever each of them said alone."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from models.calendar import Calendar
from models.coherence import coherent
from models.engine import fit
from models.forecast import QUANTILES, Forecast
from models.history import History

STEPS = 3


def made(segment: str, mean: np.ndarray, share: float | None = 0.25, *, ceiling: float = 1e9) -> Forecast:
    in_flight = None if share is None else mean * share
    return Forecast(
        segment=segment,
        stage="won",
        cutoff=date(2026, 1, 31),
        model="test",
        mean=mean,
        quantiles=mean[:, None] * np.linspace(0.5, 1.5, len(QUANTILES)),
        in_flight=in_flight,
        new=None if in_flight is None else mean - in_flight,
        ceiling=ceiling,
    )


def values(*rows: list[float]) -> list[np.ndarray]:
    return [np.array(row, dtype=float) for row in rows]


means = arrays(np.float64, (4, STEPS), elements=st.floats(0, 1e4))
shares = st.lists(st.none() | st.floats(0, 1), min_size=4, max_size=4)


@given(means, shares)
def test_segments_add_up_and_the_total_stays(given_means, given_shares):
    names = ("total", "a", "b", "c")
    before = [made(*parts) for parts in zip(names, given_means.copy(), given_shares, strict=True)]
    total, *segments = coherent(before)
    assert total is before[0]
    scale = max(1.0, float(total.mean.max()))
    assert_allclose(sum(f.mean for f in segments), total.mean, atol=1e-9 * scale)
    if None not in given_shares:
        assert_allclose(sum(f.in_flight for f in segments), total.in_flight, atol=1e-9 * scale)
        assert_allclose(sum(f.new for f in segments), total.new, atol=1e-9 * scale)


def test_segments_share_in_proportion_and_their_spread_moves_with_them():
    total, a, b = values([12, 12, 12], [3, 3, 3], [1, 1, 1])
    _, first, second = coherent([made("total", total), made("a", a), made("b", b)])
    assert_allclose(first.mean, [9, 9, 9])
    assert_allclose(second.mean, [3, 3, 3])
    assert_allclose(first.quantiles[0] / 9, np.linspace(0.5, 1.5, len(QUANTILES)))


def test_where_no_segment_expects_anything_they_share_equally():
    total, none = values([6, 6, 0], [0, 0, 0])
    _, first, second = coherent([made("total", total), made("a", none), made("b", none.copy())])
    assert_allclose(first.mean, [3, 3, 0])
    assert_allclose(second.quantiles[0], 3 * np.linspace(0.5, 1.5, len(QUANTILES)))


def test_the_explosion_guard_of_a_segment_does_not_stand_against_the_total():
    total, a = values([90, 90, 90], [3, 3, 3])
    _, only = coherent([made("total", total), made("a", a, ceiling=10)])
    assert_allclose(only.mean, total)


def test_stages_without_segments_are_left_alone():
    alone = made("total", np.ones(STEPS))
    assert coherent([alone]) == (alone,)


@pytest.mark.parametrize("periods", [10, 90])
def test_a_funnel_with_thin_and_new_segments_is_coherent(periods):
    rng = np.random.default_rng(7)
    counts = rng.poisson(np.array([20.0, 8.0, 0.05])[:, None, None], (3, 2, periods)).astype(float)
    counts = np.concatenate([counts, np.zeros((1, 2, periods))])
    counts[3, :, -4:] = 5.0
    segments = ("big", "mid", "thin", "new")
    past = History(date(2025, 1, 6), "day", segments, ("lead", "won"), counts)
    forecasts = {(f.segment, f.stage): f for f in fit(past, calendar=Calendar(country="NL"), horizon=14).forecasts}
    for stage in past.stages:
        parts = [forecasts[segment, stage].mean for segment in segments]
        assert_allclose(sum(parts), forecasts["total", stage].mean, rtol=1e-9)
    assert forecasts["new", "lead"].mean.sum() > 0
