"""Scenarios: arithmetic that adds up, arrives when it can, and agrees with the truth of simulated funnels."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.calendar import make_calendar
from models.cleaning import clean
from models.engine import Fitted, fit
from models.history import History, make_history
from models.levers import Lever, LeverError, changes, check_lever, half_arrived, pack, unpack
from models.rows import events_from_frame
from models.simulate import Arrivals, Delay, Due, Exit, FunnelSpec, LevelShift, Segment, Transition, outlook, simulate

STAGES = ("leads", "qualified", "won")
SEGMENTS = ("total", "large", "small")
START = date(2024, 1, 1)
DAYS, HORIZON = 300, 56
WEEK = (1.1, 1.1, 1.0, 1.0, 0.9, 0.4, 0.3, 0.3)


def spec(*, due: Due | None = None, shifts: tuple[LevelShift, ...] = ()) -> FunnelSpec:
    return FunnelSpec(
        stages=STAGES,
        transitions=(
            Transition(0.6, Delay(6, 0.35), exits=(Exit("lost", 0.3, Delay(8, 0.5)),), day_effect=WEEK),
            Transition(0.5, Delay(9, 0.35), day_effect=WEEK, due=due),
        ),
        segments=(Segment("large", 0.3), Segment("small", 0.7)),
        arrivals=Arrivals(100.0, day_effect=WEEK, shifts=shifts),
        start=START,
    )


def fitted(made: FunnelSpec) -> Fitted:
    simulation = simulate(made, days=DAYS, seed=np.random.default_rng(3))
    funnel = simulation.spec.funnel()
    events = events_from_frame(simulation.events, timezone="UTC", segment_by="segment")
    raw = make_history(funnel, events=events, cutoff=START + timedelta(days=DAYS - 1), start=START)
    calendar = make_calendar(funnel)
    history = clean(raw, calendar=calendar)[0]
    return fit(history, calendar=calendar, horizon=HORIZON, scored=False, responses=True)


def inputs(result: Fitted):
    means = {
        segment: np.array([each.mean for each in result.forecasts if each.segment == segment]) for segment in SEGMENTS
    }
    return means, {segment: unpack(packed, horizon=HORIZON) for segment, packed in result.responses.items()}


@pytest.fixture(scope="module")
def funnel():
    """Means and responses of a funnel whose last transition keeps due dates."""
    return inputs(fitted(spec(due=Due(0.6, Delay(12, 0.4)))))


@pytest.fixture(scope="module")
def ask(funnel):
    means, responses = funnel

    def answer(*levers: Lever):
        return changes(means, responses, levers, stages=STAGES)

    return answer


def test_twice_the_further_inflow_is_twice_the_change_at_every_stage_and_step(ask):
    once = ask(Lever("inflow", "leads", add=10.0, first=3))["total"]
    twice = ask(Lever("inflow", "leads", add=20.0, first=3))["total"]
    assert once[2].sum() > 50
    assert_allclose(twice, 2 * once, rtol=1e-9, atol=1e-9)


def test_further_and_fewer_entrants_cancel(ask):
    levers = [Lever("inflow", "leads", add=3.0), Lever("inflow", "leads", add=-3.0)]
    assert_allclose(ask(*levers)["total"], 0.0, atol=1e-9)


def test_nothing_changes_before_the_lever_nor_above_it(ask):
    change = ask(Lever("inflow", "qualified", add=5.0, first=10))["total"]
    assert_array_equal(change[0], 0.0)
    assert_array_equal(change[:, :9], 0.0)
    assert_array_equal(change[1, 9:], 5.0)
    assert change[2, 9:].sum() > 20


def test_a_pulse_arrives_as_often_and_as_late_as_the_true_delays_say():
    pulse = START + timedelta(days=DAYS)
    made = spec()
    shifted = spec(shifts=(LevelShift(pulse, 1.5), LevelShift(pulse + timedelta(days=1), 1 / 1.5)))
    simulation = simulate(made, days=DAYS, seed=np.random.default_rng(3))
    before = outlook(simulation, cutoff=pulse - timedelta(days=1), horizon=HORIZON).mean.sum(axis=0)
    after = outlook(replace(simulation, spec=shifted), cutoff=pulse - timedelta(days=1), horizon=HORIZON).mean.sum(
        axis=0
    )
    truth = after - before
    means, responses = inputs(fitted(made))
    lever = Lever("inflow", "leads", add=float(truth[0, 0]), last=1)
    found = changes(means, responses, [lever], stages=STAGES)["total"]
    for stage in (1, 2):
        assert_allclose(found[stage].sum(), truth[stage].sum(), rtol=0.1)
        assert abs(half_arrived(found[stage]) - half_arrived(truth[stage])) <= 1
        assert np.abs(np.cumsum(found[stage] - truth[stage])).max() < 0.1 * truth[stage].sum()


def test_conversion_up_by_a_tenth_is_a_tenth_more_of_all_that_arrives_and_of_what_follows(ask, funnel):
    means, responses = funnel
    change = ask(Lever("conversion", "qualified", percent=10.0))["total"]
    promised = responses["total"][0][0] + means["total"][0] @ responses["total"][0][1:]
    assert_array_equal(change[0], 0.0)
    assert_allclose(change[1], 0.1 * promised, rtol=1e-9)
    assert_allclose(change[2], change[1] @ responses["total"][1][1:], rtol=1e-9, atol=1e-12)


def test_a_delay_moves_what_arrives_and_loses_only_what_leaves_the_horizon(ask, funnel):
    means, responses = funnel
    promised = responses["total"][0][0] + means["total"][0] @ responses["total"][0][1:]
    later = ask(Lever("delay", "qualified", days=3, first=8))["total"][1]
    assert_array_equal(later[:7], 0.0)
    assert_allclose(later[7:10], -promised[7:10], rtol=1e-9)
    assert_allclose((promised + later)[10:], promised[7:-3], rtol=1e-9)
    assert_allclose(later.sum(), -promised[-3:].sum(), rtol=1e-9)


def test_what_comes_earlier_does_not_come_before_its_entry_nor_before_the_lever(ask):
    sooner = ask(Lever("delay", "won", days=-4, first=5))["total"][2]
    assert_array_equal(sooner[:4], 0.0)
    assert sooner[4] > 0
    assert_allclose(sooner.sum(), 0.0, atol=1e-6)  # within the horizon nothing is lost; what is beyond is not known


def test_levers_on_segments_add_up_to_the_total(ask):
    large, small = Lever("inflow", "leads", "large", percent=20.0), Lever("conversion", "won", "small", percent=-10.0)
    both = ask(large, small)
    assert sorted(both) == ["large", "small", "total"]
    assert_allclose(both["total"], ask(large)["large"] + ask(small)["small"], rtol=1e-9, atol=1e-9)


def test_no_further_leads_leave_what_is_in_flight(ask, funnel):
    _, responses = funnel
    change = ask(Lever("inflow", "leads", percent=-100.0))["total"]
    means = funnel[0]["total"]
    promised = responses["total"][0][0] + means[0] @ responses["total"][0][1:]
    assert_allclose(promised + change[1], responses["total"][0][0], rtol=1e-9, atol=1e-9)


def test_responses_are_packed_without_loss_and_to_about_half(funnel):
    response = funnel[1]["total"]
    packed = pack(response)
    assert packed.size == 2 * (HORIZON + HORIZON * (HORIZON + 1) // 2)
    assert_array_equal(unpack(packed, horizon=HORIZON), response)


def test_counts_alone_answer_too():
    generator = np.random.default_rng(5)
    visits = 200 + 80 * np.sin(np.arange(400) / 9) + generator.normal(0, 5, 400)
    leads = 0.5 * np.concatenate([np.full(5, 200.0), visits[:-5]])
    past = History(START, "day", (), ("visits", "leads"), np.stack([visits, leads])[None])
    result = fit(past, calendar=make_calendar(spec().funnel()), horizon=28, scored=False, responses=True)
    means = {"total": np.array([each.mean for each in result.forecasts])}
    responses = {"total": unpack(result.responses["total"], horizon=28)}
    change = changes(means, responses, [Lever("inflow", "visits", add=100.0)], stages=("visits", "leads"))["total"]
    assert_allclose(change[1, -1], 50.0, rtol=0.1)
    assert change[1, 0] < 20


def test_a_transition_without_rates_is_refused_only_when_it_is_passed(funnel):
    means, responses = funnel
    broken = {"total": responses["total"].copy()}
    broken["total"][1] = np.nan
    with pytest.raises(LeverError, match="no rates from 'qualified' to 'won'"):
        changes(means, broken, [Lever("inflow", "leads", add=1.0)], stages=STAGES)
    assert changes(means, broken, [Lever("inflow", "won", add=1.0)], stages=STAGES)["total"][2].sum() == HORIZON


@pytest.mark.parametrize(
    ("lever", "field"),
    [
        (Lever("inflow", "leads"), "inflow"),
        (Lever("inflow", "leads", percent=5.0, add=5.0), "inflow"),
        (Lever("conversion", "won", add=5.0), "conversion"),
        (Lever("delay", "won", percent=5.0), "delay"),
        (Lever("conversion", "leads", percent=5.0), "stage"),
        (Lever("inflow", "lost", percent=5.0), "stage"),
        (Lever("inflow", "leads", percent=-101.0), "percent"),
        (Lever("inflow", "leads", percent=float("nan")), "percent"),
        (Lever("inflow", "leads", add=float("inf")), "add"),
        (Lever("delay", "won", days=28), "days"),
        (Lever("inflow", "leads", add=1.0, first=29), "start"),
        (Lever("inflow", "leads", add=1.0, first=0), "start"),
        (Lever("inflow", "leads", add=1.0, first=5, last=4), "end"),
    ],
)
def test_a_lever_that_cannot_be_is_refused_naming_its_part(lever, field):
    with pytest.raises(LeverError) as refused:
        check_lever(lever, stages=STAGES, horizon=28)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("levers", "reason"),
    [
        ([Lever("inflow", "leads", add=-1000.0)], "cannot take 1000 from the .* expected at step 1"),
        ([Lever("conversion", "qualified", percent=150.0)], "at most .* is possible"),
        ([Lever("inflow", "leads", "large", add=1.0), Lever("inflow", "leads", add=1.0)], "cannot be mixed"),
    ],
)
def test_more_than_there_is_cannot_be_asked_for(ask, levers, reason):
    with pytest.raises(LeverError, match=reason):
        ask(*levers)
