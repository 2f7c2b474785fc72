"""Whole forecasts know that what the last days depart from may come back or stay, and so do those of later stages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.calendar import Calendar
from models.engine import fit
from models.funnel import DeclaredDay
from models.history import NEVER, Entities, History
from tests.models.departures import (
    HIGH,
    HORIZON,
    LOW,
    PERIODS,
    START,
    WEEK,
    forecast_of,
    funnel,
    history,
    noisy,
    shape,
    wild,
)


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
