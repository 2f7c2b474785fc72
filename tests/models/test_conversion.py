"""Hazards are recovered from what they made, and entities are neither lost nor invented."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models import conversion
from models.hazards import hazards_from_tables, recent_level
from models.spells import AGE, CONVERTED, DUE, ENTERED, EXITED, PARKED, moves_from_days

NEVER = -(2**31)
PERIODS = 400


def days_of(delays, *, rate, a_day=200, periods=PERIODS, seed=0):
    """Entities entering evenly, a share `rate` of which converts after `delays` (a pmf) days."""
    generator = np.random.default_rng(seed)
    here = np.repeat(np.arange(periods), a_day)
    delay = generator.choice(len(delays), size=len(here), p=delays)
    following = np.where(generator.random(len(here)) < rate, here + delay, NEVER)
    following[following >= periods] = NEVER
    return here.astype(np.int32), following.astype(np.int32)


def run(moves, *, periods=PERIODS, horizon=28, inflow=0.0, origins=None, types=None):
    origins = np.array([periods - 1]) if origins is None else origins
    types = np.zeros(periods + horizon, dtype=np.int64) if types is None else types
    return conversion.advance(
        conversion.make_state(season_length=7),
        moves,
        types,
        observed=np.ones(periods, dtype=bool),
        origins=origins,
        inflow=np.full((len(origins), horizon), inflow),
    )


def no_exits(here):
    return np.empty((len(here), 0), dtype=np.int32)


def test_rows_and_columns_of_a_table_are_recovered():
    generator = np.random.default_rng(1)
    base, factor = np.array([0.3, 0.2, 0.1, 0.05]), np.array([1.0, 1.3, 0.8, 0.2])
    at_risk = generator.integers(5_000, 20_000, (4, 4)).astype(float)
    truth = np.outer(factor, base)
    events = generator.binomial(at_risk.astype(int), truth).astype(float)
    assert_allclose(hazards_from_tables(events, at_risk), truth, rtol=0.15)


def test_without_any_event_the_hazard_is_zero_and_with_nothing_but_events_it_is_one():
    assert_array_equal(hazards_from_tables(np.zeros((8, 5)), np.full((8, 5), 9.0)), np.zeros((8, 5)))
    full = np.full((8, 5), 500.0)
    assert_allclose(hazards_from_tables(full, full), 1.0, atol=0.01)


def test_the_conversion_rate_and_delay_that_made_the_entities_are_recovered():
    delays = np.zeros(15)
    delays[[2, 5, 6, 7, 13]] = [0.1, 0.3, 0.2, 0.3, 0.1]
    here, following = days_of(delays, rate=0.4)
    state, forecast = run(moves_from_days(here, following, no_exits(here), None, periods=PERIODS), inflow=200.0)
    assert_allclose(forecast[0], 80.0, rtol=0.06)
    entrants = np.zeros(28)
    entrants[0] = 1000.0
    response = conversion.forecast(state, np.zeros(28, dtype=np.int64), entrants, waiting=False)
    assert_allclose(response[:15], 400 * delays, atol=12)


def test_entities_in_flight_convert_leave_or_wait_and_none_is_lost():
    here = np.repeat(np.arange(50), 10).astype(np.int32)
    following = np.where(np.arange(500) % 10 < 4, here + 3, NEVER).astype(np.int32)
    left = np.where(np.arange(500) % 10 >= 7, here + 5, NEVER).astype(np.int32)[:, None]
    known = [np.where(part >= 50, NEVER, part).astype(np.int32) for part in (following, left)]
    moves = moves_from_days(here, known[0], known[1], None, periods=50)
    state, _ = run(moves, periods=50)
    number = {kind: moves[moves[:, 3] == kind, 4].sum() for kind in (ENTERED, CONVERTED, EXITED)}
    assert_allclose(state.waiting[AGE].sum(), number[ENTERED] - number[CONVERTED] - number[EXITED])
    assert_allclose(state.waiting[PARKED].sum(), number[EXITED])
    assert (state.waiting >= 0).all()


def test_a_forecast_never_promises_more_than_who_waits_and_who_comes():
    here, following = days_of(np.array([0.0, 0.0, 1.0]), rate=1.0, a_day=5, periods=100)
    moves = moves_from_days(here, following, no_exits(here), None, periods=100)
    state, _ = run(moves, periods=100)
    promised = conversion.forecast(state, np.zeros(56, dtype=np.int64), np.zeros(56))
    assert_allclose(state.waiting.sum(), 10.0)
    assert_allclose(promised.sum(), 10.0, rtol=0.01)
    assert_allclose(promised[:2], 5.0, rtol=0.03)


def test_a_forecast_is_linear_in_its_inflow_and_in_who_waits():
    here, following = days_of(np.array([0.2, 0.3, 0.3, 0.2]), rate=0.5)
    state, _ = run(moves_from_days(here, following, no_exits(here), None, periods=PERIODS))
    types = np.arange(28, dtype=np.int64) % 7
    inflow = np.linspace(10, 90, 28)
    both = conversion.forecast(state, types, inflow)
    waiting = conversion.forecast(state, types, np.zeros(28))
    coming = conversion.forecast(state, types, inflow, waiting=False)
    assert_allclose(waiting + coming, both, rtol=1e-12)
    assert_allclose(conversion.forecast(state, types, 3 * inflow, waiting=False), 3 * coming, rtol=1e-12)


def test_parked_entities_come_back_at_the_rate_at_which_they_did():
    here = np.repeat(np.arange(PERIODS), 50).astype(np.int32)
    left = (here + 2).astype(np.int32)
    following = np.where(np.arange(len(here)) % 2, here + 6, NEVER).astype(np.int32)
    known = [np.where(part >= PERIODS, NEVER, part).astype(np.int32) for part in (following, left)]
    moves = moves_from_days(here, known[0], known[1][:, None], None, periods=PERIODS)
    _, forecast = run(moves, inflow=50.0)
    assert_allclose(forecast[0], 25.0, rtol=0.03)


def test_who_is_due_arrives_when_due_early_or_late():
    generator = np.random.default_rng(3)
    here = np.repeat(np.arange(PERIODS), 60)
    due = here + generator.integers(1, 40, len(here))
    following = np.where(generator.random(len(here)) < 0.7, due + generator.choice([-1, 0, 2], len(here)), NEVER)
    following = np.where(following >= PERIODS, NEVER, following)
    wave = due[due >= PERIODS + 4]
    due = np.concatenate([due, np.full(300, PERIODS + 10)]).astype(np.int32)
    here = np.concatenate([here, np.full(300, PERIODS - 1)]).astype(np.int32)
    following = np.concatenate([following, np.full(300, NEVER)]).astype(np.int32)
    moves = moves_from_days(here, following, no_exits(here), due, periods=PERIODS)
    state, _ = run(moves)
    assert state.waiting[DUE].sum() > 300
    promised = conversion.forecast(state, np.zeros(28, dtype=np.int64), np.zeros(28))
    usual = np.array([(wave == PERIODS + step).sum() for step in range(28)])
    expected = 0.7 * (np.roll(usual, -1) + usual + np.roll(usual, 2))[6:20] / 3
    expected[[9 - 6, 10 - 6, 12 - 6]] += 70.0
    assert_allclose(promised[6:20], expected, rtol=0.2, atol=3)


def test_a_day_type_without_conversions_is_forecast_without_any():
    here, following = days_of(np.array([0.0, 0.5, 0.5]), rate=0.6)
    types = np.arange(PERIODS + 28, dtype=np.int64) % 7
    shifted = following.copy()
    weekend = (following != NEVER) & (types[np.maximum(following, 0)] == 6)
    shifted[weekend] += 1
    shifted[shifted >= PERIODS] = NEVER
    _, forecast = run(moves_from_days(here, shifted, no_exits(here), None, periods=PERIODS), inflow=200.0, types=types)
    sunday = types[PERIODS:] == 6
    assert forecast[0][sunday].max() < 1.0
    assert_allclose(forecast[0].sum(), 28 * 120.0, rtol=0.03)


def falling(*, rate, fallen, since, a_day=100):
    """Entities of whom a share converts after three days, and another share of those that enter from a day on."""
    here, following = days_of(np.array([0.0, 0.0, 0.0, 1.0]), rate=1.0, a_day=a_day)
    lucky = np.random.default_rng(7).random(len(here)) < np.where(here < since, rate, fallen)
    following = np.where(lucky, following, NEVER).astype(np.int32)
    return moves_from_days(here, following, no_exits(here), None, periods=PERIODS)


def test_a_share_that_fell_a_month_ago_is_forecast_as_it_is_now():
    _, forecast = run(falling(rate=0.5, fallen=0.25, since=PERIODS - 33), inflow=100.0)
    assert_allclose(forecast[0], 25.0, rtol=0.25)


def test_a_share_that_rose_a_month_ago_is_forecast_as_it_is_now():
    _, forecast = run(falling(rate=0.25, fallen=0.5, since=PERIODS - 33), inflow=100.0)
    assert_allclose(forecast[0], 50.0, rtol=0.2)


def test_what_chance_explains_changes_no_hazard():
    state, _ = run(falling(rate=0.5, fallen=0.5, since=0))
    lately = conversion.ConversionState(**{
        name: getattr(state, name) for name in conversion.ConversionState.__dataclass_fields__ if name != "came"
    }, came=state.came * 1.02)  # fmt: skip
    types, inflow = np.zeros(28, dtype=np.int64), np.full(28, 100.0)
    assert_array_equal(conversion.forecast(lately, types, inflow), conversion.forecast(state, types, inflow))


def test_a_level_is_exactly_one_up_to_the_threshold_and_then_follows():
    variance = 1 / (1 + 0.5 ** (1 / 10))
    chance = np.sqrt(8 * variance * 400.0)
    assert recent_level(400.0 + 0.999 * chance, 400.0, 10.0) == 1.0 == recent_level(400.0 - 0.999 * chance, 400.0, 10.0)
    assert recent_level(800.0, 400.0, 10.0) == pytest.approx(2.0 - 8 * variance / 400.0)
    assert recent_level(200.0, 400.0, 10.0) == pytest.approx(0.5 + 8 * variance / 200.0)
    assert recent_level(5.0, 0.0, 10.0) == 1.0
    assert recent_level(-900.0, 400.0, 10.0) == 0.0


def test_nobody_converts_twice_when_the_level_is_high():
    here, following = days_of(np.array([0.0, 0.0, 0.0, 1.0]), rate=1.0, a_day=100)
    half = np.where((here < PERIODS - 23) & (np.arange(len(here)) % 2 == 0), NEVER, following).astype(np.int32)
    state, forecast = run(moves_from_days(here, half, no_exits(here), None, periods=PERIODS))
    assert 240 < forecast[0].sum() <= state.waiting[AGE].sum()


def test_one_pass_forecasts_at_an_origin_as_a_shorter_history_does():
    here, following = days_of(np.array([0.1, 0.2, 0.3, 0.4]), rate=0.5, a_day=20)
    moves = moves_from_days(here, following, no_exits(here), None, periods=PERIODS)
    origins = np.array([99, 199, PERIODS - 1])
    _, together = run(moves, inflow=20.0, origins=origins)
    for row, origin in enumerate(origins):
        _, alone = run(moves[moves[:, 0] <= origin], periods=origin + 1, inflow=20.0)
        assert_array_equal(together[row], alone[0])


def test_appending_a_day_at_a_time_is_a_longer_fit():
    here, following = days_of(np.array([0.1, 0.2, 0.3, 0.4]), rate=0.5, a_day=20, periods=80)
    moves = moves_from_days(here, following, no_exits(here), None, periods=80)
    whole, _ = run(moves, periods=80)
    state, _ = run(moves[moves[:, 0] < 60], periods=60)
    for day in range(60, 80):
        own = moves[moves[:, 0] == day]
        own[:, 0] = 0
        before = state.at_risk.copy()
        longer, _ = conversion.advance(
            state, own, np.zeros(1, dtype=np.int64), observed=np.ones(1, dtype=bool),
            origins=np.empty(0, dtype=np.int64), inflow=np.zeros((0, 1)),
        )  # fmt: skip
        assert_array_equal(state.at_risk, before)
        state = longer
    for name in conversion.ConversionState.__dataclass_fields__:
        assert_allclose(getattr(state, name), getattr(whole, name), rtol=1e-12, atol=1e-12)


def test_days_on_which_nothing_was_observed_teach_nothing():
    here, following = days_of(np.array([0.0, 1.0]), rate=0.5)
    gap = slice(300, 330)
    lost = np.where((following >= gap.start) & (following < gap.stop), NEVER, following).astype(np.int32)
    moves = moves_from_days(here, lost, no_exits(here), None, periods=PERIODS)
    observed = np.ones(PERIODS, dtype=bool)
    types = np.zeros(PERIODS + 28, dtype=np.int64)
    made = {}
    for name, days in (("believed", observed.copy()), ("left out", observed)):
        if name == "left out":
            days[gap] = False
        _, made[name] = conversion.advance(
            conversion.make_state(season_length=7), moves, types,
            observed=days, origins=np.array([PERIODS - 1]), inflow=np.full((1, 28), 200.0),
        )  # fmt: skip
    assert made["left out"].mean() == pytest.approx(100.0, rel=0.02)
    assert made["believed"].mean() < made["left out"].mean()
