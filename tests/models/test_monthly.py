"""Months: what pay days, month ends and batches do is learnt where months agree on it, and only there."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models import monthly
from models.calendar import Calendar, number_from_day
from models.engine import fit
from models.history import History
from models.levers import unpack
from models.origins import make_origins

HORIZON = 28
START = date(2023, 1, 1)
PLAIN = Calendar()


def days_from(start: date, many: int) -> list[date]:
    return [start + timedelta(days=number) for number in range(many)]


def is_last(day: date) -> bool:
    return (day + timedelta(days=1)).month != day.month


def is_last_working_day(day: date) -> bool:
    later = [day + timedelta(days=number) for number in range(1, 4)]
    return day.weekday() < 5 and not any(each.weekday() < 5 and each.month == day.month for each in later)


def learnt(counts: np.ndarray, *, usual: np.ndarray, start: date = START) -> monthly.Months:
    """What is learnt of one series; `usual` (periods + HORIZON,) is always forecast without the effect."""
    first, periods = number_from_day(start), len(counts)
    origins = make_origins(first, periods=periods, horizon=HORIZON)
    months = monthly.Months(
        monthly.make_state(1, stages=1, horizon=HORIZON),
        counts[None, None],
        first_day=first,
        ordinary=np.ones(periods + HORIZON, dtype=np.bool_),
        origins=origins,
        declared=None,
    )
    plain = np.stack([usual[origin + 1 : origin + 1 + HORIZON] for origin in origins.asked])
    months(0, plain[None])
    return months


def factors(months: monthly.Months) -> np.ndarray:
    """At the cutoff, (HORIZON,)."""
    return months.again(0, np.zeros(0))[0, -1]


def test_places_are_days_and_working_days_of_months_the_last_ones_from_the_end():
    calendar, working, fortnight = monthly.places_of_days(number_from_day(date(2024, 2, 1)), 31)
    assert calendar[:29].tolist() == [*range(26), 30, 29, 28]  # a leap year: the 29th is the last
    assert calendar[29:].tolist() == [0, 1]
    assert working[:5].tolist() == [0, 1, -1, -1, 2]  # the first is a Thursday
    assert working[28] == monthly.WORKING_FROM_START
    assert (working == -1).sum() == 9
    assert_array_equal(np.diff(fortnight) % 14, 1)
    everything = monthly.places_of_days(number_from_day(date(2000, 1, 1)), 20_000)
    assert everything.min() == -1
    assert everything.max() < monthly.PLACES
    assert everything[0].min() == 0


def test_where_days_are_like_others_nothing_changes():
    usual = np.full(400 + HORIZON, 20.0)
    assert_array_equal(factors(learnt(usual[:400], usual=usual)), 1.0)
    told = [
        factors(learnt(np.random.default_rng(seed).poisson(20.0, 400).astype(float), usual=usual)) for seed in range(60)
    ]
    assert (np.array(told) != 1.0).mean() < 0.01
    assert_allclose(told, 1.0, atol=0.25)


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_a_day_that_is_special_in_every_month_has_its_factor_and_others_have_none(factor):
    days = days_from(START, 420 + HORIZON)
    usual = np.full(len(days), 100.0)
    rates = usual * np.array([factor if is_last(day) else 1.0 for day in days])
    found = factors(learnt(np.random.default_rng(1).poisson(rates[:420]).astype(float), usual=usual))
    last = np.array([is_last(day) for day in days[420:]])
    assert last.sum() == 1
    assert_allclose(found[last], factor, rtol=0.15)
    assert_allclose(found[~last], 1.0, atol=0.12)


def test_month_ends_come_on_the_last_working_day_where_weekends_rest():
    for end in range(390, 480, 15):
        days = days_from(START, end + HORIZON)
        usual = np.array([0.5 if day.weekday() >= 5 else 50.0 for day in days])
        rates = usual * np.array([4.0 if is_last_working_day(day) else 1.0 for day in days])
        found = factors(learnt(np.random.default_rng(end).poisson(rates[:end]).astype(float), usual=usual))
        special = np.array([is_last_working_day(day) for day in days[end:]])
        assert_allclose(found[special], 4.0, rtol=0.15)
        assert_allclose(found[~special], 1.0, atol=0.15)


def test_every_second_friday_has_its_factor_whatever_the_month():
    fridays = np.array([number_from_day(day) % 14 == 8 for day in days_from(START, 300 + HORIZON)])
    usual = np.full(len(fridays), 100.0)
    counts = np.random.default_rng(4).poisson(usual * np.where(fridays, 2.0, 1.0)).astype(float)
    found = factors(learnt(counts[:300], usual=usual))
    assert_allclose(found[fridays[300:]], 2.0, rtol=0.1)
    assert_allclose(found[~fridays[300:]], 1.0, atol=0.1)


def test_all_that_comes_on_the_first_is_expected_there():
    first = np.array([day.day == 1 for day in days_from(START, 420 + HORIZON)])
    usual = np.full(len(first), 5.0)
    found = factors(learnt(np.where(first, 150.0, 0.0)[:420], usual=usual))
    assert_allclose(usual[0] * found[first[420:]], 150.0, rtol=0.05)
    assert (found[~first[420:]] <= 1.0).all()


def test_no_day_is_lifted_far_above_what_its_place_has_seen():
    days = days_from(START, 420 + HORIZON)
    usual = np.full(len(days), 10.0)
    counts = usual * np.array([6.0 if is_last(day) else 1.0 for day in days])
    usual[421:] = 60.0  # all of a sudden as much is expected of every day
    found = factors(learnt(counts[:420], usual=usual))
    assert (found * usual[420:]).max() <= monthly.LIFTED * 61.0


def test_one_wild_month_makes_no_effect():
    usual = np.full(400 + HORIZON, 20.0)
    counts = np.random.default_rng(2).poisson(20.0, 400).astype(float)
    counts[[day == date(2023, 10, 12) for day in days_from(START, 400)]] = 2000.0
    assert_array_equal(factors(learnt(counts, usual=usual)), 1.0)


def test_two_months_tell_nothing_and_four_do():
    usual = np.full(150 + HORIZON, 100.0)
    counts = usual * np.array([3.0 if is_last(day) else 1.0 for day in days_from(START, len(usual))])
    assert_array_equal(factors(learnt(counts[:65], usual=usual)), 1.0)
    assert factors(learnt(counts[:125], usual=usual)).max() > 2.0


def test_what_comes_later_is_not_known_at_an_origin():
    usual = np.full(400 + HORIZON, 50.0)
    counts = usual[:400] * np.array([2.0 if day.day == 1 else 1.0 for day in days_from(START, 400)])
    long, short = learnt(counts, usual=usual), learnt(counts[:301], usual=usual)
    many = short.plain.shape[2] - 1
    assert_array_equal(long.again(0, counts)[:, :many], short.again(0, counts)[:, :many])


def test_days_that_were_not_observed_teach_nothing():
    usual = np.full(400 + HORIZON, 50.0)
    counts = usual[:400] * np.array([2.0 if is_last(day) else 1.0 for day in days_from(START, 400)])
    counts[[is_last(day) for day in days_from(START, 400)]] = np.nan
    assert_array_equal(factors(learnt(counts, usual=usual)), 1.0)


def history_of(seed: int, periods: int) -> History:
    """Two counted stages, the second two days after the first; on the 25th and 26th twice as many enter."""
    generator = np.random.default_rng(seed)
    rates = 80.0 * np.array([2.0 if day.day in (25, 26) else 1.0 for day in days_from(START, 500)])
    visits = generator.poisson(rates)
    leads = generator.binomial(np.r_[visits[:2], visits[:-2]], 0.5)
    counts = np.stack([visits, leads])[None].astype(float)
    return History(START, "day", (), ("visit", "lead"), counts[:, :, :periods], counted=("visit", "lead"))


def test_pay_days_are_forecast_at_the_top_and_reach_the_bottom_with_their_delay():
    fitted = fit(history_of(0, 440), calendar=PLAIN, horizon=HORIZON, responses=True)
    ahead = days_from(START, 440 + HORIZON)[440:]
    paid = np.array([day.day in (25, 26) for day in ahead])
    after = np.array([day.day in (27, 28) for day in ahead])
    top, bottom = fitted.forecasts
    assert top.mean[paid].mean() > 1.6 * top.mean[~paid].mean()
    assert bottom.mean[after].mean() > 1.4 * bottom.mean[~after & ~paid].mean()
    assert bottom.mean[paid].mean() < 1.2 * bottom.mean[~after & ~paid].mean()


def test_scenarios_know_what_a_later_stage_does_at_the_end_of_the_month():
    generator = np.random.default_rng(0)
    visits = generator.poisson(200.0, 440)
    lifted = np.array([3.0 if is_last(day) else 1.0 for day in days_from(START, 440 + HORIZON)])
    leads = generator.poisson(60.0 * lifted[:440])
    counts = np.stack([visits, leads])[None].astype(float)
    history = History(START, "day", (), ("visit", "lead"), counts, counted=("visit", "lead"))
    fitted = fit(history, calendar=PLAIN, horizon=HORIZON, responses=True)
    come = unpack(fitted.responses["total"], horizon=HORIZON)[0].sum(axis=0)
    last = lifted[440:] > 1.0
    assert fitted.forecasts[1].mean[last] > 2.4 * fitted.forecasts[1].mean[~last].mean()
    assert come[last] > 2.0 * np.median(come[~last])


def test_weeks_have_no_month():
    weekly = History(START, "week", (), ("won",), np.full((1, 1, 80), 9.0), counted=("won",))
    assert_allclose(fit(weekly, calendar=Calendar("week"), horizon=8).forecasts[0].mean, 9.0, rtol=0.05)


@pytest.mark.parametrize("pieces", [(200, 440), (439, 440), (411, 412, 413, 440)])
def test_in_pieces_it_is_one_pass(pieces):
    memory: tuple[bytes, ...] = ()
    for periods in pieces:
        fitted = fit(history_of(1, periods), calendar=PLAIN, horizon=HORIZON, before=memory)
        memory = fitted.memory
    whole = fit(history_of(1, 440), calendar=PLAIN, horizon=HORIZON)
    assert fitted.memory == whole.memory
    assert fitted.appended == 2
    for one, other in zip(fitted.forecasts, whole.forecasts, strict=True):
        assert_array_equal(one.quantiles, other.quantiles)
