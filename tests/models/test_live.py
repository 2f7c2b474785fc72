"""Live scores: each actual is compared with what was published for it, once, as first known."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from models import alerts, live
from models.alerts import LEVEL
from models.forecast import QUANTILES, Forecast
from models.live import (
    BLOCKS,
    advance,
    bytes_from_live,
    drift_ratio,
    first_scored,
    live_from_bytes,
    steps_issued,
    views_from_live,
)

START = 18_000
EPOCH = date(1970, 1, 1)


def forecast_at(cutoff: int, mean: np.ndarray, *, segment: str = "total", stage: str = "won") -> Forecast:
    """Exact Poisson quantiles around a mean of each step."""
    quantiles = stats.poisson.ppf(np.array(QUANTILES), mean[:, None])
    day = EPOCH + timedelta(days=cutoff)
    return Forecast(segment=segment, stage=stage, cutoff=day, model="exact", mean=mean, quantiles=quantiles)


def run(counts: np.ndarray, cutoffs: list[int], rate: float | np.ndarray, *, horizon: int = 28) -> live.Live:
    """What is known after versions at these cutoffs (periods seen), all forecasting `rate`."""
    state = None
    for seen in cutoffs:
        forecasts = [
            forecast_at(START + seen - 1, np.full(horizon, each), segment=f"s{row}")
            for row, each in enumerate(np.broadcast_to(rate, len(counts)))
        ]
        known, backtest = counts[:, :seen], np.full(len(counts), 0.1)
        state = advance(state, forecasts, known, start=START, backtest=backtest)
    return state


def test_intervals_that_are_right_hold_what_they_promise():
    counts = np.random.default_rng(2).poisson(40.0, (20, 160)).astype(float)
    state = run(counts, list(range(100, 161)), 40.0)
    n, _, _, error, covered80, covered95 = state.sums.sum(axis=0)[0]
    assert n == 20 * 57  # of 60 versions with a later day, three of the last still wait for a later step's
    assert 0.77 < covered80 / n < 0.86  # a count's interval holds a little more than it promises
    assert 0.94 < covered95 / n < 0.98
    assert abs(error / n) < 1.0


def test_each_actual_meets_the_forecast_that_was_published_for_its_day():
    ramp = np.arange(200.0)[None]
    state = None
    for seen in range(100, 151):
        mean = np.arange(seen, seen + 56, dtype=float)
        forecasts = [forecast_at(START + seen - 1, mean, segment="s0")]
        state = advance(state, forecasts, ramp[:, :seen], start=START, backtest=np.array([0.1]))
    n, _, _, error, covered80, _ = state.sums[0].T
    assert (n[:3] > 10).all()
    assert_array_equal(error, 0.0)
    assert_array_equal(covered80, n)
    assert_allclose(state.revised[..., 0], 0.0)
    assert len(state.alerts) == 0


def test_each_step_of_a_block_and_each_weekday_is_scored_in_its_turn():
    issued = [(cutoff, block, step) for cutoff in range(112) for block, step in steps_issued(cutoff, horizon=56)]
    for block, (first, last) in enumerate(BLOCKS):
        steps = [step for _, which, step in issued if which == block]
        weekdays = {(cutoff + step) % 7 for cutoff, which, step in issued if which == block}
        assert set(steps) == set(range(first, last + 1))
        assert weekdays == set(range(7))
    assert {block for block, _ in steps_issued(0, horizon=10)} == {0, 1}


def test_what_waits_does_not_grow_with_the_past():
    counts = np.full((1, 400), 5.0)
    sizes = {len(bytes_from_live(run(counts, list(range(100, last)), 5.0, horizon=56))) for last in (250, 390)}
    assert max(sizes) < 1.1 * min(sizes)


def test_several_days_at_once_are_each_scored_and_missing_ones_are_not():
    counts = np.full((1, 130), 30.0)
    counts[0, 105] = np.nan
    daily = run(counts, list(range(100, 131)), 30.0)
    weekly = run(counts, list(range(100, 131, 7)), 30.0)
    assert daily.looked[0, 0] == 29  # 30 new days, one of them missing
    assert weekly.looked[0, 0] == 27  # up to day 128
    assert 0 < weekly.sums[0, 0, 0] < daily.sums[0, 0, 0]


def test_an_actual_that_left_its_interval_is_an_alert_with_day_actual_and_interval():
    counts = np.full((2, 120), 30.0)
    counts[1, 110] = 95.0
    state = run(counts, list(range(100, 121)), 30.0)
    ((row, period, actual, low, high),) = state.alerts.tolist()
    assert (row, period, actual) == (1, START + 110, 95.0)
    expected = forecast_at(START, np.full(1, 30.0)).interval(LEVEL)
    assert (low, high) == (expected[0][0], expected[1][0])
    assert_array_equal(state.looked[:, 1], [0, 1])
    assert views_from_live(state)["live_alerts"][0, :2].tolist() == [1, 9]  # days before the cutoff, that of day 119
    later = run(np.full((2, 200), 30.0), [100, 101], 30.0)
    assert len(later.alerts) == 0


def test_alerts_are_forgotten_after_a_while_and_bounded(monkeypatch):
    counts = np.full((3, 160), 30.0)
    counts[:, 110] = 95.0
    assert len(run(counts, list(range(100, 121)), 30.0).alerts) == 3
    assert len(run(counts, list(range(100, 150)), 30.0).alerts) == 0
    monkeypatch.setattr(alerts, "MOST_ALERTS", 2)
    counts[1, 110] = 50.0  # the least far out
    kept = run(counts, list(range(100, 121)), 30.0)
    assert kept.alerts[:, 0].tolist() == [0.0, 2.0]
    assert_array_equal(kept.looked[:, 1], 1)


def test_a_correction_of_a_scored_day_changes_nothing_and_a_retrain_of_the_same_day_scores_nothing():
    counts = np.random.default_rng(4).poisson(30.0, (2, 140)).astype(float)
    once = run(counts, list(range(100, 131)), 30.0)
    state = run(counts[:, :130], list(range(100, 131)), 30.0)
    corrected = counts[:, :130].copy()
    corrected[:, 100:125] += 500.0
    forecasts = [forecast_at(START + 129, np.full(28, 31.0), segment=f"s{row}") for row in range(2)]
    again = advance(state, forecasts, corrected, start=START, backtest=np.full(2, 0.1))
    assert_array_equal(again.sums, once.sums)
    assert_array_equal(again.issued, once.issued)
    assert_array_equal(again.looked, once.looked)
    assert (again.revised[..., 0] > once.revised[..., 0]).any()  # the forecast did change


def test_young_days_wait_to_be_scored_and_are_looked_at_as_what_they_will_be():
    counts = np.full((1, 120), 30.0)
    counts[0, -1] = 15.0
    state = run(counts[:, :119], list(range(100, 120)), 30.0)
    made = [forecast_at(START + 119, np.full(28, 30.0), segment="s0")]
    half, less, whole = (
        advance(state, made, counts, start=START, backtest=np.full(1, 0.1), told=told)
        for told in (np.array([[0.5]]), np.array([[0.4]]), None)
    )
    assert (len(half.alerts), len(less.alerts), len(whole.alerts)) == (0, 0, 1)
    assert half.looked[0, 0] == state.looked[0, 0] + 1
    assert_array_equal(less.looked, state.looked)
    assert_array_equal(half.sums, state.sums)
    assert whole.sums[0, 0, 0] == state.sums[0, 0, 0] + 1


def test_revisions_are_absolute_changes_of_the_mean_for_the_same_day():
    counts = np.full((1, 120), 30.0)
    state = None
    for seen, rate in ((100, 20.0), (101, 30.0)):
        forecasts = [forecast_at(START + seen - 1, np.full(28, rate), segment="s0")]
        state = advance(state, forecasts, counts[:, :seen], start=START, backtest=np.array([0.1]))
    changed, expected = state.revised[0, 0]
    assert (changed, expected) == (70.0, 175.0)
    assert state.revised[0, 2, 0] == 130.0  # of steps 15 to 28 the last was not forecast before


def test_a_retrain_after_several_days_compares_forecasts_of_the_same_day():
    state = None
    for seen in (100, 103, 110):
        forecasts = [forecast_at(START + seen - 1, np.arange(seen, seen + 28, dtype=float), segment="s0")]
        state = advance(state, forecasts, np.arange(110.0)[None, :seen], start=START, backtest=np.array([0.1]))
    assert_array_equal(state.revised[..., 0], 0.0)
    assert (state.revised[0, :3, 1] > 0).all()


def test_a_bad_time_is_forgotten_when_it_is_over():
    counts = np.full((1, 200), 40.0)
    counts[:, 100:140] = 70.0
    state = run(counts, list(range(100, 201)), 40.0)
    assert drift_ratio(state.sums, np.column_stack([state.recent, state.backtest]))[0] < 1.0


def test_a_series_whose_recent_loss_is_far_above_the_backtest_s_drifts():
    counts = np.full((2, 140), 40.0)
    counts[1, 100:] = 70.0
    state = run(counts, list(range(100, 141)), 40.0)
    ratio = drift_ratio(state.sums, np.column_stack([state.recent, state.backtest]))
    assert ratio[0] < 1.0
    assert ratio[1] > 3.0
    young = run(counts, list(range(100, 110)), 40.0)
    assert np.isnan(drift_ratio(young.sums, np.column_stack([young.recent, young.backtest]))).all()


def test_series_that_come_go_and_change_places_keep_their_own_scores():
    counts = np.random.default_rng(6).poisson(25.0, (3, 140)).astype(float)
    state = run(counts, list(range(100, 131)), 25.0)
    forecasts = [forecast_at(START + 130, np.full(28, 25.0), segment=name) for name in ("s2", "new", "s0")]
    order = counts[[2, 1, 0], :131].copy()
    order[1] = 25.0
    moved = advance(state, forecasts, order, start=START, backtest=np.full(3, 0.1))
    stayed = run(counts, list(range(100, 132)), 25.0)
    assert_array_equal(moved.sums[[2, 0]], stayed.sums[[0, 2]])
    assert moved.sums[1].sum() == 0.0
    assert_array_equal(moved.alerts[moved.alerts[:, 0] == 2][:, 1:], stayed.alerts[stayed.alerts[:, 0] == 0][:, 1:])


@pytest.mark.parametrize("horizon", [5, 28, 56])
def test_it_comes_back_from_bytes_and_goes_on_the_same(horizon):
    counts = np.random.default_rng(8).poisson(12.0, (3, 160)).astype(float)
    state = run(counts, list(range(100, 131)), 12.0, horizon=horizon)
    back = live_from_bytes(bytes_from_live(state))
    assert bytes_from_live(back) == bytes_from_live(state)
    forecasts = [forecast_at(START + 130, np.full(horizon, 12.0), segment=f"s{row}") for row in range(3)]
    one, other = (
        advance(each, forecasts, counts[:, :131], start=START, backtest=np.full(3, 0.1)) for each in (state, back)
    )
    assert_array_equal(one.sums, other.sums)
    assert_array_equal(one.looked, other.looked)


def test_another_history_that_ends_earlier_starts_the_scores_anew():
    counts = np.full((1, 140), 30.0)
    state = run(counts, [*range(100, 131), 90], 30.0)
    assert state.sums.sum() == 0.0
    assert state.cutoff == START + 89


@pytest.mark.parametrize("horizon", [10, 28, 56])
@pytest.mark.parametrize("seen", [100, 103])
def test_it_is_known_beforehand_when_each_block_has_its_first_score(seen, horizon):
    counts = np.full((1, 200), 10.0)
    wanted = first_scored(START + seen - 1, horizon=horizon)
    assert [each is None for each in wanted] == [first > horizon for first, _ in BLOCKS]
    for block, first in enumerate(each for each in wanted if each is not None):
        for upto, known in ((first - START, 0), (first - START + 1, 1)):
            state = run(counts, list(range(seen, upto + 1)), 10.0, horizon=horizon)
            assert state.sums[0, block, 0] == known
