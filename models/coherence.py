"""Coherence: the forecasts of the segments add up to that of the total, step by step.

The total is forecast by itself, since it is what is known best, and is left as it is. The segments share it in
proportion to their own forecasts (top-down by forecast proportions: Athanasopoulos, Ahmed and Hyndman, Hierarchical
forecasts for Australian domestic tourism, 2009, section 3.3), in flight and new apart, so that those add up too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LEAST = 1e-9
"""A segment that expects less says nothing of its spread, and takes the total's."""


def coherent(mean: Array, quantiles: Array, in_flight: Array) -> tuple[Array, Array, Array]:
    """The same forecasts, those of segments scaled to add up to the total of their stage.

    Quantiles move with their mean, so the spread relative to it stays. Where no segment expects anything and the
    total does, they share it equally. What is in flight and what is new are scaled apart where all forecasts of the
    stage have them; else those of the segments move with their mean.

    Parameters
    ----------
    mean
        (1 + segments, stages, horizon), the total first.
    quantiles
        (1 + segments, stages, horizon, quantiles).
    in_flight
        Shape of `mean`, the part of it from entities in the funnel; NaN where the parts are not told apart.
    """
    mean, quantiles, in_flight = mean.copy(), quantiles.copy(), in_flight.copy()
    if len(mean) > 1:
        for stage in range(mean.shape[1]):
            _share(mean[:, stage], quantiles[:, stage], in_flight[:, stage])
    return mean, quantiles, in_flight


def _share(mean: Array, quantiles: Array, in_flight: Array) -> None:
    """Share the total of one stage, row 0, among its segments, the other rows, in place."""
    own = mean[1:].copy()
    told = own > LEAST
    if np.isfinite(in_flight).all():
        flying = _scaled(in_flight[1:], in_flight[0])
        mean[1:] = flying + _scaled(own - in_flight[1:], mean[0] - in_flight[0])
    else:
        mean[1:] = _scaled(own, mean[0])
        flying = mean[1:] * np.divide(in_flight[1:], own, out=0.0 * in_flight[1:], where=own > 0)
    in_flight[1:] = flying
    moved = np.divide(mean[1:], own, out=np.zeros_like(own), where=told)
    spread = np.divide(mean[1:], mean[0], out=np.zeros_like(own), where=mean[0] > 0)
    quantiles[1:] *= moved[..., None]
    quantiles[1:] += np.where(told[..., None], 0.0, quantiles[0] * spread[..., None])


def _scaled(own: Array, total: Array) -> Array:
    """Rows of (segments, horizon) that add up to `total`, in proportion to `own`, equally where that is zero."""
    summed = own.sum(axis=0)
    share = np.divide(own, summed, out=np.full_like(own, 1.0 / len(own)), where=summed > 0)
    return np.asarray(share * total)
