"""Coherence: the forecasts of the segments add up to that of the total, step by step.

The total is forecast by itself, since it is what is known best, and is left as it is. The segments share it in
proportion to their own forecasts (top-down by forecast proportions: Athanasopoulos, Ahmed and Hyndman, Hierarchical
forecasts for Australian domestic tourism, 2009, section 3.3), in flight and new apart, so that those add up too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.forecast import QUANTILES, Forecast
from models.funnel import TOTAL

Array = npt.NDArray[np.float64]

MEDIAN = QUANTILES.index(0.5)
LEAST = 1e-9
"""A segment that expects less says nothing of its spread, and takes the total's."""


def coherent(forecasts: Sequence[Forecast]) -> tuple[Forecast, ...]:
    """The same forecasts in the same order, those of segments scaled to add up to the total of their stage.

    Quantiles move with their mean, so the spread relative to it stays. Where no segment expects anything and the
    total does, they share it equally. in_flight and new are scaled apart where all forecasts of the stage have them;
    else those of the segments move with their mean.
    """
    out = list(forecasts)
    places: dict[str, list[int]] = {}
    totals: dict[str, int] = {}
    for place, forecast in enumerate(forecasts):
        if forecast.segment == TOTAL:
            totals[forecast.stage] = place
        else:
            places.setdefault(forecast.stage, []).append(place)
    for stage, segments in places.items():
        if stage in totals:
            shared = _shared(forecasts[totals[stage]], [forecasts[place] for place in segments])
            for place, forecast in zip(segments, shared, strict=True):
                out[place] = forecast
    return tuple(out)


def _shared(total: Forecast, segments: Sequence[Forecast]) -> list[Forecast]:
    """The total of one stage, shared among its segments."""
    own = np.array([forecast.mean for forecast in segments])
    parts = [(f.in_flight, f.new) for f in segments if f.in_flight is not None and f.new is not None]
    if total.in_flight is None or total.new is None or len(parts) < len(segments):
        mean = _scaled(own, total.mean)
        in_flight = None
    else:
        in_flight = _scaled(np.array([part for part, _ in parts]), total.in_flight)
        mean = in_flight + _scaled(np.array([part for _, part in parts]), total.new)
    told = own > LEAST
    moved = np.divide(mean, own, out=np.zeros_like(own), where=told)
    spread = np.divide(mean, total.mean, out=np.zeros_like(own), where=total.mean > 0)
    quantiles = np.array([forecast.quantiles for forecast in segments]) * moved[..., None]
    quantiles += np.where(told[..., None], 0.0, total.quantiles * spread[..., None])
    return [
        _moved(forecast, mean[row], quantiles[row], None if in_flight is None else in_flight[row])
        for row, forecast in enumerate(segments)
    ]


def _scaled(own: Array, total: Array) -> Array:
    """Rows of (segments, horizon) that add up to `total`, in proportion to `own`, equally where that is zero."""
    summed = own.sum(axis=0)
    share = np.divide(own, summed, out=np.full_like(own, 1.0 / len(own)), where=summed > 0)
    return np.asarray(share * total)


def _moved(forecast: Forecast, mean: Array, quantiles: Array, in_flight: Array | None) -> Forecast:
    """One segment's forecast at its new mean; without parts of its own it keeps its shares of in flight and new."""
    if in_flight is None and forecast.in_flight is not None:
        share = np.divide(forecast.in_flight, forecast.mean, out=np.zeros_like(mean), where=forecast.mean > 0)
        in_flight = share * mean
    highest = max(float(mean.max(initial=0.0)), float(quantiles[:, MEDIAN].max(initial=0.0)))
    return replace(
        forecast,
        mean=mean,
        quantiles=quantiles,
        in_flight=in_flight,
        new=None if in_flight is None else np.maximum(mean - in_flight, 0.0),
        ceiling=max(forecast.ceiling, highest),
    )
