"""Future entrants are for the due days that are sought: days of the season, events; chance tells none apart."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models import conversion
from models.pickup import DAYS, LEADS, enter_due, sought_days
from models.spells import DUE, DUE_CELL
from tests.models.due_bookings import (
    HORIZON,
    LONGEST,
    appeal_after,
    bookings,
    expected_of_new,
    invoices,
    miss,
    moves_of,
    state_after,
    state_of,
    truth_of_new,
)


@pytest.mark.parametrize("group", [1, 6])
@pytest.mark.parametrize("seed", range(3))
def test_days_that_are_sought_alike_are_not_told_apart_even_when_groups_book_them(group, seed):
    here, due = bookings(np.ones(600), periods=300, group=group, seed=seed)
    state = state_after(here, due, periods=300)
    assert state.booked.any()
    assert_array_equal(appeal_after(state, position=299 % 7), 1.0)


@pytest.mark.parametrize("a_day", [0.3, 1.0])
def test_few_entrants_are_seldom_told_apart(a_day):
    told_apart = 0
    for seed in range(20):
        here, due = bookings(np.ones(600), periods=300, a_day=a_day, seed=seed)
        state = state_after(here, due, periods=300)
        told_apart += bool((sought_days(state.booked, state.seasons, state.sums, 299 % 7, LONGEST) != 1.0).any())
    assert told_apart <= 2


def test_days_of_the_season_are_sought_as_they_were_also_where_nobody_has_booked_yet():
    appeal = np.array([0.7, 0.6, 0.6, 0.8, 1.4, 1.7, 1.2])[np.arange(600) % 7]
    here, due = bookings(appeal, periods=300)
    found = appeal_after(state_after(here, due, periods=300), position=299 % 7)
    assert_allclose(found[-28:].reshape(4, 7).mean(axis=0), appeal[299 + LONGEST - 28 :][:7], atol=0.12)


def test_where_all_are_due_on_saturdays_future_entrants_are_too():
    appeal = (np.arange(600) % 7 == 5).astype(float)
    here, due = bookings(appeal, periods=300)
    made = expected_of_new(state_after(here, due, periods=300), periods=300)
    truth = truth_of_new(appeal, periods=300)
    assert miss(made, truth) < 0.15
    assert made[truth == 0].sum() < 0.02 * made.sum()


@pytest.mark.parametrize("seed", range(3))
def test_future_entrants_are_for_the_events_that_were_booked(seed):
    generator = np.random.default_rng([7, seed])
    appeal = (generator.random(600) < 1 / 7) * np.exp(generator.normal(0, 0.5, 600))
    here, due = bookings(appeal, periods=300, seed=seed)
    state = state_after(here, due, periods=300)
    alike = conversion.ConversionState(
        **{
            name: np.zeros_like(getattr(state, name)) if name in {"booked", "seasons", "sums"} else getattr(state, name)
            for name in conversion.ConversionState.__slots__
        }
    )
    truth = truth_of_new(appeal, periods=300)
    made, leads_alone = (expected_of_new(each, periods=300) for each in (state, alike))
    assert miss(made, truth) < 0.35
    assert miss(leads_alone, truth) > 1.0


def test_a_day_that_is_booked_twice_as_much_is_followed_as_far_as_days_differ():
    generator = np.random.default_rng(5)
    appeal = np.exp(generator.normal(0, 0.3, 700))
    here, due = bookings(appeal, periods=400, a_day=200.0, seed=2)
    found = appeal_after(state_after(here, due, periods=400), position=399 % 7)[1:30]
    truth = appeal[400:429]
    assert_allclose(np.corrcoef(np.log(found), np.log(truth / truth.mean()))[0, 1], 1, atol=0.15)
    assert 0.15 < np.log(found).std() < 0.35


def test_a_day_booked_as_its_weekday_usually_is_is_not_lifted_twice():
    week = np.array([0.7, 0.6, 0.6, 0.8, 1.4, 1.7, 1.2])
    noise = np.exp(np.random.default_rng(8).normal(0, 0.3, 700))
    appeal = week[np.arange(700) % 7] * noise
    here, due = bookings(appeal, periods=400, a_day=200.0)
    found = appeal_after(state_after(here, due, periods=400), position=399 % 7)[1:29]
    own = found / week[np.arange(400, 428) % 7]
    by_day = own.reshape(4, 7).mean(axis=0) / (noise[400:428].reshape(4, 7).mean(axis=0))
    assert_allclose(by_day / by_day.mean(), 1, atol=0.25)


def test_bookings_of_groups_are_followed_less_far_than_as_many_that_come_one_by_one():
    generator = np.random.default_rng(5)
    appeal = np.exp(generator.normal(0, 0.3, 700))
    far = {}
    for group in (1, 10):
        here, due = bookings(appeal, periods=400, a_day=200.0, group=group, seed=2)
        state = state_after(here, due, periods=400)
        found, near = appeal_after(state, position=399 % 7)[5:15], state.booked[:, 5:15]
        far[group] = np.log(found).std() / np.log(near[0] / near[1]).std()
    assert far[10] < 0.8 * far[1] < 0.8


def test_neither_entrants_nor_their_leads_past_the_due_day_are_lost():
    share = np.zeros(DAYS + 45)
    share[[DUE_CELL - 3, DUE_CELL - 10, DUE_CELL, DUE_CELL + 2, 0]] = [0.3, 0.2, 0.1, 0.3, 0.1]
    sought = np.ones((LEADS, DAYS))
    sought[:, 2:9] = appeal = np.array([0.0, 5.0, 0.5, 2.0, 0.0, 0.2, 9.0])
    here = np.zeros(share.size)
    enter_due(here, 40.0, share, sought, 1)
    assert_allclose(here.sum(), 40.0)
    assert_allclose(here[DUE_CELL + 2], 12.0)
    assert_allclose(here[DUE_CELL - 3] / here[DUE_CELL], 3 * appeal[4 - 2])
    assert here[0] > 0
    nowhere = np.zeros(share.size)
    enter_due(nowhere, 40.0, share, np.zeros((LEADS, DAYS + 1)), 1)
    assert_allclose(nowhere, 40.0 * share)


def test_a_period_after_the_other_leaves_what_all_in_one_go_do_and_holidays_are_days_of_the_week():
    appeal = np.array([0.7, 0.6, 0.6, 0.8, 1.4, 1.7, 1.2])[np.arange(600) % 7]
    generator = np.random.default_rng(3)
    here, due = bookings(appeal * np.exp(generator.normal(0, 0.5, 600)), periods=200)
    types = np.arange(200 + HORIZON, dtype=np.int64) % 7
    special = types.copy()
    special[[0, 1, 150, 185, 186, 199, 200]] = 7
    whole = state_after(here, due, periods=200, types=special)
    pieces = state_after(here, due, periods=200, types=special, since=40)
    plain = state_after(here, due, periods=200)
    for name in ("booked", "seasons", "sums"):
        assert_array_equal(getattr(whole, name), getattr(pieces, name), err_msg=name)
        assert_array_equal(getattr(whole, name), getattr(plain, name), err_msg=name)


def test_what_was_forecast_at_the_last_origin_is_what_the_state_forecasts_and_responses_say_the_same():
    appeal = np.array([0.7, 0.6, 0.6, 0.8, 1.4, 1.7, 1.2])[np.arange(600) % 7]
    generator = np.random.default_rng(4)
    here, due = bookings(appeal * np.exp(generator.normal(0, 0.5, 600)), periods=201)
    moves = moves_of(here, due, periods=201)
    types = np.arange(201 + HORIZON, dtype=np.int64) % 7
    inflow = np.linspace(10, 60, HORIZON)
    state, made = conversion.advance(
        conversion.make_state(season_length=7),
        moves,
        types,
        observed=np.ones(201, dtype=bool),
        origins=np.array([200]),
        inflow=inflow[None],
    )
    assert np.ptp(appeal_after(state, position=200 % 7)) > 0.5
    assert state.waiting[DUE].sum() > 100
    assert_allclose(conversion.forecast(state, types[201:], inflow), made[0], rtol=1e-12)
    answers = conversion.responses(state, types[201:])
    assert_allclose(answers[0] + inflow @ answers[1:], made[0], rtol=1e-9)


def test_leads_of_the_first_days_teach_nothing():
    here, due = bookings((np.arange(200) % 7 == 5).astype(float) + 0.01, periods=12)
    state = state_after(here, due, periods=12)
    assert not state.booked.any()
    assert_array_equal(appeal_after(state, position=11 % 7), 1.0)


def test_a_day_that_is_no_longer_booked_is_forgotten_by_half_in_thirty_days():
    due_day = 399
    here = np.concatenate([np.repeat(np.arange(300), 20), np.full(400, 240)]).astype(np.int32)
    due = np.concatenate([np.repeat(np.arange(300), 20) + 20, np.full(400, due_day)]).astype(np.int32)
    state = state_after(here, due, periods=300)
    assert_allclose(state.booked[0, due_day - 299], 400 * 0.5 ** (59 / 30), rtol=1e-9)


def test_a_season_that_has_moved_is_followed_within_months():
    day = np.arange(900)
    appeal = np.where(day % 7 == np.where(day < 400, 5, 2), 4.0, 1.0)
    here, due = bookings(appeal, periods=700)
    found = appeal_after(state_after(here, due, periods=700), position=699 % 7)[-28:].reshape(4, 7).mean(axis=0)
    truth = appeal[699 + LONGEST - 28 :][:7]
    assert np.argmax(found) == np.argmax(truth)
    assert found[(np.argmax(truth) + 3) % 7] < 0.5 * found.max()


@pytest.mark.parametrize("periods", [25, 150])
def test_events_on_some_weekdays_do_not_make_these_weekdays_sought(periods):
    generator = np.random.default_rng(11)
    appeal = (generator.random(600) < 1 / 9).astype(float)
    here, due = bookings(appeal, periods=periods)
    state = state_after(here, due, periods=periods)
    unknown = appeal_after(state, position=(periods - 1) % 7, days=DAYS + 7)[-7:]
    assert_array_equal(unknown, 1.0)


@pytest.mark.parametrize("back", [False, True])
def test_terms_that_roll_off_the_weekend_do_not_make_mondays_or_fridays_sought_by_those_that_do_not(back):
    here, due = invoices([14, 30], periods=320, back=back)
    state = state_after(here, due, periods=320)
    sought = sought_days(state.booked, state.seasons, state.sums, 319 % 7, 40)
    monday, wednesday = ([day for day in range(40) if (319 + day) % 7 == place] for place in ((4 if back else 0), 2))
    lead = 29 if back else 31
    assert sought[lead, monday].mean() > 2.0 * sought[lead, wednesday].mean()
    assert_allclose(sought[14, monday].mean() / sought[14, wednesday].mean(), 1.0, atol=0.15)


def test_weekends_that_are_booked_early_are_not_sought_by_those_who_come_late():
    generator = np.random.default_rng(1)
    here = np.repeat(np.arange(330), 25)
    lead = np.where(generator.random(len(here)) < 0.5, 20 + generator.integers(0, 7, len(here)), 0)
    weekend = here + lead + (5 - (here + lead)) % 7
    working = here + 1 + generator.integers(0, 3, len(here))
    working = working + np.array([0, 0, 0, 0, 0, 2, 1])[working % 7]
    due = np.where(lead > 0, weekend, working)
    state = state_after(here.astype(np.int32), due.astype(np.int32), periods=330)
    sought = sought_days(state.booked, state.seasons, state.sums, 329 % 7, 40)
    saturdays, tuesdays = ([day for day in range(40) if (329 + day) % 7 == place] for place in (5, 1))
    assert sought[2, saturdays].mean() < 0.3 * sought[2, tuesdays].mean()
    assert sought[24, tuesdays].mean() < 0.2 * sought[24, saturdays].mean()


def month_end_appeal(share):
    """All get the end of a month first, and this share of them their own day soon after."""
    generator = np.random.default_rng(2)
    here = np.repeat(np.arange(300), 20).astype(np.int32)
    due = (here // 30 * 30 + 29 + 30 * (generator.random(len(here)) < 0.3)).astype(np.int32)
    changed = np.flatnonzero(generator.random(len(here)) < share)
    known = here[changed] + generator.integers(1, 6, len(changed))
    moved = np.stack([changed, known, known + generator.integers(3, 25, len(changed))], axis=1).astype(np.int32)
    final = due.copy()
    final[changed] = moved[:, 2]
    moves = moves_of(here, due, periods=300, final=final, moved=moved[moved[:, 1] < 300])
    appeal = appeal_after(state_of(moves, periods=300), position=299 % 7)
    assert appeal[29 + 1] == appeal.max()
    return appeal.max()


def test_due_days_that_are_not_kept_are_followed_less():
    all_kept, half_kept, none_kept = (month_end_appeal(share) for share in (0.0, 0.5, 1.0))
    assert all_kept > 10
    assert_allclose((half_kept - 1) / (all_kept - 1), 0.5, atol=0.15)
    assert none_kept - 1 < 0.1 * (all_kept - 1)


def test_money_is_for_the_same_days_as_as_many_entities():
    appeal = np.array([0.7, 0.6, 0.6, 0.8, 1.4, 1.7, 1.2])[np.arange(600) % 7]
    noise = np.exp(np.random.default_rng(4).normal(0, 0.5, 600))
    here, due = bookings(appeal * noise, periods=200)
    moves = moves_of(here, due, periods=200)
    found = {worth: appeal_after(state_of(moves, periods=200, worth=worth), position=199 % 7) for worth in (1.0, 250.0)}
    assert np.ptp(found[1.0]) > 0.5
    assert_allclose(found[250.0], found[1.0], rtol=1e-9)
