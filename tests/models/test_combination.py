"""Weights of the experts: what they are learnt from."""

import numpy as np
import pytest

from models.combination import advance, make_state
from models.origins import make_origins

PERIODS, HORIZON = 120, 7


def weights(*experts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """At the cutoff, of the middle bucket; each expert says the same at every origin: (periods + horizon,) each."""
    origins = make_origins(0, periods=PERIODS, horizon=HORIZON)
    steps = origins.every[:, None] + 1 + np.arange(HORIZON)
    forecasts = np.array([expert[steps] for expert in experts])[:, None]
    state = make_state(1, experts=len(experts), horizon=HORIZON)
    combined = np.zeros((1, 0, HORIZON))
    return advance(state, forecasts, counts[None, :PERIODS], origins=origins, combined=combined)[2][0, -1, 1]


def test_an_expert_that_was_far_off_does_not_set_the_scale_of_its_own_error():
    level = np.full(PERIODS + HORIZON, 50.0)
    counts = np.random.default_rng(2).poisson(level).astype(float)
    wild = level.copy()
    wild[60:70] *= 8.0
    high, higher, found = weights(1.1 * level, 1.2 * level, wild, counts=counts)
    assert found < 0.01  # 0.022 relative to the mean of all three
    assert high > higher


@pytest.mark.parametrize("number", [2, 3, 4])
def test_experts_that_say_the_same_share_equally(number):
    counts = np.random.default_rng(2).poisson(20.0, PERIODS).astype(float)
    same = np.full(PERIODS + HORIZON, 20.0)
    assert weights(*[same] * number, counts=counts) == pytest.approx(1 / number)
