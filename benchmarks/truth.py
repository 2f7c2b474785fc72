"""What a forecaster who knows the truth of a simulated funnel would say: the exact distribution of each count.

Given all that is in flight at a cutoff, a later day's count is a sum of independent parts: of each entity that waits,
a yes or no whose chance follows from the hazards, and of each coming day's arrivals, a thinned (mixed) Poisson number.
The product of their generating functions on the unit circle gives the probabilities by one Fourier transform.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt

from models.forecast import QUANTILES
from models.simulate import Simulation
from models.simulate.clocks import Clocks, chances
from models.simulate.truth import all_clocks, day_types, mean_arrivals

Array = npt.NDArray[np.float64]


def true_quantiles(simulation: Simulation, *, cutoff: date, horizon: int) -> tuple[Array, Array]:
    """Exact means (series, stages, horizon), and their quantiles; series are the total, then the segments."""
    spec = simulation.spec
    segments, first = len(spec.segments), (cutoff - spec.start).days + 1
    clocks = all_clocks(spec)
    types = day_types(spec, first=first, days=horizon)
    effects = [np.array(transition.day_effect)[types] for transition in spec.transitions]
    thinned = np.broadcast_to(np.eye(horizon), (segments, horizon, horizon))
    arrivals = mean_arrivals(spec, first=first, days=horizon)
    waiting = [np.zeros((segments, 0)) for _ in range(segments)]
    reach: list[Array] = [np.zeros((0, horizon)) for _ in range(segments)]
    mean = np.zeros((segments + 1, len(spec.stages), horizon))
    quantiles = np.zeros((*mean.shape, len(QUANTILES)))
    number = [np.zeros(0) for _ in waiting]
    for stage in range(len(spec.stages)):
        if stage > 0:
            part, effect = clocks[stage - 1], effects[stage - 1]
            onward = passing(part, effect, segments=segments)
            thinned = thinned @ onward
            here = simulation.passages[stage - 1].waiting(day=first, shape=part.entry.shape)
            ahead = conversions(part, effect, start=0)
            for segment in range(segments):
                own = np.arange(segment, len(part.entry), segments)
                some = here[own] > 0
                reach[segment] = np.concatenate([reach[segment] @ onward[segment], ahead[own][some]])
                number[segment] = np.concatenate([number[segment], here[own][some]])
        for step in range(horizon):
            chance = [part[:, step] for part in reach]
            fresh = arrivals * thinned[:, :, step]
            mean[1:, stage, step] = [n @ p for n, p in zip(number, chance, strict=True)] + fresh.sum(axis=1)
            quantiles[:, stage, step] = quantiles_of_sum(number, chance, fresh, spec.arrivals.dispersion)
    mean[0] = mean[1:].sum(axis=0)
    return mean, quantiles


def conversions(clocks: Clocks, effect: Array, *, start: int) -> Array:
    """P(conversion on each day) of who is at a cell on day `start`, (rows, cells, days)."""
    rows, _, cells = clocks.hazards.shape
    out = np.zeros((rows, cells, len(effect)))
    alive = np.ones((rows, cells))
    for day in range(start, min(len(effect), start + cells)):
        waited = day - start
        chance = chances(clocks.hazards, effect[day])[:, :, waited:]
        out[:, : cells - waited, day] = alive[:, : cells - waited] * chance[:, 0]
        alive[:, : cells - waited] *= 1 - chance[:, -1]
    return out


def passing(clocks: Clocks, effect: Array, *, segments: int) -> Array:
    """P(reaching the next stage on a day), by segment and day of entry, (segments, days, days)."""
    days = [
        (clocks.entry[:, :, None] * conversions(clocks, effect, start=start)).sum(axis=1)
        for start in range(len(effect))
    ]
    by_row = np.stack(days, axis=1)
    return np.asarray(by_row.reshape(-1, segments, *by_row.shape[1:]).sum(axis=0))


def quantiles_of_sum(number: list[Array], chance: list[Array], fresh: Array, dispersion: float) -> Array:
    """Quantiles of the total and of each segment, (segments + 1, len(QUANTILES)).

    `number` entities with `chance` each, per segment; `fresh` (segments, days), means of what the days' arrivals bring.
    """
    mean = sum(float(n @ p) for n, p in zip(number, chance, strict=True)) + fresh.sum()
    size = 2 ** int(np.ceil(np.log2(mean + 12 * np.sqrt(mean * (1 + dispersion * mean)) + 20)))
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    logs = np.zeros((len(number) + 1, len(z)), dtype=np.complex128)
    for segment, (n, p) in enumerate(zip(number, chance, strict=True), start=1):
        some = p > 1e-9
        logs[segment] = n[some] @ np.log(1 - p[some, None] * (1 - z) + 1e-300)
        mixed = fresh[segment - 1][:, None] * (1 - z)
        logs[segment] -= (np.log1p(dispersion * mixed) / dispersion if dispersion > 0 else mixed).sum(axis=0)
    logs[0] = logs[1:].sum(axis=0)
    below = np.cumsum(np.fft.irfft(np.exp(logs), size, axis=1), axis=1)
    return np.array([[np.searchsorted(row, q - 1e-9) for q in QUANTILES] for row in below], dtype=np.float64)
