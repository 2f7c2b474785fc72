"""Lasting changes, told from noise and spikes."""

from __future__ import annotations

import numpy as np
import pytest

from models import level
from models.change import watch

DAYS, HORIZON = 200, 28
TYPES = np.arange(DAYS + 60 + HORIZON) % 7
WEEK = np.array([1.2, 1.2, 1.1, 1.1, 1.0, 0.5, 0.4])


def forecast_after(counts: np.ndarray) -> float:
    """Mean forecast of the level after all counts."""
    state = level.make_state(1, season_length=7)
    _, made = level.advance(state, counts[None], TYPES, origins=np.array([len(counts) - 1]), horizon=HORIZON)
    return float(made[0, 0].mean())


def steady(days: int, *, mean: float = 100.0, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean * WEEK[TYPES[:days]]).astype(float)


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_a_lasting_change_is_taken_up_whole_within_a_week(factor):
    before = forecast_after(steady(DAYS))
    counts = np.concatenate([steady(DAYS), factor * steady(DAYS + 7)[DAYS:]])
    assert forecast_after(counts) == pytest.approx(factor * before, rel=0.15)


def test_a_spike_of_three_days_is_no_change():
    counts = steady(DAYS + 10)
    spiked = counts.copy()
    spiked[DAYS : DAYS + 3] += 300
    assert forecast_after(spiked) == pytest.approx(forecast_after(counts), rel=0.12)


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_change_even_when_it_is_more_than_a_counts(seed):
    generator = np.random.default_rng(seed)
    sums, since = np.zeros(2), np.zeros((2, 2, 8))
    assert not any(watch(sums, since, error, 0, 1.0) >= 0 for error in generator.standard_t(4, size=2000))


def test_what_came_since_the_onset_is_told_by_day_type_and_both_directions_begin_anew():
    sums, since = np.zeros(2), np.zeros((2, 2, 8))
    said = [watch(sums, since, error, kind, 10.0) for kind, error in enumerate([-1.0, 5.0, 6.0, 6.0, 6.0])]
    assert said == [-1, -1, -1, -1, 0]
    assert since[0, 0].tolist() == [0, 10, 10, 10, 10, 0, 0, 0]
    assert since[0, 1].tolist() == [0, 1, 1, 1, 1, 0, 0, 0]
    assert sums.tolist() == [0, 0]
