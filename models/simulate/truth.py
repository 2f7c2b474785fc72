"""The true expected counts of a simulated funnel, from its start or from what is known at a cutoff."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.simulate.clocks import Clocks, chances, make_clocks
from models.simulate.spec import Array, FunnelSpec

HOLIDAY = 7
"""Day type of a public holiday; 0..6 are Monday .. Sunday."""


def day_types(spec: FunnelSpec, *, first: int, days: int) -> npt.NDArray[np.int64]:
    """Day type of the days `first` .. `first + days - 1` (day 0 is the spec's start), shape (days,)."""
    types = (np.arange(first, first + days) + spec.start.weekday()) % 7
    for holiday in spec.holidays:
        day = (holiday - spec.start).days - first
        if 0 <= day < days:
            types[day] = HOLIDAY
    return types


def mean_arrivals(spec: FunnelSpec, *, first: int, days: int) -> Array:
    """Expected entities at the first stage, shape (segments, days)."""
    arrivals = spec.arrivals
    day = np.arange(first, first + days)
    mean = arrivals.level * np.array(arrivals.day_effect)[day_types(spec, first=first, days=days)]
    mean = mean * np.exp(arrivals.wave * np.sin(2 * np.pi * day / arrivals.wave_days))
    for campaign in arrivals.campaigns:
        start, end = (campaign.start - spec.start).days, (campaign.end - spec.start).days
        mean = np.where((day >= start) & (day <= end), mean * campaign.factor, mean)
    for shift in arrivals.shifts:
        mean = np.where(day >= (shift.day - spec.start).days, mean * shift.factor, mean)
    return np.outer([segment.share for segment in spec.segments], mean)


def all_clocks(spec: FunnelSpec) -> tuple[Clocks, ...]:
    """The clocks of each transition."""
    return tuple(make_clocks(transition, segments=spec.segments) for transition in spec.transitions)


def expected_counts(spec: FunnelSpec, *, first: int, arrivals: Array, at_risk: Sequence[Array] | None = None) -> Array:
    """Expected count of each segment, stage and day from day `first` on.

    Parameters
    ----------
    arrivals
        Expected (or known) entities at the first stage, shape (segments, days).
    at_risk
        Per transition the entities waiting at the start of day `first`, shape (rows, cells) of its `Clocks`,
        already at their cell of that day. None: nobody.

    Returns
    -------
    Shape (segments, stages, days). Exact: the funnel is a Markov chain in these cells.
    """
    segments, days = arrivals.shape
    counts = np.empty((segments, len(spec.stages), days))
    counts[:, 0] = arrivals
    types = day_types(spec, first=first, days=days)
    for index, (transition, clocks) in enumerate(zip(spec.transitions, all_clocks(spec), strict=True)):
        waiting = np.zeros(clocks.entry.shape) if at_risk is None else at_risk[index].copy()
        effect = np.array(transition.day_effect)
        by_type = {int(kind): chances(clocks.hazards, effect[kind]) for kind in np.unique(types)}
        rows = np.arange(len(clocks.entry)) % segments
        for day in range(days):
            chance = by_type[int(types[day])]
            waiting += clocks.entry * counts[rows, index, day][:, None]
            converted = (waiting * chance[:, 0]).sum(axis=1)
            counts[:, index + 1, day] = converted.reshape(-1, segments).sum(axis=0)
            waiting *= 1 - chance[:, -1]
            waiting[:, 1:] = waiting[:, :-1].copy()
            waiting[:, 0] = 0.0
    return counts
