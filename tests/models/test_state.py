"""Payloads: what comes out is what went in, or an error."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_array_equal

from models.forecast import QUANTILES, Coverage, Forecast
from models.state import (
    DamagedPayloadError,
    arrays_from_bytes,
    bytes_from_arrays,
    bytes_from_forecast,
    forecast_from_bytes,
)

numbers = st.one_of(
    arrays(np.float64, array_shapes(min_dims=0, max_dims=3, min_side=0)),
    arrays(np.int64, array_shapes(min_dims=0, max_dims=3, min_side=0)),
)


def make_forecast(**changes: object) -> Forecast:
    mean = np.array([3.0, 4.5])
    fields: dict[str, object] = {
        "segment": "نقد 🦊",
        "stage": "won",
        "cutoff": date(2026, 2, 28),
        "model": "combination",
        "mean": mean,
        "quantiles": np.sort(np.outer(mean, np.linspace(0.2, 2.0, len(QUANTILES))), axis=1),
        "in_flight": mean * 0.25,
        "new": mean * 0.75,
        "reliable_until": 1,
        "ceiling": 100.0,
        "coverage": {80: Coverage(0.81, 120), 95: Coverage(float("nan"), 0)},
        "repairs": ("2 days were silent",),
        "fallback_reason": None,
    }
    return Forecast(**(fields | changes))  # type: ignore[arg-type]


@given(st.dictionaries(st.text(), numbers, max_size=4))
def test_arrays_come_back_to_the_last_bit(given_arrays):
    back = arrays_from_bytes(bytes_from_arrays(given_arrays))
    assert list(back) == list(given_arrays)
    for name, values in given_arrays.items():
        assert (back[name].dtype, back[name].shape) == (values.dtype, values.shape)
        assert back[name].tobytes() == values.tobytes()


def test_smaller_numbers_and_transposed_arrays_are_stored_whole():
    given_arrays = {"flags": np.array([True, False]), "days": np.arange(6, dtype=np.int32).reshape(2, 3).T}
    back = arrays_from_bytes(bytes_from_arrays(given_arrays))
    assert {name: values.dtype.str for name, values in back.items()} == {"flags": "<i8", "days": "<i8"}
    assert_array_equal(back["days"], given_arrays["days"])


def test_what_is_no_number_is_not_stored():
    with pytest.raises(TypeError, match="names"):
        bytes_from_arrays({"names": np.array(["a"], dtype=object)})


def test_the_value_of_a_forecast_comes_back_with_it():
    money = make_forecast(mean=np.array([30.0, 45.0]), in_flight=None, new=None, model="count*price")
    back = forecast_from_bytes(bytes_from_forecast(make_forecast(value=money)))
    assert (back.model, back.value.model) == ("combination", "count*price")
    assert back.mean.tolist() == [3.0, 4.5]
    assert back.value.mean.tolist() == [30.0, 45.0]
    assert back.value.in_flight is None
    assert back.value.value is None


@pytest.mark.parametrize("split", [False, True])
def test_a_forecast_comes_back_whole(split):
    forecast = make_forecast() if split else make_forecast(in_flight=None, new=None, ceiling=np.inf)
    back = forecast_from_bytes(bytes_from_forecast(forecast))
    assert bytes_from_forecast(back) == bytes_from_forecast(forecast)
    assert (back.segment, back.cutoff, back.repairs) == (forecast.segment, forecast.cutoff, forecast.repairs)
    assert back.coverage[80] == Coverage(0.81, 120)
    assert np.isnan(back.coverage[95].measured)
    assert back.ceiling == forecast.ceiling
    assert_array_equal(back.quantiles, forecast.quantiles)
    assert (back.in_flight is None) is not split


@given(st.data())
def test_one_changed_bit_anywhere_is_noticed(data):
    payload = bytearray(bytes_from_forecast(make_forecast()))
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedPayloadError):
        forecast_from_bytes(bytes(payload))


@given(st.integers(0, 400))
def test_a_payload_cut_short_is_noticed(length):
    with pytest.raises(DamagedPayloadError):
        arrays_from_bytes(bytes_from_arrays({"mean": np.arange(100.0)})[:length])
