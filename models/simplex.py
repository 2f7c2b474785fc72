"""Least squares on the simplex: weights >= 0 with sum 1, pulled towards a start."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

Array = npt.NDArray[np.float64]


@kernel
def quadratic(gram: Array, vector: Array) -> float:
    """v'Gv of a symmetric matrix of which the lower triangle is filled."""
    total = 0.0
    for i in range(vector.size):
        total += vector[i] * gram[i, i] * vector[i]
        for j in range(i):
            total += 2 * vector[i] * gram[i, j] * vector[j]
    return total


@kernel
def least_squares(gram: Array, cross: Array, start: Array, ridge: float) -> Array:
    """Minimise w'Gw - 2c'w + ridge |w - start|^2 on the simplex by dropping the most negative weight in turn."""
    experts = start.size
    active = np.ones(experts, dtype=np.bool_)
    weights = np.empty(experts)
    while True:
        _on_the_plane(gram, cross, start, ridge, active, weights)
        worst = np.argmin(weights)
        if weights[worst] >= 0.0:
            return np.asarray(weights / weights.sum())
        active[worst] = False


@kernel
def _on_the_plane(
    gram: Array, cross: Array, start: Array, ridge: float, active: npt.NDArray[np.bool_], weights: Array
) -> None:
    """Solve for the active weights with sum 1, in place; the system is positive definite thanks to the ridge."""
    experts = start.size
    lower = np.zeros((experts, experts))
    free, unit = np.zeros(experts), np.zeros(experts)
    for i in range(experts):
        if not active[i]:
            continue
        for j in range(i + 1):
            if active[j]:
                value = gram[i, j] + (ridge if i == j else 0.0)
                for k in range(j):
                    value -= lower[i, k] * lower[j, k]
                lower[i, j] = np.sqrt(max(value, 1e-300)) if i == j else value / lower[j, j]
        free[i], unit[i] = cross[i] + ridge * start[i], 1.0
        for k in range(i):
            free[i] -= lower[i, k] * free[k]
            unit[i] -= lower[i, k] * unit[k]
        free[i] /= lower[i, i]
        unit[i] /= lower[i, i]
    for i in range(experts - 1, -1, -1):
        if active[i]:
            for k in range(i + 1, experts):
                free[i] -= lower[k, i] * free[k]
                unit[i] -= lower[k, i] * unit[k]
            free[i] /= lower[i, i]
            unit[i] /= lower[i, i]
    multiplier = (1.0 - free.sum()) / unit.sum()
    for i in range(experts):
        weights[i] = free[i] + multiplier * unit[i] if active[i] else 0.0
