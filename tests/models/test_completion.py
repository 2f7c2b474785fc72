"""A forecast starts from what young days will come to: the counts, and who waits in the funnel."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models import conversion
from models.calendar import Calendar
from models.completion import _steps, missing_counts
from models.engine import Fitted, fit
from models.history import NEVER, Entities, History
from models.spells import moves_from_days

CALENDAR = Calendar(country="NL")
START = date(2024, 1, 1)


def test_what_is_missing_lies_between_the_chain_ladder_and_what_was_expected():
    told, share, expected = np.array([[[30.0]]]), np.array([[0.5]]), np.array([[[100.0]]])
    surprised = [
        float(missing_counts(told, share, expected, np.array([[[variance]]]))[0, 0, 0]) for variance in (100.0, 1e7)
    ]
    assert surprised[0] == pytest.approx(50.0)  # Poisson: the other half is as expected
    assert surprised[1] == pytest.approx(30.0, rel=0.01)  # nothing is known beforehand: as many again as were told
    assert_array_equal(missing_counts(told, np.array([[1.0]]), expected, expected), 0.0)
    assert_array_equal(missing_counts(np.array([[[np.nan]]]), share, expected, expected), 0.0)
    assert_array_equal(missing_counts(told, share, np.array([[[0.0]]]), expected), 0.0)


def test_the_posterior_mean_is_recovered_by_simulation():
    generator = np.random.default_rng(5)
    expected, excess, share = 40.0, 200.0, 0.3
    rate = generator.gamma(expected**2 / excess, excess / expected, 400_000)
    final = generator.poisson(rate)
    told = generator.binomial(final, share)
    for seen in (6, 12, 20):
        missing = missing_counts(
            np.full((1, 1, 1), float(seen)),
            np.full((1, 1), share),
            np.full((1, 1, 1), expected),
            np.full((1, 1, 1), expected + excess),
        )
        assert float(missing[0, 0, 0]) == pytest.approx((final - told)[told == seen].mean(), rel=0.02)


def test_those_who_have_likely_converted_do_not_wait_any_longer():
    here = np.repeat(np.arange(300), 100).astype(np.int32)
    following = np.where(here + 2 < 300, here + 2, NEVER).astype(np.int32)  # everybody, after two days
    full = moves_from_days(here, following, np.empty((len(here), 0), dtype=np.int32), None, periods=300)
    late = moves_from_days(
        here, np.where(following == 299, NEVER, following), np.empty((len(here), 0), dtype=np.int32), None, periods=300
    )

    def waiting(moves, untold=None):
        state = conversion.make_state(season_length=7)
        types = np.zeros(301, dtype=np.int64)
        observed = np.ones(300, dtype=bool) if untold is None else untold.share >= 1
        return conversion.advance(
            state, moves, types, observed=observed, origins=np.array([299]), inflow=np.zeros((1, 1)), untold=untold
        )

    share = np.ones(300)
    share[-1] = 0.0
    truth, expected = waiting(full)
    state, made = waiting(late, conversion.Untold(share, np.zeros(300)))
    ignored, _ = waiting(late)
    assert ignored.waiting.sum() == pytest.approx(truth.waiting.sum() + 100)
    assert state.waiting.sum() == pytest.approx(truth.waiting.sum(), rel=0.02)
    assert_allclose(made, expected, rtol=0.02)


def test_entrants_that_are_not_told_of_wait_where_entrants_do():
    here = np.repeat(np.arange(300), 100).astype(np.int32)
    following = np.where(here + 2 < 300, here + 2, NEVER).astype(np.int32)
    none = np.empty((len(here), 0), dtype=np.int32)
    types = np.zeros(303, dtype=np.int64)
    asked = {"origins": np.array([299]), "inflow": np.zeros((1, 3)), "observed": np.ones(300, dtype=bool)}
    _, truth = conversion.advance(
        conversion.make_state(season_length=7),
        moves_from_days(here, following, none, None, periods=300),
        types,
        **asked,
    )
    told = here < 299
    moves = moves_from_days(here[told], following[told], none[told], None, periods=300)
    entrants = np.zeros(300)
    entrants[-1] = 100.0
    _, made = conversion.advance(
        conversion.make_state(season_length=7), moves, types, untold=conversion.Untold(np.ones(300), entrants), **asked
    )
    assert_allclose(made, truth, rtol=1e-9)


def funnel(periods: int, *, late: float = 0.0) -> History:
    """A steady funnel of 40 leads a day, half of which are won three days later; of the last day a share is missing."""
    generator = np.random.default_rng(9)
    lead = np.repeat(np.arange(periods), 40)
    won = np.where(generator.random(len(lead)) < 0.5, lead + 3, NEVER)
    won[won >= periods] = NEVER
    told = ~((lead == periods - 1) & (generator.random(len(lead)) < late))
    won[(won == periods - 1) & (generator.random(len(lead)) < late)] = NEVER
    days = np.stack([lead, won], axis=1)[told].astype(np.int32)
    counts = np.stack([np.bincount(column[column != NEVER], minlength=periods) for column in days.T])[None].astype(
        float
    )
    worth = np.full((len(days), 2), 100.0)
    entities = Entities(
        days, np.zeros(len(days), dtype=np.int32), np.full(len(days), NEVER, dtype=np.int32), worth[:, 0], amounts=worth
    )
    return History(START, "day", (), ("lead", "won"), counts, value=100 * counts, entities=entities)


def near(fitted: Fitted, stage: int) -> float:
    return float(fitted.forecasts[stage].mean[:7].sum())


def test_a_forecast_starts_from_what_the_last_day_will_come_to():
    whole = fit(funnel(120), calendar=CALENDAR, horizon=28)
    history = funnel(120, late=0.6)
    misled = fit(history, calendar=CALENDAR, horizon=28)
    told = np.array([[0.4], [0.4]])
    corrected = fit(replace(history, told=told), calendar=CALENDAR, horizon=28)
    for stage in (0, 1):
        assert abs(near(corrected, stage) - near(whole, stage)) < 0.02 * near(whole, stage)
        assert abs(near(misled, stage) - near(whole, stage)) > 2 * abs(near(corrected, stage) - near(whole, stage))
    in_money = corrected.forecasts[1].value
    assert in_money is not None
    assert in_money.mean[:7].sum() == pytest.approx(100 * near(whole, 1), rel=0.05)


def test_scores_are_of_days_that_are_told_in_full():
    late = fit(replace(funnel(120, late=0.6), told=np.array([[0.4], [0.4]])), calendar=CALENDAR, horizon=28)
    settled = fit(funnel(119), calendar=CALENDAR, horizon=28)
    assert late.scorecard
    assert repr(late.scorecard) == repr(settled.scorecard)


def test_nothing_late_changes_nothing():
    history = funnel(100)
    plain = fit(history, calendar=CALENDAR, horizon=14)
    told = fit(replace(history, told=np.ones((2, 3))), calendar=CALENDAR, horizon=14)
    assert plain.memory != told.memory  # three days fewer are remembered
    for one, other in zip(plain.forecasts, told.forecasts, strict=True):
        assert_array_equal(one.mean, other.mean)
        assert_array_equal(one.in_flight, other.in_flight)
        assert_array_equal(one.quantiles, other.quantiles)


def test_late_days_are_not_remembered_so_that_what_they_came_to_is_an_append():
    told = np.array([[0.4], [0.4]])
    first = fit(replace(funnel(100, late=0.6), told=told), calendar=CALENDAR, horizon=14)
    complete = funnel(100)
    assert complete.counts[0, 0, 99] > funnel(100, late=0.6).counts[0, 0, 99]
    later = replace(funnel(103, late=0.6), told=told)
    fitted = fit(later, calendar=CALENDAR, horizon=14, before=first.memory)
    anew = fit(later, calendar=CALENDAR, horizon=14)
    assert (fitted.refitted, fitted.anew) == (0, None)
    assert fitted.memory == anew.memory
    for one, other in zip(fitted.forecasts, anew.forecasts, strict=True):
        assert_array_equal(one.mean, other.mean)
        assert_array_equal(one.quantiles, other.quantiles)
    assert repr(fitted.scorecard) == repr(anew.scorecard)


def test_days_that_begin_to_be_late_are_a_reason_to_fit_anew():
    memory = fit(funnel(100), calendar=CALENDAR, horizon=14).memory
    late = replace(funnel(101, late=0.6), told=np.full((2, 4), 0.9))
    assert "incomplete" in (fit(late, calendar=CALENDAR, horizon=14, before=memory).anew or "")


def test_a_horizon_shorter_than_what_is_late_is_filled_from_its_last_season():
    assert _steps(12, horizon=8, season_length=7).tolist() == [*range(8), 1, 2, 3, 4]
    history = replace(funnel(100, late=0.6), told=np.full((2, 12), 0.9))
    made = fit(history, calendar=CALENDAR, horizon=8).forecasts
    assert all(np.isfinite(each.mean).all() and each.horizon == 8 for each in made)
    assert made[0].dates[0] == START + timedelta(days=100)
