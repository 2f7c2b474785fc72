"""Value is the funnel again, with entities that count by what they are worth."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.backtest import backtest
from models.calendar import Calendar
from models.cleaning import clean
from models.engine import Fitted, fit
from models.errors import HistoryError
from models.funnel import Funnel
from models.history import NEVER, Entities, History, make_history
from models.records import Counts, Events
from models.value import GRAIN, priced_of_history

CALENDAR = Calendar(country="NL")
PERIODS = 120
DAY = 86_400_000_000
FIRST = 19_723
"""2024-01-01, days since 1970."""


def history_of(worth, *, waiting_factor: float = 1.0) -> History:
    """Two segments, offer -> won after 1 to 20 days, each entity with a value; those still waiting by a factor."""
    generator = np.random.default_rng(4)
    offer = np.repeat(np.arange(PERIODS), 12)
    won = np.where(generator.random(len(offer)) < 0.7, offer + generator.integers(1, 20, len(offer)), NEVER)
    won = np.where(won >= PERIODS, NEVER, won)
    segment = np.arange(len(offer)) % 2
    value = worth(generator, len(offer)) * np.where((won == NEVER) & (offer > PERIODS - 20), waiting_factor, 1.0)
    days = np.stack([offer, won], axis=1).astype(np.int32)
    counts, money = np.zeros((2, 2, PERIODS)), np.zeros((2, 2, PERIODS))
    for stage in (0, 1):
        reached = days[:, stage] != NEVER
        np.add.at(counts, (segment[reached], stage, days[reached, stage]), 1.0)
        np.add.at(money, (segment[reached], stage, days[reached, stage]), value[reached])
    entities = Entities(
        days,
        segment.astype(np.int32),
        np.full(len(offer), NEVER, dtype=np.int32),
        value,
        amounts=np.repeat(value[:, None], 2, axis=1),
    )
    return History(date(2024, 1, 1), "day", ("a", "b"), ("offer", "won"), counts, value=money, entities=entities)


def fitted(history: History) -> Fitted:
    return fit(history, calendar=CALENDAR, horizon=28)


@pytest.fixture(scope="module")
def plain() -> Fitted:
    return fitted(history_of(lambda _, size: np.full(size, 250.0)))


def test_where_everything_is_worth_the_same_value_is_the_count_times_that(plain):
    for forecast in plain.forecasts:
        assert_allclose(forecast.value.mean.sum(), 250 * forecast.mean.sum(), rtol=0.05)
        assert_allclose(forecast.value.in_flight.sum(), 250 * forecast.in_flight.sum(), rtol=0.1, atol=1.0)
        assert 0.6 < np.ptp(forecast.value.interval(80), axis=0).sum() / (
            250 * np.ptp(forecast.interval(80), axis=0).sum()
        ) < 1.6  # fmt: skip


def test_parts_make_the_mean_segments_make_the_total_and_it_is_scored_in_money(plain):
    by = {(forecast.segment, forecast.stage): forecast.value for forecast in plain.forecasts}
    for (segment, stage), value in by.items():
        assert_allclose(value.in_flight + value.new, value.mean, rtol=1e-9)
        if segment == "total":
            assert_allclose(by["a", stage].mean + by["b", stage].mean, value.mean, rtol=1e-9)
            assert value.model == ("cascade+count*price" if stage == "won" else "count*price")
    scores = {
        measure: [score for score in plain.scorecard if score.measure == measure] for measure in ("count", "value")
    }
    assert len(scores["count"]) == len(scores["value"]) > 0
    for one, other in zip(scores["count"], scores["value"], strict=True):
        assert (one.segment, one.stage, one.n) == (other.segment, other.stage, other.n)
        assert_allclose(other.wql, one.wql, rtol=0.25)
    assert all(0.6 < value.coverage[80].measured <= 1 for value in by.values())


def test_what_is_in_flight_counts_by_its_own_value(plain):
    dear = fitted(history_of(lambda _, size: np.full(size, 250.0), waiting_factor=3.0))
    for one, other in zip(plain.forecasts, dear.forecasts, strict=True):
        if one.stage == "won":
            assert_allclose(other.mean, one.mean)  # no more of them
            assert other.value.in_flight[:10].sum() > 1.5 * one.value.in_flight[:10].sum()


def test_a_unit_makes_money_vary_like_counts_and_what_waits_is_a_whole_number_of_grains():
    history = history_of(lambda generator, size: generator.lognormal(6, 1.2, size))
    priced = priced_of_history(history)
    assert_allclose(priced.amounts * priced.units[:, None, None], history.money.reshape(3, 2, PERIODS))
    arrivals = priced.amounts[0, 0]  # 12 a day, so that only values vary: variance = mean x share of cv^2
    assert 0.3 < arrivals.var() / arrivals.mean() < 2.5
    moves = priced.moves[0][0]
    kept = moves[moves[:, 3] == 0]
    assert_allclose(kept[:, 4].sum() * GRAIN, arrivals.sum(), rtol=1e-4)
    longer = replace(history, value=history.value.copy())
    longer.value[:, :, -1] *= 9.0  # later values leave the unit alone
    assert_array_equal(priced_of_history(longer).units, priced.units)


def test_the_unit_of_a_segment_is_that_of_its_own_entities():
    history = history_of(lambda _, size: np.where(np.arange(size) % 2 == 0, 5.0, 5000.0))
    assert_allclose(priced_of_history(history).units[1:], [5.0, 5000.0])


def counts_with_value(*, told: bool = True) -> Counts:
    generator = np.random.default_rng(0)
    y = generator.poisson(30, 100).astype(float)
    value = y * 20 if told else np.full(100, np.nan)
    names = np.full(100, "sold", dtype=object)
    return Counts((FIRST + np.arange(100)) * DAY, names, y, value, np.full(100, "", dtype=object))


def test_counts_with_a_value_are_forecast_in_value_too():
    history = make_history(Funnel(stages=("sold",)), counts=counts_with_value(), cutoff=date(2024, 4, 9))
    (forecast,) = fitted(history).forecasts
    assert_allclose(forecast.value.mean, 20 * forecast.mean, rtol=0.02)


def test_one_wild_amount_moves_the_forecast_of_money_little():
    counts = counts_with_value()
    counts.value[80] *= 100
    history = make_history(Funnel(stages=("sold",)), counts=counts, cutoff=date(2024, 4, 9))
    (forecast,) = fitted(history).forecasts
    assert 20 * 0.98 < forecast.value.mean.sum() / forecast.mean.sum() < 20 * 1.1


def test_refunds_beyond_what_came_in_leave_no_forecast_below_zero():
    counts = counts_with_value()
    counts.value[60:] = -500.0
    history = make_history(Funnel(stages=("sold",)), counts=counts, cutoff=date(2024, 4, 9))
    assert history.money.min() == 0.0
    (forecast,) = fitted(history).forecasts
    assert forecast.value.mean.min() >= 0.0


def test_values_that_are_all_negative_are_forecast_as_0_and_said_so_where_value_is_told():
    counts = counts_with_value()
    counts.value[:] = -20.0
    history = make_history(Funnel(stages=("sold",)), counts=counts, cutoff=date(2024, 4, 9))
    cleaned, _ = clean(history, calendar=Calendar())
    (forecast,) = fitted(cleaned).forecasts
    assert_array_equal(forecast.value.mean, 0.0)
    assert "2024-01-01 to 2024-04-09: the value of 100 days is below zero" in forecast.value.repairs[0]
    assert forecast.repairs == ()


def test_a_backtest_of_value_scores_money_and_says_when_there_is_none():
    cutoffs, funnel = [date(2024, 2, 29), date(2024, 3, 10)], Funnel(stages=("sold",))
    result = backtest(None, counts_with_value(), funnel, cutoffs=cutoffs, horizon=14, measure="value")
    assert {score.measure for score in result.scorecard} == {"value"}
    assert_allclose(result.forecasts[0].mean.mean(), 600, rtol=0.1)
    assert all(score.wql < 0.3 for score in result.scorecard)
    with pytest.raises(HistoryError, match="carries a value"):
        backtest(None, counts_with_value(told=False), funnel, cutoffs=cutoffs, horizon=14, measure="value")


def test_stages_before_the_first_value_have_none_and_the_first_one_keeps_its_parts():
    ids = np.array([f"e{number}" for number in range(400) for _ in (0, 1)], dtype=object)
    ts = np.array([(FIRST + number // 4 + wait) * DAY for number in range(400) for wait in (0, 3)])
    value = np.array([np.nan, 100.0] * 400)
    stage, none = np.array(["lead", "won"] * 400, dtype=object), np.full(800, NEVER, dtype=np.int32)
    events = Events(ids, stage, ts, value, none, np.full(800, "", dtype=object))
    history = make_history(Funnel(stages=("lead", "won")), events=events, cutoff=date(2024, 4, 9))
    lead, won = fitted(history).forecasts
    assert lead.value is None
    assert_allclose(won.value.mean, 100 * won.mean, rtol=0.05)
    assert_allclose(won.value.in_flight / won.value.mean, won.in_flight / won.mean, rtol=1e-9)
