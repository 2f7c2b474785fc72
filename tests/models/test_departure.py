"""Departures: what the last days depart from may come back or stay, by what was forecast and what came."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models import departure
from models.origins import make_origins
from tests.models.departures import (
    CLOSED,
    HORIZON,
    PERIODS,
    chances,
    held,
    noisy,
    shape,
)


@pytest.mark.parametrize("seed", range(5))
def test_without_a_departure_forecasts_are_to_the_bit_as_they_were(seed):
    usual = 40 * shape(PERIODS + HORIZON)
    made, doubts = held(noisy(usual, seed=seed), usual)
    assert_array_equal(made, usual[PERIODS:])
    assert_array_equal(doubts, 0.0)


@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_the_new_level_and_the_return_are_mixed_by_how_long_the_departure_has_lasted(factor):
    usual = 40 * shape(PERIODS + HORIZON)
    counts = noisy(usual)
    counts[-4:] = factor * usual[PERIODS - 4 : PERIODS]
    made, doubts = held(counts, usual, factor * usual[PERIODS:])
    chance = chances(4, factor)
    mixed = 1 + chance * (factor - 1)
    assert_allclose(made, mixed * usual[PERIODS:], rtol=0.01)
    assert_allclose(doubts, chance * (1 - chance) * (factor - 1) ** 2 / mixed**2, rtol=0.03)


@pytest.mark.parametrize("noise", [1.0, 2.0])
@pytest.mark.parametrize(
    ("last", "departs"),
    [
        ([2.9, 2.9, 2.9, 2.9], False),
        ([3.2, 3.2, 3.2, 3.2], True),
        ([5.0, 5.0, 1.9, 5.0], False),
        ([5.0, 5.0, 2.1, 5.0], True),
    ],
)
def test_every_day_departs_by_two_deviations_of_the_noise_and_all_by_three(noise, last, departs):
    usual = np.full(PERIODS + HORIZON, 400.0)
    deviation = noise * np.sqrt(400.5)
    counts = usual[:PERIODS] + deviation * np.where(np.arange(PERIODS) % 2, 1.0, -1.0)
    counts[-4:] = 400 + deviation * np.array(last)
    made, doubts = held(counts, usual)
    assert (doubts > 0).all() == departs
    assert (made > 400).all() == departs


def test_neither_way_on_is_above_the_explosion_guard():
    usual = 40 * shape(PERIODS + HORIZON)
    counts = noisy(usual)
    counts[-6:] = 30 * usual[PERIODS - 6 : PERIODS]
    made, _ = held(counts, usual, 30 * usual[PERIODS:], cap=60.0)
    assert made.max() <= 60.0
    assert held(counts, usual, 30 * usual[PERIODS:])[0].min() > 60.0


def test_doubts_of_declared_days_are_added():
    origins = make_origins(0, periods=PERIODS, horizon=HORIZON)
    state, counts = departure.make_state(1, stages=1, horizon=HORIZON), noisy(40 * shape(PERIODS))[None, None]
    departures = departure.Departures(state, counts, np.full((1, 1, 120), np.nan), origins=origins)
    departures.doubts[:] = 0.04
    assert_array_equal(departures.doubts_with(None), departures.doubts)
    assert_allclose(departures.doubts_with(np.full(departures.doubts.shape, 0.05)), 0.09)


def test_after_nothing_at_all_both_are_mixed_too():
    usual = 40 * shape(PERIODS + HORIZON)
    counts = noisy(usual)
    counts[-4:] = 0.0
    made, doubts = held(counts, usual, np.zeros(HORIZON))
    assert_allclose(made, (1 - chances(4, 0.01)) * usual[PERIODS:], rtol=0.03)
    assert (doubts > 0.09).all()


def test_what_the_experts_have_not_taken_up_yet_is_told_by_what_came():
    usual = 40 * shape(PERIODS + HORIZON)
    counts = noisy(usual)
    counts[-4:] = 3 * usual[PERIODS - 4 : PERIODS]
    made, _ = held(counts, usual)
    assert_allclose(made, (1 + chances(4, 3.0) * 0.5 * 2) * usual[PERIODS:], rtol=0.01)


def test_one_wild_day_is_a_spike_and_no_departure():
    usual = 40 * shape(PERIODS + HORIZON)
    counts = noisy(usual)
    counts[-1] *= 5
    assert_array_equal(held(counts, usual)[0], usual[PERIODS:])


def test_a_departure_that_ended_yesterday_is_over():
    usual = 40 * shape(PERIODS + HORIZON)
    counts = noisy(usual)
    counts[-6:-1] *= 4
    counts[-1] = usual[PERIODS - 1]
    assert_array_equal(held(counts, usual)[0], usual[PERIODS:])


def test_experts_that_take_a_jump_for_a_trend_are_not_followed_far():
    usual = 40 * shape(PERIODS + HORIZON)
    counts = noisy(usual)
    counts[-4:] = 3 * usual[PERIODS - 4 : PERIODS]
    made, _ = held(counts, usual, 90 * usual[PERIODS:])
    assert_allclose(made, (1 + chances(4, 3.0) * (0.5 * 3 + 0.5 * 2)) * usual[PERIODS:], rtol=0.01)
    counts[-4:] = 0.5 * usual[PERIODS - 4 : PERIODS]
    made, _ = held(counts, usual, 0.01 * usual[PERIODS:])
    assert_allclose(made, (1 - chances(4, 0.5) * (0.5 * 0.75 + 0.5 * 0.5)) * usual[PERIODS:], rtol=0.01)


def test_days_to_both_sides_are_noise():
    usual = 40 * shape(PERIODS + HORIZON)
    counts = noisy(usual)
    counts[-6:] = usual[PERIODS - 6 : PERIODS] * np.array([3.0, 0.0, 3.0, 0.0, 3.0, 0.0])
    assert_array_equal(held(counts, usual)[0], usual[PERIODS:])


def test_what_is_wild_all_the_time_departs_from_nothing():
    usual = 40 * shape(PERIODS + HORIZON)
    counts = noisy(usual)
    counts[::6] *= 4
    counts[-2:] = 3 * usual[PERIODS - 2 : PERIODS]
    assert_array_equal(held(counts, usual)[0], usual[PERIODS:])


@pytest.mark.parametrize("last", [[120, 120, 0, 0, 120], [120, np.nan, 0, 0, 120]])
def test_quiet_weekends_and_days_without_a_count_do_not_end_a_departure(last):
    counts = noisy(CLOSED, periods=204)
    counts[-5:] = last
    made, _ = held(counts, CLOSED)
    assert_allclose(made[0], (1 + chances(5, 3.0)[0] * (4 / 9) * 2) * CLOSED[204], rtol=0.02)


def test_a_few_on_a_closed_weekend_say_nothing_of_working_days():
    counts = noisy(CLOSED[:203], periods=203)
    counts[-2:] = [5, 6]
    assert_array_equal(held(counts, CLOSED[: 203 + HORIZON])[0], CLOSED[203 : 203 + HORIZON])


@pytest.mark.parametrize("missing", [slice(-1, None), slice(-10, None), slice(-15, -1)])
def test_one_wild_day_beside_missing_ones_is_still_a_spike(missing):
    usual = 40 * shape(PERIODS + HORIZON)
    counts = noisy(usual)
    counts[-1 if missing.stop == -1 else missing.start - 1] *= 5
    counts[missing] = np.nan
    assert_array_equal(held(counts, usual)[0], usual[PERIODS:])


def test_a_wild_monday_after_a_closed_weekend_is_a_spike():
    counts = noisy(CLOSED, periods=204)
    counts[-1] = 120
    assert_array_equal(held(counts, CLOSED)[0], CLOSED[204:])


@pytest.mark.parametrize("level", [0.0, 0.01])
def test_what_begins_departs_from_nothing(level):
    usual = level * shape(PERIODS + HORIZON)
    counts = np.zeros(PERIODS)
    counts[-4:] = 5.0
    now = np.full(HORIZON, 5.0)
    assert_array_equal(held(counts, usual, now)[0], now)


def test_what_stayed_for_weeks_is_what_is_usual():
    usual = 40 * shape(PERIODS + HORIZON)
    counts = noisy(usual)
    counts[-25:] *= 2
    made, doubts = held(counts, usual, 2 * usual[PERIODS:])
    assert_array_equal(made, 2 * usual[PERIODS:])
    assert_array_equal(doubts, 0.0)


def test_nothing_is_told_with_too_few_days_before():
    usual = 40 * shape(40 + HORIZON)
    counts = noisy(usual, periods=40)
    counts[:22] = np.nan
    counts[-6:] = 3 * usual[34:40]
    assert_array_equal(held(counts, usual)[0], usual[40:])
    counts[:22] = noisy(usual, periods=22)
    assert not np.array_equal(held(counts, usual)[0], usual[40:])


def test_what_a_stage_swings_by_is_its_doubt_and_that_of_the_stage_after_it_grows_by_its_square():
    origins = make_origins(0, periods=PERIODS, horizon=HORIZON)
    state = departure.make_state(1, stages=2, horizon=HORIZON)
    counts = noisy(60 * shape(PERIODS))[None, None].repeat(2, axis=1)
    departures = departure.Departures(state, counts, np.full((1, 2, 120), np.nan), origins=origins)
    departures.doubts[0, 0, -1] = 0.25
    mean = np.full((1, len(origins.every), HORIZON), 40.0)
    swing = departures.swing(0, mean)
    assert_allclose(swing[0, -1], 20.0)
    assert_array_equal(swing[0, :-1], 0.0)
    departures.doubts[0, 1, -1] = 0.01
    after = np.full((1, len(origins.asked), HORIZON), 10.0)
    after[0, -1, 0] = 0.0
    departures.inherit(1, swing / 4, after)
    assert_allclose(departures.doubts[0, 1, -1, 1:], 0.01 + 0.25)
    assert departures.doubts[0, 1, -1, 0] == 0.01
    assert_array_equal(departures.doubts[0, 1, :-1], 0.0)
