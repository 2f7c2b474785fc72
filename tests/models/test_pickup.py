"""Future entrants are for the due days that are sought: days of the season, events; chance tells none apart."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models import conversion
from models.pickup import DAYS, appeal_of_days, enter_due
from models.spells import DUE, DUE_CELL, moves_from_days

NEVER = -(2**31)
LONGEST, HORIZON = 120, 28


def bookings(appeal, *, periods, a_day=30.0, lead=12.0, group=1, seed=0):
    """Periods of entry and due periods of entrants who choose their day by its lead, and by how much it is sought."""
    generator = np.random.default_rng(seed)
    leads = np.exp(-np.arange(1, LONGEST) / lead)
    here, due = [], []
    for day in range(periods):
        chance = leads * appeal[day + 1 : day + LONGEST]
        many = generator.poisson(a_day / group)
        chosen = day + 1 + generator.choice(LONGEST - 1, size=many, p=chance / chance.sum())
        due.append(np.repeat(chosen, group))
        here.append(np.full(many * group, day))
    return np.concatenate(here).astype(np.int32), np.concatenate(due).astype(np.int32)


def state_after(here, due, *, periods, types=None, since=None):
    """After all but the last `since` periods in one go, and after those one by one."""
    types = np.arange(periods + HORIZON, dtype=np.int64) % 7 if types is None else types
    arrived = np.where(due < periods, due, NEVER).astype(np.int32)
    moves = moves_from_days(here, arrived, np.empty((len(here), 0), dtype=np.int32), due, periods=periods)
    state, first = conversion.make_state(season_length=7), 0
    for end in [periods] if since is None else range(periods - since, periods + 1):
        some = moves[(moves[:, 0] >= first) & (moves[:, 0] < end)].copy()
        some[:, 0] -= first
        state, _ = conversion.advance(
            state,
            some,
            types[first : end + HORIZON],
            observed=np.ones(end - first, dtype=bool),
            origins=np.zeros(0, dtype=np.int64),
            inflow=np.zeros((0, HORIZON)),
        )
        first = end
    return state


def appeal_after(state, *, position, days=LONGEST):
    return appeal_of_days(state.booked, state.seasons, state.sums, position, days)


def expected_of_new(state, *, periods, a_day=30.0):
    types = np.arange(periods, periods + HORIZON) % 7
    return conversion.forecast(state, types, np.full(HORIZON, a_day), waiting=False)


def truth_of_new(appeal, *, periods, a_day=30.0, lead=12.0):
    leads, came = np.exp(-np.arange(1, LONGEST) / lead), np.zeros(HORIZON + LONGEST)
    for step in range(HORIZON):
        day = periods + step
        chance = leads * appeal[day + 1 : day + LONGEST]
        came[step + 1 : step + LONGEST] += a_day * chance / chance.sum()
    return came[:HORIZON]


def miss(made, truth):
    return np.abs(made - truth).sum() / truth.sum()


@pytest.mark.parametrize("group", [1, 6])
@pytest.mark.parametrize("seed", range(3))
def test_days_that_are_sought_alike_are_not_told_apart_even_when_groups_book_them(group, seed):
    here, due = bookings(np.ones(600), periods=300, group=group, seed=seed)
    state = state_after(here, due, periods=300)
    assert state.booked.any()
    assert_array_equal(appeal_after(state, position=299 % 7), 1.0)


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
    appeal = np.ones(DAYS)
    appeal[2:9] = [0.0, 5.0, 0.5, 2.0, 0.0, 0.2, 9.0]
    here = np.zeros(share.size)
    enter_due(here, 40.0, share, appeal, 1)
    assert_allclose(here.sum(), 40.0)
    assert_allclose(here[DUE_CELL + 2], 12.0)
    assert_allclose(here[DUE_CELL - 3] / here[DUE_CELL], 3 * appeal[4] / appeal[1])
    assert here[0] > 0


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
    arrived = np.where(due < 201, due, NEVER).astype(np.int32)
    moves = moves_from_days(here, arrived, np.empty((len(here), 0), dtype=np.int32), due, periods=201)
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
