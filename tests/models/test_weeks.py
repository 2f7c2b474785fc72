"""Funnels of weeks: a year has few of them, so that every one is learnt from, and nothing looks back for years."""

from datetime import date

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from models import departure, lag, scoring
from models.calendar import Calendar
from models.engine import fit
from models.forecast import QUANTILES
from models.history import NEVER, Entities, History
from models.origins import gap_of, make_origins

LOW, HIGH, HORIZON = QUANTILES.index(0.1), QUANTILES.index(0.9), 8
CALENDAR = Calendar("week")


def counted(counts: np.ndarray) -> History:
    stages = ("visit", "lead")[: len(counts)]
    return History(date(2023, 1, 2), "week", (), stages, counts[None], counted=stages)


def forecasts(history: History, **wishes):
    return fit(history, calendar=CALENDAR, horizon=HORIZON, scored=False, **wishes).forecasts


def test_every_week_is_a_rolling_origin_and_every_fifth_is_scored():
    origins = make_origins(7, periods=60, horizon=HORIZON, gap=gap_of(1))
    assert origins.fresh.tolist() == list(range(14, 60))
    scored = origins.fresh[scoring.is_scored(origins.fresh, 7, seen=0, gap=origins.gap)]
    assert np.diff(scored).tolist() == [5] * (len(scored) - 1)
    assert len(scored) == 7
    assert gap_of(7) == 5


@pytest.mark.parametrize("weeks", [30, 60, 120])
def test_intervals_of_a_wandering_level_hold_what_they_say(weeks):
    """Relative steps of 12 % a week: after a few they are far beyond what a forecaster who starts is prepared for."""
    inside = []
    for seed in range(25):
        generator = np.random.default_rng(seed)
        level = 400 * np.exp(np.cumsum(generator.normal(0, 0.12, weeks + HORIZON)))
        counts = generator.poisson(level).astype(float)
        (made,) = forecasts(counted(counts[None, :weeks]))
        came = counts[weeks:]
        inside.append((came >= made.quantiles[:, LOW]) & (came <= made.quantiles[:, HIGH]))
    assert 0.66 <= np.mean(inside) <= 0.9


def test_a_stage_two_weeks_behind_is_forecast_from_what_happened_above_it():
    generator = np.random.default_rng(4)
    visits = 1000 * np.exp(np.cumsum(generator.normal(0, 0.2, 80)))
    leads = 0.3 * np.concatenate([np.full(2, visits[0]), visits[:-2]])
    state = lag.make_state(1, season_length=1)
    types, last, none = np.zeros(90, dtype=np.int64), np.array([79]), np.zeros((1, 1, HORIZON))
    state, made = lag.advance(state, visits[None], leads[None], types, origins=last, inflow=none)
    assert made[0, 0, :2] == pytest.approx(0.3 * visits[-2:], rel=0.08)
    responses = lag.responses(state, types[:HORIZON])[0]
    assert responses[1].argmax() == 2
    assert 2 * responses[1, 2] > responses[1].sum() == pytest.approx(0.3, rel=0.1)


def test_what_has_lasted_for_five_weeks_departs_from_nothing():
    def held(weeks):
        counts = np.full(60, 400.0)
        counts[-weeks:] = 1000.0
        counts[-weeks] = 1100.0
        origins = make_origins(0, periods=60, horizon=HORIZON, gap=gap_of(1))
        state = departure.make_state(1, stages=1, horizon=HORIZON)
        departures = departure.Departures(state, counts[None, None], np.full((1, 1, 120), np.nan), origins=origins)
        mean = np.full((1, len(origins.every), HORIZON), 400.0)
        caps = np.full((1, len(origins.asked)), np.inf)
        return departures.hold(0, mean, caps=caps, season_length=1)[0, -1]

    assert (held(4) > 550).all()
    assert_array_equal(held(5), 400.0)


@pytest.mark.parametrize("known", ["counts", "entities"])
def test_week_by_week_it_is_one_pass(known):
    generator = np.random.default_rng(9)
    entered = np.repeat(np.arange(60), generator.poisson(80 * np.exp(np.cumsum(generator.normal(0, 0.1, 60)))))
    moved = np.where(generator.random(len(entered)) < 0.5, entered + generator.poisson(2, len(entered)), NEVER)
    both = np.stack([entered, moved], axis=1).astype(np.int32)

    def until(end: int) -> History:
        days = both[entered < end]
        days = np.where(days < end, days, NEVER)
        counts = np.stack([np.bincount(each[each != NEVER], minlength=end) for each in days.T]).astype(float)
        if known == "counts":
            return counted(counts)
        none, nobody = np.full(len(days), NEVER, dtype=np.int32), np.zeros(len(days), dtype=np.int32)
        entities = Entities(np.where(days == NEVER, NEVER, 7 * days + 2), nobody, none, np.full(len(days), np.nan))
        return History(date(2023, 1, 2), "week", (), ("visit", "lead"), counts[None], entities=entities)

    memory: tuple[bytes, ...] = ()
    for end in (20, 33, 34, 36, 45, 59, 60):
        made = fit(until(end), calendar=CALENDAR, horizon=HORIZON, before=memory)
        memory = made.memory
    whole = fit(until(60), calendar=CALENDAR, horizon=HORIZON)
    assert made.refitted == 0
    assert memory == whole.memory
    assert repr(made.scorecard) == repr(whole.scorecard)
