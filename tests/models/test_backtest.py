"""The backtest: each cutoff knows only the rows up to it, whatever else the file holds."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from models.backtest import backtest
from models.errors import HistoryError, HorizonError
from models.funnel import Funnel
from models.inference import infer_funnel
from models.records import Events
from models.rows import counts_from_frame, events_from_frame
from models.simulate import demo_spec, simulate


@pytest.fixture(scope="module")
def events() -> Events:
    simulation = simulate(demo_spec(), days=150, seed=np.random.default_rng(3))
    return events_from_frame(simulation.events, timezone="UTC", segment_by="segment")


@pytest.fixture(scope="module")
def funnel(events) -> Funnel:
    return infer_funnel(events, None, timezone="UTC", segment_by="segment").funnel


def day_of(events: Events, share: float) -> date:
    first, last = int(events.ts.min()), int(events.ts.max())
    return date(1970, 1, 1) + timedelta(days=int((first + (last - first) * share) // 86_400_000_000))


def test_a_file_cut_at_the_cutoff_gives_the_same_bytes(events, funnel):
    cutoff = day_of(events, 0.7)
    end = ((cutoff - date(1970, 1, 1)).days + 1) * 86_400_000_000
    cut = events.take(events.ts < end)
    whole = backtest(events, None, funnel, cutoffs=[cutoff, cutoff + timedelta(days=14)], horizon=14)
    alone = backtest(cut, None, funnel, cutoffs=[cutoff], horizon=14)
    known = [forecast for forecast in whole.forecasts if forecast.cutoff == cutoff]
    assert len(known) == len(alone.forecasts) > 0
    for one, other in zip(known, alone.forecasts, strict=True):
        assert (one.segment, one.stage) == (other.segment, other.stage)
        assert one.mean.tobytes() == other.mean.tobytes()
        assert one.quantiles.tobytes() == other.quantiles.tobytes()


def test_forecasts_are_scored_against_what_came(events, funnel):
    cutoffs = [day_of(events, share) for share in (0.5, 0.6, 0.7)]
    result = backtest(events, None, funnel, cutoffs=cutoffs, horizon=14)
    total = [score for score in result.scorecard if score.segment == "total"]
    assert {score.stage for score in total} == set(funnel.stages)
    for score in total:
        assert score.n == 3 * (score.last - score.first + 1)
        assert 0 < score.wql < 1
    assert np.mean([score.coverage80 for score in total]) > 0.5
    assert np.mean([score.skill for score in total]) > 0.1


def test_the_naive_forecast_knows_no_more_than_the_one_that_is_held_against_it():
    start = np.datetime64("2024-01-01")
    y = np.where(np.arange(140) < 100, 10.0, 100.0) + np.arange(140) % 7
    frame = pd.DataFrame({"ds": (start + np.arange(140)).astype(str), "stage": "visit", "y": y})
    counts = counts_from_frame(frame, timezone="UTC", segment_by=None)
    cutoff = date(2024, 1, 1) + timedelta(days=99)
    result = backtest(None, counts, Funnel(stages=("visit",)), cutoffs=[cutoff], horizon=14)
    assert result.scorecard
    assert all(abs(score.skill) < 0.1 for score in result.scorecard)  # neither foresees the jump


def test_a_cutoff_before_the_data_is_refused(events, funnel):
    with pytest.raises(HistoryError):
        backtest(events, None, funnel, cutoffs=[date(1999, 1, 1)], horizon=14)


def test_a_horizon_of_a_year_is_refused(events, funnel):
    with pytest.raises(HorizonError, match="365"):
        backtest(events, None, funnel, cutoffs=[day_of(events, 0.7)], horizon=365)


def test_a_cutoff_past_the_data_is_refused_with_the_last_complete_day(events, funnel):
    last = day_of(events, 1.0) - timedelta(days=1)  # of the newest day only some hours are told
    for days in (2, 20, 400):
        with pytest.raises(HistoryError, match=f"later than {last}, the last complete day"):
            backtest(events, None, funnel, cutoffs=[day_of(events, 0.7), last + timedelta(days=days)], horizon=7)
    with pytest.raises(HistoryError, match="last complete day"):
        backtest(events, None, funnel, cutoffs=[date.max], horizon=7)


def test_data_cut_at_a_quiet_day_reaches_up_to_it(events, funnel):
    day = events.ts // 86_400_000_000
    working = events.take((day + 3) % 7 < 5)  # 1970-01-01 was a Thursday
    sunday = day_of(events, 0.7)
    sunday += timedelta(days=6 - sunday.weekday())
    cut = working.take(working.ts < ((sunday - date(1970, 1, 1)).days + 1) * 86_400_000_000)
    result = backtest(cut, None, funnel, cutoffs=[sunday], horizon=7)
    assert {forecast.cutoff for forecast in result.forecasts} == {sunday}
    with pytest.raises(HistoryError, match="last complete day"):
        backtest(cut, None, funnel, cutoffs=[sunday + timedelta(days=7)], horizon=7)
