"""From history to forecasts: every series answered, fallbacks named, nothing depends on where it ran."""

from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from multiprocessing import get_context

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from models.calendar import Calendar
from models.engine import fit
from models.history import History

CALENDAR = Calendar(country="NL")


def history(counts: np.ndarray, *, segments: tuple[str, ...] = (), frequency="day") -> History:
    stages = tuple(f"stage_{k}" for k in range(counts.shape[1]))
    return History(date(2024, 1, 1), frequency, segments, stages, counts.astype(float))


def noise(shape: tuple[int, ...], mean: float = 12.0) -> np.ndarray:
    return np.random.default_rng(0).poisson(mean, shape).astype(float)


def test_every_stage_and_segment_is_forecast_from_the_day_after_the_cutoff():
    past = history(noise((2, 3, 120)), segments=("north", "south"))
    fitted = fit(past, calendar=CALENDAR, horizon=28)
    assert [(f.segment, f.stage) for f in fitted.forecasts] == list(past.series)
    for forecast in fitted.forecasts:
        assert forecast.dates[0] == past.cutoff + timedelta(days=1)
        assert forecast.horizon == 28
        assert forecast.model == ("univariate" if forecast.stage == "stage_0" else "cascade+univariate")
        assert forecast.coverage[80].samples > 60


def test_forecasts_are_the_same_bytes_wherever_blocks_are_computed():
    past = history(noise((3, 100, 60)), segments=("a", "b", "c"))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        elsewhere = fit(past, calendar=CALENDAR, horizon=7, mapper=lambda f, blocks: list(pool.map(f, blocks)))
    here = fit(past, calendar=CALENDAR, horizon=7)
    for one, other in zip(here.forecasts, elsewhere.forecasts, strict=True):
        assert one.quantiles.tobytes() == other.quantiles.tobytes()
    assert here.scorecard == elsewhere.scorecard


@pytest.mark.parametrize("periods", [1, 5, 13])
def test_a_short_history_is_answered_by_the_weekday_mean_and_says_so(periods):
    fitted = fit(history(noise((1, 2, periods))), calendar=CALENDAR, horizon=14)
    for forecast in fitted.forecasts:
        assert forecast.model == "weekday_mean"
        assert f"only {periods} period" in (forecast.fallback_reason or "")
        assert forecast.reliable_until == 0


def test_a_stage_without_any_observation_does_not_fail_the_others():
    counts = noise((1, 2, 90))
    counts[:, 1] = np.nan
    fitted = fit(history(counts), calendar=CALENDAR, horizon=14)
    assert fitted.forecasts[0].model == "univariate"
    assert fitted.forecasts[1].fallback_reason == "nothing was observed for this series"
    assert_array_equal(fitted.forecasts[1].mean, 0.0)


def test_a_predictable_series_is_reliable_and_pure_chance_is_not_claimed_to_be_exact():
    rate = np.tile([40.0, 38, 37, 36, 30, 8, 5], 40)
    counts = np.random.default_rng(1).poisson(rate)[None, None, :]
    forecast = fit(history(counts), calendar=CALENDAR, horizon=28).forecasts[0]
    assert forecast.reliable_until == 28
    assert 0.65 < forecast.coverage[80].measured < 0.95


def test_weeks_are_forecast_week_by_week():
    fitted = fit(history(noise((1, 1, 70)), frequency="week"), calendar=Calendar("week"), horizon=13)
    forecast = fitted.forecasts[0]
    assert forecast.dates[0] == forecast.cutoff + timedelta(days=7)
    assert abs(forecast.mean.mean() - 12) < 3


def test_holidays_are_looked_for_when_no_country_is_known():
    fitted = fit(history(noise((1, 1, 90))), calendar=Calendar(), horizon=7)
    assert "no country is declared" in (fitted.calendar_note or "")


def test_a_shop_that_is_open_on_the_declared_holidays_is_forecast_open():
    past = history(noise((1, 1, 480), mean=50))
    declared, bare = (fit(past, calendar=Calendar(country=given), horizon=28) for given in ("NL", None))
    np.testing.assert_allclose(declared.forecasts[0].mean, bare.forecasts[0].mean, rtol=0.02)
    assert "the holidays of NL are declared, but" in (declared.calendar_note or "")
