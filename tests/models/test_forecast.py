"""The forecast checks itself when it is made."""

from datetime import date

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from models.errors import ForecastError, HorizonError
from models.forecast import QUANTILES, Forecast, quantiles_of_level


def forecast(**changes) -> Forecast:
    mean = np.array([4.0, 5.0, 6.0])
    values = {
        "segment": "total",
        "stage": "won",
        "cutoff": date(2024, 2, 28),
        "model": "combination",
        "mean": mean,
        "quantiles": mean[:, None] * np.linspace(0.5, 1.5, len(QUANTILES)),
    }
    return Forecast(**(values | changes))


def test_step_one_is_the_day_after_the_cutoff():
    assert forecast().dates == (date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 2))


def test_a_week_is_dated_by_its_last_day():
    assert forecast(frequency="week", cutoff=date(2024, 3, 3)).dates[0] == date(2024, 3, 10)


def test_an_interval_is_bounded_by_its_quantiles():
    low, high = forecast().interval(80)
    assert_array_equal(low, forecast().quantiles[:, 1])
    assert_array_equal(high, forecast().quantiles[:, 9])
    assert quantiles_of_level(95) == (0.025, 0.975)


def test_a_level_that_is_not_served_is_refused_with_those_that_are():
    with pytest.raises(HorizonError, match=r"\[20, 40, 60, 80, 95\]"):
        forecast().interval(90)


def test_a_forecast_cannot_be_changed():
    made = forecast()
    with pytest.raises(ValueError, match="read-only"):
        made.mean[0] = 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": np.array([np.nan, 1.0, 1.0])}, "not finite"),
        ({"mean": np.array([-1.0, 1.0, 1.0])}, "negative"),
        ({"quantiles": np.ones((2, len(QUANTILES)))}, "do not fit"),
        ({"quantiles": np.ones((3, len(QUANTILES)))[:, ::-1] * np.arange(11)[::-1]}, "cross"),
        ({"ceiling": 3.0}, "ceiling"),
        ({"reliable_until": 4}, "reliable_until"),
        ({"in_flight": np.zeros(3)}, "come together"),
        ({"in_flight": np.ones(3), "new": np.ones(3)}, "is not the mean"),
    ],
)
def test_a_broken_invariant_is_named_with_the_series(changes, message):
    with pytest.raises(ForecastError, match=message) as caught:
        forecast(**changes)
    assert "total/won" in str(caught.value)


def test_in_flight_and_new_add_up_to_the_mean():
    made = forecast(in_flight=np.array([4.0, 2.0, 0.0]), new=np.array([0.0, 3.0, 6.0]))
    assert made.in_flight is not None
    assert made.new is not None
    assert_array_equal(made.in_flight + made.new, made.mean)
