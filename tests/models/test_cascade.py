"""The cascade as a whole, on simulated funnels whose truth is known."""

from datetime import date, timedelta

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.calendar import make_calendar
from models.cleaning import clean
from models.engine import Fitted, fit
from models.forecast import Forecast
from models.history import History, make_history
from models.records import Counts
from models.rows import events_from_frame
from models.simulate import (
    Arrivals,
    Delay,
    Due,
    Exit,
    FunnelSpec,
    LevelShift,
    Segment,
    Simulation,
    Transition,
    outlook,
    simulate,
)

START = date(2024, 1, 1)
WEEK = (1.1, 1.1, 1.0, 1.0, 0.9, 0.4, 0.3, 0.3)


def spec(*, level=60.0, shifts=(), due=None, delay=12.0) -> FunnelSpec:
    return FunnelSpec(
        stages=("leads", "qualified", "won"),
        transitions=(
            Transition(0.6, Delay(delay, 0.35), exits=(Exit("lost", 0.3, Delay(8, 0.5)),), day_effect=WEEK),
            Transition(0.5, Delay(delay, 0.35), exits=(Exit("lost", 0.3, Delay(8, 0.5)),), day_effect=WEEK, due=due),
        ),
        segments=(Segment("large", 0.3, 1.3), Segment("small", 0.7)),
        arrivals=Arrivals(level, day_effect=WEEK, shifts=shifts),
        start=START,
    )


def history_of(simulation: Simulation, *, days: int) -> History:
    funnel = simulation.spec.funnel()
    events = events_from_frame(simulation.events, timezone="UTC", segment_by="segment")
    cutoff = START + timedelta(days=days - 1)
    history = make_history(funnel, events=events, cutoff=cutoff, start=START)
    return clean(history, calendar=make_calendar(funnel))[0]


def fitted(simulation: Simulation, *, days: int, horizon: int = 28) -> Fitted:
    calendar = make_calendar(simulation.spec.funnel())
    return fit(history_of(simulation, days=days), calendar=calendar, horizon=horizon, scored=False)


def by_series(result: Fitted) -> dict[tuple[str, str], Forecast]:
    return {(forecast.segment, forecast.stage): forecast for forecast in result.forecasts}


@pytest.fixture(scope="module")
def steady() -> Simulation:
    return simulate(spec(due=Due(0.6, Delay(20, 0.4))), days=400, seed=np.random.default_rng(0))


def test_in_flight_and_new_make_up_the_mean_of_every_series(steady):
    forecasts = by_series(fitted(steady, days=300))
    assert len(forecasts) == 9
    for (_, stage), forecast in forecasts.items():
        assert forecast.in_flight is not None
        assert_allclose(forecast.in_flight + forecast.new, forecast.mean, rtol=1e-9)
        assert forecast.model == ("univariate" if stage == "leads" else "cascade+univariate")
        if stage == "leads":
            assert_array_equal(forecast.in_flight, np.zeros(28))


def test_what_is_in_flight_dwindles_with_the_steps_as_the_truth_says(steady):
    cutoff = START + timedelta(days=299)
    truth = outlook(steady, cutoff=cutoff, horizon=28)
    forecasts = by_series(fitted(steady, days=300))
    for row, stage in enumerate(("qualified", "won"), start=1):
        forecast = forecasts["total", stage]
        for part, expected in ((forecast.in_flight, truth.in_flight), (forecast.new, truth.new)):
            of_stage = expected.sum(axis=0)[row]
            assert np.abs(part - of_stage).sum() < 0.15 * truth.mean.sum(axis=0)[row].sum()
    assert_allclose(forecasts["total", "won"].new[:2], 0.0, atol=0.5)


def test_rows_after_the_cutoff_change_not_one_byte(steady):
    events = events_from_frame(steady.events, timezone="UTC", segment_by="segment")
    funnel, cutoff = steady.spec.funnel(), START + timedelta(days=249)
    calendar = make_calendar(funnel)
    end = np.datetime64(cutoff + timedelta(days=1), "us").astype(np.int64)
    versions = []
    for rows in (events, events.take(events.ts < end)):
        history = clean(make_history(funnel, events=rows, cutoff=cutoff, start=START), calendar=calendar)[0]
        versions.append(fit(history, calendar=calendar, horizon=28, scored=False))
    for one, other in zip(versions[0].forecasts, versions[1].forecasts, strict=True):
        for field in ("mean", "quantiles", "in_flight", "new"):
            assert getattr(one, field).tobytes() == getattr(other, field).tobytes()


@pytest.fixture(scope="module")
def shocked() -> Simulation:
    shift = LevelShift(START + timedelta(days=300), 1.5)
    return simulate(spec(level=400.0, shifts=(shift,)), days=360, seed=np.random.default_rng(1))


def test_a_rise_at_the_top_is_seen_before_it_reaches_the_bottom(shocked):
    """Thirteen days after leads rose by half, half of the rise has not yet reached `qualified`, and none `won`."""
    days = 313
    cutoff = START + timedelta(days=days - 1)
    forecasts = by_series(fitted(shocked, days=days))
    truth = outlook(shocked, cutoff=cutoff, horizon=28).mean.sum(axis=0)
    alone = by_series(fitted_alone(shocked, days=days))
    error = np.abs(forecasts["total", "won"].mean - truth[2]).mean()
    univariate_error = np.abs(alone["total", "won"].mean - truth[2]).mean()
    assert error <= univariate_error / 3


def fitted_alone(simulation: Simulation, *, days: int) -> Fitted:
    """The last stage as a funnel of its own, known by its counts only."""
    history = history_of(simulation, days=days)
    won = History(START, "day", (), ("won",), history.counts[:, 2:].sum(axis=0, keepdims=True))
    return fit(won, calendar=make_calendar(simulation.spec.funnel()), horizon=28, scored=False)


def test_a_rise_at_the_top_does_not_show_below_before_the_delay_allows(shocked):
    """Two days into the rise the next four days of the stages below, a delay or two away, are still the usual ones."""
    cutoff = START + timedelta(days=301)
    truth = outlook(shocked, cutoff=cutoff, horizon=28).mean.sum(axis=0)
    forecasts = by_series(fitted(shocked, days=302))
    for row, stage in ((1, "qualified"), (2, "won")):
        assert_allclose(forecasts["total", stage].mean[:4], truth[row, :4], rtol=0.06)


def test_counted_stages_cascade_into_stages_known_by_events(steady):
    funnel = steady.spec.funnel()
    events = events_from_frame(steady.events, timezone="UTC", segment_by="segment")
    days = np.arange(300)
    counts = Counts(
        ds=(np.datetime64(START, "us") + days.astype("timedelta64[D]")).astype(np.int64),
        stage=np.full(300, "leads", dtype=object),
        y=steady.counts[:, 0, :300].sum(axis=0),
        value=np.full(300, np.nan),
        segment=np.full(300, "large", dtype=object),
    )
    rest = events.take(events.stage != "leads")
    history = make_history(funnel, events=rest, counts=counts, cutoff=START + timedelta(days=299), start=START)
    result = fit(history, calendar=make_calendar(funnel), horizon=28, scored=False)
    forecasts = by_series(result)
    truth = outlook(steady, cutoff=START + timedelta(days=299), horizon=28).mean.sum(axis=0)
    assert history.counted == ("leads",)
    for row, stage in ((1, "qualified"), (2, "won")):
        assert forecasts["total", stage].model == "cascade+univariate"
        assert np.abs(forecasts["total", stage].mean - truth[row]).sum() < 0.2 * truth[row].sum()


def test_a_stage_that_nobody_ever_reaches_is_forecast_as_empty():
    never = spec()
    blocked = (never.transitions[0], Transition(0.0, Delay(5)))
    barren = FunnelSpec(never.stages, blocked, never.segments, never.arrivals, START)
    simulation = simulate(barren, days=120, seed=np.random.default_rng(2))
    result = by_series(fitted(simulation, days=120))
    assert_allclose(result["total", "won"].mean, 0.0, atol=1e-6)
    assert (result["total", "qualified"].mean > 1).any()
