"""Departures: what the last days depart from may come back or stay, and forecasts and intervals know of both."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models import departure
from models.calendar import Calendar
from models.engine import fit
from models.forecast import QUANTILES, Forecast
from models.funnel import DeclaredDay
from models.history import NEVER, Entities, History
from models.origins import make_origins

HORIZON, PERIODS, START = 28, 200, date(2023, 1, 2)
LOW, HIGH = QUANTILES.index(0.1), QUANTILES.index(0.9)
WEEK = np.array([1.1, 1.1, 1.0, 1.0, 0.9, 0.5, 0.4])


def shape(periods: int) -> np.ndarray:
    return WEEK[np.arange(periods) % 7]


def held(
    counts: np.ndarray, usual: np.ndarray, now: np.ndarray | None = None, *, cap: float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Forecast and doubts at the cutoff of a series of which `usual` (periods + HORIZON,) was always forecast, and
    `now` (HORIZON,) is at the cutoff; None: `usual` still.
    """
    periods = len(counts)
    origins = make_origins(0, periods=periods, horizon=HORIZON)
    state = departure.make_state(1, stages=1, horizon=HORIZON)
    departures = departure.Departures(state, counts[None, None], np.full((1, 1, 120), np.nan), origins=origins)
    mean = np.stack([usual[origin + 1 : origin + 1 + HORIZON] for origin in origins.every])
    mean[-1] = mean[-1] if now is None else now
    caps = np.full((1, len(origins.asked)), cap)
    made = departures.hold(0, mean[None], caps=caps, season_length=7)
    return made[0, -1], departures.doubts[0, 0, -1]


def chances(days: int, lift: float) -> np.ndarray:
    """That a departure of so many days still lasts, (HORIZON,)."""
    return days**2 / (days**2 + 2.0 * min(abs(np.log(lift)), 3.0) * np.arange(1, HORIZON + 1))


def noisy(usual: np.ndarray, *, seed: int = 0, periods: int = PERIODS) -> np.ndarray:
    return np.random.default_rng(seed).poisson(usual[:periods]).astype(np.float64)


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


def test_days_that_are_declared_depart_from_nothing():
    counts = noisy(60 * shape(PERIODS))
    counts[[50, 110, -4, -3, -2, -1]] = 0.0
    closed = [START + timedelta(days=day) for day in (50, 110, *range(PERIODS - 4, PERIODS))]
    calendar = Calendar(declared_days=tuple(DeclaredDay("closed", day, day) for day in closed))
    (made,) = fit(history(counts), calendar=calendar, horizon=HORIZON, scored=False).forecasts
    (undeclared,) = fit(history(counts), calendar=Calendar(), horizon=HORIZON, scored=False).forecasts
    assert made.mean == pytest.approx(60 * shape(PERIODS + HORIZON)[PERIODS:], rel=0.2)
    width, wide = (each.quantiles[14:, HIGH] - each.quantiles[14:, LOW] for each in (made, undeclared))
    assert (1.5 * width < wide).all()


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


CLOSED = 40 * np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.01, 0.01])[np.arange(204 + HORIZON) % 7]
"""A week that rests at its end; 204 days end on a Monday."""


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


@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 5, 6, 8])
def test_horizons_shorter_than_a_week_are_one_pass_too(horizon):
    counts, _ = wild(4, 3.0)
    for end in range(PERIODS - 4, PERIODS + 1):
        whole = fit(history(counts[:end]), calendar=Calendar(), horizon=horizon)
        memory = fit(history(counts[: end - 1]), calendar=Calendar(), horizon=horizon).memory
        made = fit(history(counts[:end]), calendar=Calendar(), horizon=horizon, before=memory)
        assert made.memory == whole.memory
        assert_array_equal(made.forecasts[0].mean, whole.forecasts[0].mean)
        assert (made.forecasts[0].mean > 0.4 * 60 * shape(end + horizon)[end:]).all()


def test_a_declared_day_stays_where_it_is_while_a_departure_lasts():
    counts, _ = wild(9, 3.0)
    sales = [20, 50, 80, 110, 140, 170, 209]
    for sale in sales[:-1]:
        counts[sale] *= 4
    days = tuple(DeclaredDay("sale", START + timedelta(days=sale), START + timedelta(days=sale)) for sale in sales)
    (made,) = fit(history(counts), calendar=Calendar(declared_days=days), horizon=HORIZON).forecasts
    (plain,) = fit(history(counts), calendar=Calendar(declared_days=days[:-1]), horizon=HORIZON).forecasts
    others = np.arange(HORIZON) != 9
    assert made.mean[9] > 2 * plain.mean[9]
    assert_allclose(made.mean[others], plain.mean[others], rtol=0.1)


def test_a_first_declared_day_after_a_departure_leaves_the_memory_of_one_pass():
    counts, _ = wild(7, 3.0)
    day = START + timedelta(days=PERIODS + HORIZON)
    declared = Calendar(declared_days=(DeclaredDay("sale", day, day),))
    later = np.append(counts, 100.0)
    for end in range(PERIODS - 4, PERIODS + 1):
        memory = fit(history(later[:end]), calendar=Calendar(), horizon=HORIZON).memory
        made = fit(history(later[: end + 1]), calendar=declared, horizon=HORIZON, before=memory)
        assert made.memory == fit(history(later[: end + 1]), calendar=declared, horizon=HORIZON).memory


def test_weekly_value_is_mixed_once():
    weeks = np.random.default_rng(4).poisson(200.0, 120).astype(np.float64)
    weeks[-4:] *= 3
    known = History(
        START, "week", (), ("won",), weeks[None, None], value=10 * weeks[None, None], counted=("won",)
    )  # fmt: skip
    (made,) = fit(known, calendar=Calendar("week"), horizon=13).forecasts
    assert made.value is not None
    assert_allclose(made.value.mean / 10, made.mean, rtol=0.05)


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


def history(counts: np.ndarray, *, value: bool = False) -> History:
    money = 20.0 * counts if value else None
    known = counts[None, None]
    return History(
        START, "day", (), ("won",), known, value=None if money is None else money[None, None], counted=("won",)
    )


def forecast_of(counts: np.ndarray) -> Forecast:
    (made,) = fit(history(counts), calendar=Calendar(), horizon=HORIZON, scored=False).forecasts
    return made


def wild(days: int, factor: float, *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    usual = 60 * shape(PERIODS + HORIZON)
    counts = noisy(usual, seed=seed)
    counts[-days:] = np.random.default_rng(seed + 100).poisson(factor * usual[PERIODS - days : PERIODS])
    return counts, usual[PERIODS:]


@pytest.mark.parametrize(("days", "most"), [(3, 2.0), (5, 2.5), (7, 2.9)])
def test_wild_days_at_the_end_are_not_carried_on_and_the_intervals_know_both_ways(days, most):
    counts, usual = wild(days, 3.0)
    made = forecast_of(counts)
    late = slice(14, HORIZON)
    assert (made.mean[late] < most * usual[late]).all()
    assert (made.quantiles[late, LOW] < 1.6 * usual[late]).all()
    assert (made.quantiles[late, HIGH] > 1.5 * usual[late]).all()


def test_five_days_of_nothing_are_not_taken_for_the_end():
    counts, usual = wild(5, 0.0)
    made = forecast_of(counts)
    assert (made.quantiles[7:, HIGH] > 0.8 * usual[7:]).all()
    assert (made.mean[14:] > 0.3 * usual[14:]).all()


@pytest.mark.parametrize("valued", [False, True])
def test_in_pieces_it_is_one_pass(valued):
    counts, _ = wild(9, 3.0)
    whole = fit(history(counts, value=valued), calendar=Calendar(), horizon=HORIZON)
    memory: tuple[bytes, ...] = ()
    for end in (150, 190, 191, 193, 194, 196, 199, 200):
        made = fit(history(counts[:end], value=valued), calendar=Calendar(), horizon=HORIZON, before=memory)
        memory = made.memory
    assert made.refitted == 0
    assert memory == whole.memory
    assert repr(made.scorecard) == repr(whole.scorecard)
    for one, other in pairwise([*made.forecasts, *whole.forecasts]):
        assert_array_equal(one.mean, other.mean)
        assert_array_equal(one.quantiles, other.quantiles)
    if valued:
        assert made.forecasts[0].value is not None
        assert_array_equal(made.forecasts[0].value.quantiles, whole.forecasts[0].value.quantiles)


def test_an_issued_interval_is_scored_as_it_was_issued():
    """The doubt of a forecast made during a departure is still known when its targets arrive, a night at a time."""
    counts, _ = wild(6, 3.0)
    later = np.concatenate([counts, noisy(60 * shape(PERIODS + 20), seed=9, periods=PERIODS + 20)[PERIODS:]])
    memory: tuple[bytes, ...] = ()
    for end in range(PERIODS, PERIODS + 21):
        made = fit(history(later[:end]), calendar=Calendar(), horizon=HORIZON, before=memory)
        memory = made.memory
    whole = fit(history(later), calendar=Calendar(), horizon=HORIZON)
    assert repr(made.scorecard) == repr(whole.scorecard)


def funnel(days: int, factor: float, *, entities: bool, stays: bool = True, periods: int = PERIODS) -> History:
    """Leads whose last days before PERIODS are wild, and those of them that are won about a week later."""
    generator = np.random.default_rng(5)
    rates = 60 * shape(periods)
    rates[PERIODS - days : None if stays else PERIODS] *= factor
    entered = np.repeat(np.arange(periods), generator.poisson(rates))
    won = np.where(generator.random(len(entered)) < 0.5, entered + 4 + generator.poisson(4, len(entered)), NEVER)
    known = np.stack([entered, np.where(won < periods, won, NEVER)], axis=1).astype(np.int32)
    counts = np.stack([np.bincount(each[each != NEVER], minlength=periods) for each in known.T]).astype(np.float64)
    if not entities:
        return History(START, "day", (), ("lead", "won"), counts[None], counted=("lead", "won"))
    none, nobody = np.full(len(known), NEVER, dtype=np.int32), np.zeros(len(known), dtype=np.int32)
    told = Entities(known, nobody, none, np.full(len(known), np.nan))
    return History(START, "day", (), ("lead", "won"), counts[None], entities=told)


@pytest.mark.parametrize("entities", [False, True])
def test_later_stages_inherit_the_doubt_with_the_inflow(entities):
    plain = fit(funnel(5, 1.0, entities=entities), calendar=Calendar(), horizon=HORIZON, scored=False).forecasts[1]
    made = fit(funnel(5, 3.0, entities=entities), calendar=Calendar(), horizon=HORIZON, scored=False).forecasts[1]
    late = slice(14, HORIZON)
    back, stays = 30 * WEEK.mean(), 90 * WEEK.mean()
    width, usual = (each.quantiles[late, HIGH] - each.quantiles[late, LOW] for each in (made, plain))
    assert (width > 2 * usual).all()
    assert (made.quantiles[late, LOW] < 1.2 * back).all()
    assert made.quantiles[late, HIGH].mean() > 0.65 * stays
    before = slice(0, 3)  # too early for any of the next leads to be won
    assert (made.quantiles[before, HIGH] - made.quantiles[before, LOW] < 2.2 * (usual.mean() + 1)).all()


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


@pytest.mark.parametrize("entities", [False, True])
def test_with_an_inherited_doubt_in_pieces_it_is_one_pass(entities):
    def until(end: int) -> History:
        whole = funnel(6, 3.0, entities=entities, periods=PERIODS + 12)
        counts = whole.counts[:, :, :end]
        if not entities:
            return replace(whole, counts=counts)
        here = whole.entities.days[:, 0] < end
        days = np.where(whole.entities.days[here] < end, whole.entities.days[here], NEVER)
        cut = (whole.entities.segment[here], whole.entities.due[here], whole.entities.value[here])
        return replace(whole, counts=counts, entities=Entities(days, *cut))

    memory: tuple[bytes, ...] = ()
    for end in (150, PERIODS - 4, PERIODS - 1, PERIODS, PERIODS + 1, PERIODS + 5, PERIODS + 12):
        made = fit(until(end), calendar=Calendar(), horizon=HORIZON, before=memory)
        memory = made.memory
    whole = fit(until(PERIODS + 12), calendar=Calendar(), horizon=HORIZON)
    assert made.refitted == 0
    assert memory == whole.memory
    assert repr(made.scorecard) == repr(whole.scorecard)
