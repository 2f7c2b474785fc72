"""Factors of declared days: learnt from earlier days of the name, held near 1 while little is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models import effects
from models.declared import Declared
from models.origins import make_origins

HORIZON = 14


def made_of(kinds: np.ndarray, names: tuple[str, ...]) -> Declared:
    """One series; `kinds` (periods + HORIZON,), bit k for name k."""
    holds = np.array([[bool(kind >> name & 1) for name in range(len(names))] for kind in range(2 ** len(names))])
    return Declared(names, holds, kinds.astype(np.int32)[None, None], HORIZON)


def learnt(counts: np.ndarray, kinds: np.ndarray, *, usual: float, names: tuple[str, ...] = ("sale",)):
    """What is learnt of a series whose forecasts without effects are always `usual`."""
    declared, periods = made_of(kinds, names), len(counts)
    origins = make_origins(0, periods=periods, horizon=HORIZON)
    state = effects.make_state(1, stages=1, names=len(names), horizon=HORIZON)
    learning = effects.Learning(state, declared, counts[None, None], origins=origins)
    learning(0, np.full((1, len(origins.asked), HORIZON), usual))
    return learning


def recurring(usual: float, factor: float, *, days: int, periods: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Counts and kinds with so many declared days, evenly spread, and one on the last day of the horizon."""
    kinds, counts = np.zeros(periods + HORIZON, dtype=int), np.full(periods, usual)
    chosen = np.linspace(20, periods - 1, days).astype(int)
    kinds[chosen], kinds[-1] = 1, 1
    counts[chosen] *= factor
    return counts, kinds


def factor_of(usual: float, factor: float, *, days: int) -> float:
    counts, kinds = recurring(usual, factor, days=days)
    return float(learnt(counts, kinds, usual=usual).factors[0, 0, -1, -1])


def test_what_was_never_seen_changes_nothing():
    learning = learnt(np.full(60, 9.0), np.r_[np.zeros(60, dtype=int), np.ones(HORIZON, dtype=int)], usual=9.0)
    assert_array_equal(learning.factors, 1.0)
    assert_array_equal(learning.doubts, 0.0)


def test_one_day_moves_a_large_series_about_half_way_and_a_thin_one_little():
    assert_allclose(np.log(factor_of(1000.0, 2.0, days=1)), 0.5 * np.log(2.0), rtol=0.02)
    assert 1.0 < factor_of(1.0, 3.0, days=1) < 1.2


@pytest.mark.parametrize("factor", [0.4, 1.0, 1.8])
def test_many_days_tell_the_factor(factor):
    assert_allclose(np.log(factor_of(500.0, factor, days=15)), np.log(factor), rtol=0.1, atol=1e-9)


def test_of_a_name_whose_effect_has_changed_the_latest_days_tell_the_most():
    counts, kinds = recurring(500.0, 3.0, days=60)
    late = np.flatnonzero(kinds)[30:-1]
    counts[late] = 500.0
    factor = learnt(counts, kinds, usual=500.0).factors[0, 0, -1, -1]
    assert 1.2 < factor < 1.6  # of all days alike it would be 2


def test_closures_go_towards_zero():
    closed = [factor_of(100.0, 0.0, days=days) for days in (1, 2, 4, 12)]
    assert closed == sorted(closed, reverse=True)
    assert closed[0] < 0.1
    assert closed[-1] < 0.01


def test_one_wild_day_counts_within_bounds():
    assert factor_of(100.0, 1e6, days=1) < 4.0


def test_days_of_two_names_are_shared_between_them():
    counts, kinds = np.full(300, 100.0), np.zeros(300 + HORIZON, dtype=int)
    kinds[20:300:10], kinds[25:300:20], kinds[30:300:20] = 1, 2, 3
    counts[20:300:10], counts[25:300:20] = 200.0, 50.0
    counts[30:300:20] = 100.0
    kinds[-3:] = 1, 2, 3
    factors = learnt(counts, kinds, usual=100.0, names=("sale", "rain")).factors[0, 0, -1, -3:]
    assert_allclose(factors, [2.0, 0.5, 1.0], rtol=0.15)


def test_what_comes_later_is_not_known_at_an_origin():
    counts, kinds = recurring(100.0, 2.0, days=12)
    whole = learnt(counts, kinds, usual=100.0)
    counts[150:] = 0.0
    other = learnt(counts, kinds, usual=100.0)
    early = make_origins(0, periods=200, horizon=HORIZON).asked < 150
    assert_array_equal(whole.factors[:, :, early], other.factors[:, :, early])
    assert not np.array_equal(whole.factors, other.factors)


def test_days_that_differ_are_in_more_doubt():
    even = recurring(200.0, 1.5, days=14)
    uneven = (even[0].copy(), even[1])
    chosen = np.flatnonzero(even[1][:200])
    uneven[0][chosen] *= np.tile([0.6, 1.4], 7)
    one, other = (learnt(*each, usual=200.0).doubts[0, 0, -1, -1] for each in (even, uneven))
    assert 0.0 < 3 * one < other < 1.0


def test_days_without_a_count_or_a_forecast_tell_nothing():
    counts, kinds = recurring(100.0, 2.0, days=10)
    counts[kinds[:200] > 0] = np.nan
    assert learnt(counts, kinds, usual=100.0).factors[0, 0, -1, -1] == 1.0
    counts, kinds = recurring(100.0, 2.0, days=10)
    assert learnt(counts, kinds, usual=np.nan).factors[0, 0, -1, -1] == 1.0


def test_names_come_and_go():
    state = effects.EffectState(
        np.arange(12.0).reshape(1, 1, 2, 6), np.full((1, 1, 5), np.nan), np.zeros((1, 1, 0, HORIZON))
    )
    renamed = effects.renamed(state, ("a", "c"), ("b", "c"))
    assert_array_equal(renamed.sums[0, 0], [np.zeros(6), state.sums[0, 0, 1]])
