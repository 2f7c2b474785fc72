"""Simulated funnels: what is drawn agrees with the truth that is stated."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from models.errors import FunnelError, HistoryError
from models.simulate import (
    Arrivals,
    Campaign,
    Delay,
    Due,
    Exit,
    FunnelSpec,
    Late,
    LevelShift,
    Segment,
    Transition,
    Value,
    demo_spec,
    outlook,
    simulate,
)

START = date(2025, 1, 6)
BATCH_DAYS = (2.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0)


def plain_spec(**changes) -> FunnelSpec:
    spec = FunnelSpec(
        stages=("lead", "offer", "won"),
        transitions=(
            Transition(0.6, Delay(3), exits=(Exit("lost", 0.25, Delay(8)), Exit("spam", 0.1, Delay(0)))),
            Transition(0.5, Delay(12), exits=(Exit("lost", 0.3, Delay(20)),)),
        ),
        segments=(Segment("small", 0.75), Segment("large", 0.25, conversion=0.8, delay=2.0)),
        arrivals=Arrivals(200.0),
        start=START,
    )
    return replace(spec, **changes)


def draw(spec: FunnelSpec, *, days: int = 120, seed: int = 1):
    return simulate(spec, days=days, seed=np.random.default_rng(seed))


def rich_spec() -> FunnelSpec:
    """Everything at once: weekdays, holidays, campaigns, shifts, waves, due dates."""
    first, second = plain_spec().transitions
    due = Due(share=0.7, lead=Delay(15, longest=60), on_time=0.5, early=4, late=6)
    return plain_spec(
        transitions=(replace(first, day_effect=BATCH_DAYS), replace(second, due=due)),
        arrivals=Arrivals(
            150.0,
            day_effect=(1.2, 1.2, 1.2, 1.2, 1.2, 0.5, 0.5, 0.1),
            campaigns=(Campaign("spring", START + timedelta(30), START + timedelta(40), 1.7),),
            shifts=(LevelShift(START + timedelta(70), 1.5),),
            wave=0.2,
            wave_days=50,
            dispersion=0.05,
        ),
        timezone="Europe/Amsterdam",
        holidays=(START + timedelta(14), START + timedelta(59)),
        value=Value("offer", 1000.0),
        late=Late(0.3, Delay(2)),
    )


def cohort(simulation, *, first_days: int):
    """Passage of the first transition, entities of the first days and the first segment only."""
    keep = (simulation.cohorts.day < first_days) & (simulation.cohorts.segment == 0)
    passage = simulation.passages[0]
    return passage.outcome[keep], (passage.left - passage.entered)[keep]


def test_shares_of_conversion_and_exits_equal_the_specified_rates():
    outcome, _ = cohort(draw(plain_spec(), days=300), first_days=170)
    shares = [(outcome == way).mean() for way in (0, 1, 2)]
    assert len(outcome) > 20_000
    assert_allclose(shares, [0.6, 0.25, 0.1], atol=4 * np.sqrt(0.25 / len(outcome)))


def test_delays_of_those_who_convert_equal_the_specified_distribution():
    outcome, delay = cohort(draw(plain_spec(), days=300), first_days=170)
    observed = np.bincount(delay[outcome == 0], minlength=121)
    share = observed / observed.sum()
    assert_allclose(share, Delay(3).pmf, atol=4 * np.sqrt(0.25 / observed.sum()))


@pytest.mark.parametrize("median", [0, 2, 12, 30])
def test_a_delay_has_the_median_asked_for(median):
    below = np.cumsum(Delay(median).pmf)
    assert np.searchsorted(below, 0.5) == median


@pytest.mark.slow
def test_counts_of_many_draws_average_to_the_stated_intensities():
    spec, draws, days = rich_spec(), 40, 90
    counts = [draw(spec, days=days, seed=seed) for seed in range(draws)]
    mean = np.mean([simulation.counts for simulation in counts], axis=0)
    truth = counts[0].intensities
    # weeks, so that the normal approximation of the mean of the draws holds
    weekly, expected = (grid[:, :, :84].reshape(2, 3, 12, 7).sum(axis=3) for grid in (mean, truth))
    tolerance = 4.5 * np.sqrt((expected + 0.05 * expected**2) / draws) + 1e-9
    assert (np.abs(weekly - expected) <= tolerance).all()


@pytest.mark.slow
def test_the_outlook_is_unbiased_and_sharper_than_not_knowing_the_past():
    spec, past, horizon, draws = rich_spec(), 60, 14, 40
    cutoff = START + timedelta(days=past - 1)
    blind, informed = [], []
    for seed in range(draws):
        simulation = draw(spec, days=past + horizon, seed=seed)
        actual = simulation.counts[:, :, past:].sum(axis=(0, 2))
        informed.append(outlook(simulation, cutoff=cutoff, horizon=horizon).mean.sum(axis=(0, 2)) - actual)
        blind.append(simulation.intensities[:, :, past:].sum(axis=(0, 2)) - actual)
    spread = np.std(informed, axis=0)
    assert (np.abs(np.mean(informed, axis=0)) <= 4 * spread / np.sqrt(draws)).all()
    assert spread[2] < 0.8 * np.std(blind, axis=0)[2]


def test_the_outlook_from_the_start_is_the_intensities_of_the_new_and_of_what_waits():
    simulation = draw(plain_spec(), days=60)
    ahead = outlook(simulation, cutoff=START, horizon=20)
    assert_allclose(ahead.new[:, 0], simulation.intensities[:, 0, 1:21])
    assert (ahead.in_flight[:, 0] == 0).all()
    first_day = simulation.counts[0, 0, 0] - simulation.counts[0, 1, 0]
    assert 0 < ahead.in_flight[0, 1].sum() < 0.6 * first_day


def test_the_outlook_ignores_what_happens_after_the_cutoff():
    long = draw(rich_spec(), days=120)
    cutoff = START + timedelta(days=60)
    changed = replace(
        long,
        passages=tuple(
            replace(part, left=np.where(part.left > 60, part.left + 7, part.left)) for part in long.passages
        ),
    )
    before, after = (outlook(simulation, cutoff=cutoff, horizon=28) for simulation in (long, changed))
    assert before.mean.tobytes() == after.mean.tobytes()


def test_an_outlook_outside_of_the_simulated_days_is_refused():
    simulation = draw(plain_spec(), days=30)
    with pytest.raises(HistoryError, match="2025-02-05 is not one of the 30 days"):
        outlook(simulation, cutoff=START + timedelta(days=30), horizon=7)


def test_a_jump_at_the_top_reaches_the_bottom_only_after_the_delays():
    first, second = plain_spec().transitions
    slow = replace(second, delay=Delay(12, spread=0.3))
    calm = plain_spec(transitions=(first, slow))
    jump = replace(calm, arrivals=replace(calm.arrivals, shifts=(LevelShift(START + timedelta(100), 1.5),)))
    before, after = (draw(spec, days=180).intensities.sum(axis=0) for spec in (calm, jump))
    ratio = after[:, 5:] / before[:, 5:]
    assert_allclose(ratio[0, 95:], 1.5)
    assert_allclose(ratio[:, :95], 1.0)
    assert ratio[2, 99] < 1.01
    assert 1.05 < ratio[2, 110] < 1.4
    assert ratio[2, 170] > 1.49


def test_every_later_stage_and_exit_has_its_earlier_one_before_it():
    events = draw(rich_spec()).events
    stages = ["lead", "offer", "won"]
    first = events[events["stage"].isin(stages)].pivot_table(index="entity_id", columns="stage", values="ts")[stages]
    assert first["lead"].notna().all()
    assert first.loc[first["won"].notna(), "offer"].notna().all()
    reached = first.dropna()
    assert len(reached) > 1000
    assert ((reached["lead"] <= reached["offer"]) & (reached["offer"] <= reached["won"])).all()
    lost = events[events["stage"].isin(["lost", "spam"])].set_index("entity_id")["ts"]
    assert lost.index.is_unique
    assert (lost >= first.loc[lost.index, "lead"]).all()
    assert first.loc[lost.index, "won"].isna().all()
    assert not events.duplicated(["entity_id", "stage"]).any()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    one, same, other = (draw(rich_spec(), seed=seed) for seed in (5, 5, 6))
    pd.testing.assert_frame_equal(one.events, same.events)
    assert one.recorded.tobytes() == same.recorded.tobytes()
    assert not one.events.equals(other.events)


def test_events_fall_on_the_local_day_that_the_counts_say_also_when_clocks_change():
    spec = plain_spec(start=date(2025, 3, 24), timezone="Europe/Amsterdam", arrivals=Arrivals(300.0))
    simulation = draw(spec, days=14)
    events = simulation.events
    local = events["ts"].dt.tz_convert("Europe/Amsterdam").dt.date
    for index, stage in enumerate(spec.stages):
        daily = (
            local[events["stage"] == stage]
            .value_counts()
            .reindex([spec.start + timedelta(days=day) for day in range(14)], fill_value=0)
        )
        assert daily.tolist() == simulation.counts[:, index].sum(axis=0).tolist()


def test_conversions_happen_only_on_days_that_have_an_effect():
    simulation = draw(rich_spec())
    offers = simulation.counts[:, 1].sum(axis=0)
    weekday = np.arange(simulation.days) % 7
    batch = (weekday == 0) | (weekday == 3)
    batch[[14, 59]] = False
    assert offers[~batch].sum() == 0
    assert offers[batch].min() > 0


@pytest.mark.parametrize("dispersion", [0.0, 0.1])
def test_arrivals_vary_as_much_as_the_dispersion_says(dispersion):
    level, days = 40.0, 3000
    spec = plain_spec(
        stages=("lead",),
        transitions=(),
        segments=(Segment("all", 1.0),),
        arrivals=Arrivals(level, dispersion=dispersion),
    )
    arrivals = draw(spec, days=days).counts[0, 0]
    assert_allclose(arrivals.mean(), level, rtol=0.03)
    assert_allclose(arrivals.var(), level + dispersion * level**2, rtol=0.12)


def test_due_dates_are_known_from_their_stage_on_and_met_as_often_as_specified():
    spec = rich_spec()
    events = draw(spec, days=200).events
    assert events.loc[events["stage"] == "lead", "due_on"].isna().all()
    offers = events[events["stage"] == "offer"]
    assert_allclose(offers["due_on"].notna().mean(), 0.7, atol=0.02)
    won = events[(events["stage"] == "won") & events["due_on"].notna()]
    day = won["ts"].dt.tz_convert(spec.timezone).dt.tz_localize(None).dt.normalize()
    offset = (day - won["due_on"]).dt.days
    assert offset.between(-4, 6).all()
    assert_allclose((offset == 0).mean(), 0.5, atol=0.05)
    assert spec.funnel().due_stage == "won"


def test_value_is_carried_from_its_stage_on_and_is_one_per_entity():
    events = draw(rich_spec()).events
    assert events.loc[events["stage"].isin(["lead", "spam"]), "value"].isna().all()
    valued = events[events["stage"].isin(["offer", "won"])]
    assert (valued["value"] > 0).all()
    assert (valued.groupby("entity_id")["value"].nunique() == 1).all()


def test_late_rows_are_missing_until_they_are_reported():
    simulation = draw(rich_spec(), days=60)
    cutoff = START + timedelta(days=49)
    known = simulation.reported(until=cutoff)
    end = pd.Timestamp(START + timedelta(days=50), tz="Europe/Amsterdam")
    happened = simulation.events[simulation.events["ts"] < end]
    assert (known["ts"] < end).all()
    last_day = happened["ts"] >= end - pd.Timedelta(days=1)
    missing = ~happened["entity_id"].add(happened["stage"]).isin(known["entity_id"].add(known["stage"]))
    assert 0.2 < missing[last_day].mean() < 0.35
    assert missing[happened["ts"] < end - pd.Timedelta(days=40)].sum() == 0


def test_the_demo_is_a_five_stage_funnel_of_about_200_000_rows():
    spec = demo_spec()
    simulation = draw(spec, days=400)
    assert len(spec.stages) == 5
    assert len(spec.segments) == 3
    assert 180_000 < len(simulation.events) < 220_000
    assert (simulation.counts.sum(axis=(0, 2)) > 4000).all()
    assert date(2025, 4, 21) in spec.holidays


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"stages": ("lead", "won")}, "transitions"),
        ({"segments": (Segment("a", 0.5), Segment("b", 0.4))}, "segments"),
        ({"transitions": (Transition(0.9, Delay(1), (Exit("lost", 0.2, Delay(1)),)),) * 2}, "transitions"),
        ({"value": Value("paid", 10.0)}, "value"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
    ],
)
def test_a_specification_that_cannot_be_is_refused_naming_the_field(changes, field):
    with pytest.raises(FunnelError) as caught:
        plain_spec(**changes)
    assert caught.value.field == field
