"""Segments that appear: their past begins when they do."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models import engine
from models.appearance import hidden, periods_absent
from models.calendar import Calendar
from models.engine import Fitted, fit
from models.entities import NEVER
from models.history import Entities, History

WEEK = np.array([1.1, 1.1, 1.0, 1.0, 0.9, 0.45, 0.4])
END, HORIZON = 250, 28


def counts_of(rates: list[float], *, since: int, end: int = END, seed: int = 0) -> np.ndarray:
    """Counts a day of segments, (segments, end): the first of them comes on day `since`."""
    rate = np.array(rates)[:, None] * WEEK[np.arange(end) % 7]
    rate[0, :since] = 0.0
    return np.random.default_rng(seed).poisson(rate).astype(float)


def history_of(y: np.ndarray, *, end: int = END, valued: bool = False) -> History:
    """Leads a day become entities, 40 percent of which are won later."""
    generator = np.random.default_rng(1)
    segment, day = np.nonzero(y)
    entered = np.repeat(np.stack([day, segment]), y[segment, day].astype(int), axis=1)
    entered = entered[:, np.argsort(entered[0], kind="stable")]
    after = entered[0] + 1 + generator.geometric(0.12, entered.shape[1])
    won = generator.random(entered.shape[1]) < 0.4
    days = np.stack([entered[0], np.where(won, after, NEVER), np.where(won, NEVER, after)], axis=1)
    here = entered[0] < end
    known = np.where(days[here] < end, days[here], NEVER).astype(np.int32)
    counts = np.zeros((len(y), 2, end))
    for stage in range(2):
        reached = known[:, stage] != NEVER
        np.add.at(counts, (entered[1, here][reached], stage, known[reached, stage]), 1.0)
    nothing = np.full(len(known), NEVER, dtype=np.int32)
    worth = np.full(len(known), 100.0 if valued else np.nan)
    amounts = np.repeat(worth[:, None], 2, axis=1) if valued else None
    entities = Entities(known, entered[1, here].astype(np.int32), nothing, worth, amounts=amounts)
    names = tuple(f"s{number}" for number in range(len(y)))
    value = 100.0 * counts if valued else None
    return History(date(2023, 1, 2), "day", names, ("lead", "won"), counts, value, entities)


def fitted(history: History, **more: object) -> Fitted:
    return fit(history, calendar=Calendar(), horizon=HORIZON, **more)


def of(result: Fitted, segment: str, stage: str = "lead"):
    return next(each for each in result.forecasts if (each.segment, each.stage) == (segment, stage))


def test_only_what_chance_does_not_explain_is_an_appearance():
    generator = np.random.default_rng(4)
    always = generator.poisson(np.exp(generator.uniform(-4, 1, (400, 1, 1))), (400, 2, END)).astype(float)
    assert (periods_absent(always) > 0).mean() < 0.01
    late = always.copy()
    late[:, :, :200] = 0.0
    first = (late > 0).any(axis=1).argmax(axis=1)
    absent = periods_absent(late)
    assert set(np.unique(absent[absent > 0] - first[absent > 0])) == {0}
    often = (late > 0).any(axis=1).sum(axis=1) >= 5
    assert (absent[often] > 0).all()


def test_counts_of_a_single_day_say_nothing_however_many_they_are():
    burst = np.zeros((1, 1, END))
    burst[0, 0, 240] = 1000.0
    assert periods_absent(burst)[0] == 0


def test_what_was_not_observed_is_no_silence():
    counts = np.full((1, 1, END), np.nan)
    counts[0, 0, 200:] = 5.0
    assert periods_absent(counts)[0] == 0
    counts[0, 0, :200] = 0.0
    assert periods_absent(counts)[0] == 200


def test_nothing_is_hidden_of_the_others():
    values = np.ones((3, 2, 10))
    assert hidden(values, np.zeros(3, dtype=np.int64)) is values
    out = hidden(values, np.array([0, 4, 0]))
    assert np.isnan(out[1, :, :4]).all()
    assert np.isfinite(out).sum() == 60 - 8


@pytest.mark.parametrize(("age", "most"), [(7, 0.5), (14, 0.3), (28, 0.2), (60, 0.2)])
def test_a_new_segment_is_forecast_at_its_level_and_takes_nothing_from_the_others(age, most):
    rates = [3.0, 8.0, 6.0, 4.0, 9.0]
    means = np.zeros((6, 5))
    for seed in range(6):
        history = history_of(counts_of(rates, since=END - age, seed=seed))
        means[seed] = [of(fitted(history), name).mean.sum() for name in history.segments]
    expected = np.array(rates) * WEEK.mean() * HORIZON
    assert abs(means.mean(axis=0)[0] / expected[0] - 1) < most
    assert_allclose(means.mean(axis=0)[1:], expected[1:], rtol=0.15)


def test_later_stages_of_young_segments_are_forecast_from_what_is_in_flight():
    result = fitted(history_of(counts_of([5.0, 3.0, 2.0], since=END - 9)))
    lead, won = of(result, "s0"), of(result, "s0", "won")
    assert lead.fallback_reason is None
    assert won.model.startswith("cascade")
    assert won.in_flight is not None
    assert won.in_flight[0] > 0


def test_a_segment_that_falls_silent_after_its_only_week_is_not_forecast_at_it():
    y = counts_of([0.0, 3.0, 2.0], since=0)
    y[0, 238:245] = 20.0
    assert of(fitted(history_of(y)), "s0").mean.sum() < 0.4 * 20.0 * HORIZON


def test_segments_still_add_up_to_their_total():
    result = fitted(history_of(counts_of([5.0, 3.0, 2.0], since=END - 20)))
    for stage in ("lead", "won"):
        parts = sum(of(result, name, stage).mean for name in ("s0", "s1", "s2"))
        assert_allclose(parts, of(result, "total", stage).mean, atol=1e-9)


@pytest.mark.parametrize("valued", [False, True])
def test_nights_around_the_appearance_are_as_if_all_had_always_been_known(valued):
    y = counts_of([3.0, 4.0, 2.0], since=100, end=125)
    memory: tuple[bytes, ...] = ()
    for end in range(98, 125, 2):
        history = history_of(y, end=end, valued=valued)
        if end <= 100:
            history = replace(
                history,
                segments=history.segments[1:],
                counts=history.counts[1:],
                value=history.value[1:] if valued else None,
                entities=replace(history.entities, segment=history.entities.segment - 1),
            )
        night, anew = fitted(history, before=memory), fitted(history)
        memory = night.memory
        for one, other in zip(night.forecasts, anew.forecasts, strict=True):
            assert_array_equal(one.quantiles, other.quantiles)
            assert one.fallback_reason == other.fallback_reason
            if valued:
                assert_array_equal(one.value.quantiles, other.value.quantiles)
        assert night.scorecard == anew.scorecard or end > 98  # NaN is not itself
    assert night.appended == 8


def test_two_weeks_of_a_few_counts_do_not_take_off():
    y = np.array([0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2], dtype=float)
    history = History(date(2023, 8, 26), "day", (), ("lead",), y[None, None], counted=("lead",))
    assert fitted(history).forecasts[0].mean.sum() < 3 * HORIZON * y.mean()


def test_a_trend_of_five_weeks_is_followed():
    y = np.round(5 * 1.03 ** np.arange(35))
    history = History(date(2023, 1, 2), "day", (), ("lead",), y[None, None], counted=("lead",))
    assert fitted(history).forecasts[0].mean[-1] > 1.3 * y[-1]


@pytest.mark.parametrize(("since", "rate"), [(14, 0.5), (30, 0.3), (60, 0.1)])
def test_a_segment_that_has_appeared_stays_so(since, rate):
    counts = np.random.default_rng(7).poisson(rate, (40, 1, since + 200)).astype(float)
    counts[:, :, :since] = 0.0
    verdicts = np.array([periods_absent(counts[:, :, :end]) for end in range(since + 5, since + 200, 3)])
    assert (verdicts[-1] > 0).any()
    assert ((verdicts[1:] == verdicts[:-1]) | (verdicts[:-1] == 0)).all()


def test_a_stage_that_nobody_counts_is_not_observed_for_a_new_segment_either():
    y = counts_of([5.0, 3.0], since=END - 30)
    counts = np.stack([y, np.full_like(y, np.nan)], axis=1)
    history = History(date(2023, 1, 2), "day", ("s0", "s1"), ("lead", "won"), counts, counted=("lead", "won"))
    reasons = {of(fitted(history), name, "won").fallback_reason for name in history.segments}
    assert reasons == {"nothing was observed for this series"}


def test_an_absence_that_what_is_remembered_could_not_know_is_fitted_anew():
    counts = np.random.default_rng(8).poisson(5.0, (2, 2, 130)).astype(float)
    counts[:, :, :60] = np.nan
    counts[0, :, 60:100] = 0.0
    counts[0, :, 100] = 3.0

    def until(end: int) -> History:
        names = ("s0", "s1")
        return History(date(2023, 1, 2), "day", names, ("lead", "won"), counts[:, :, :end], counted=("lead", "won"))

    night, anew = fitted(until(130), before=fitted(until(50)).memory), fitted(until(130))
    for one, other in zip(night.forecasts, anew.forecasts, strict=True):
        assert_array_equal(one.quantiles, other.quantiles)
    assert night.memory == anew.memory


def test_what_answers_for_a_quarantined_segment_does_not_see_zeros_before_it(monkeypatch):
    history = history_of(counts_of([15.0, 3.0], since=END - 5))

    def broken(block):
        if 1 in block.rows:
            raise ValueError("told to")
        return fit_block(block)

    fit_block = engine.fit_block
    monkeypatch.setattr(engine, "fit_block", broken)
    result = fitted(history)
    assert result.quarantined.keys() == {"s0"}
    assert of(result, "s0").mean.sum() > 0.5 * 15.0 * WEEK.mean() * HORIZON


def test_weeks_appear_too():
    counts = np.random.default_rng(9).poisson(30.0, (3, 1, 60)).astype(float)
    counts[0, :, :52] = 0.0
    history = History(date(2023, 1, 2), "week", ("s0", "s1", "s2"), ("lead",), counts, counted=("lead",))
    forecast = of(fit(history, calendar=Calendar(), horizon=8), "s0")
    assert abs(forecast.mean.mean() / 30.0 - 1) < 0.3


def test_money_is_not_settled():
    result = fitted(history_of(counts_of([3.0, 4.0], since=0) + 1.0, valued=True))
    value = of(result, "s0", "won").value
    assert (value.quantiles[:, 2:-2] % 100 != 0).any()
