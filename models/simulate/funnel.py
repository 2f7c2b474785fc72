"""Funnels whose true intensities are known: for the demo, the tests and the oracle benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from models.errors import HistoryError
from models.simulate.clocks import make_clocks
from models.simulate.draw import NOT_REACHED, Cohorts, Ints, Passage, draw_cohorts, draw_passages, stage_days
from models.simulate.rows import day_starts, draw_rows
from models.simulate.spec import Array, FunnelSpec
from models.simulate.truth import expected_counts, mean_arrivals


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """A drawn funnel and its truth.

    events
        Sorted by ts: entity_id, stage, ts (UTC), value (NaN none), due_on (NaT none), segment.
    recorded
        Per row of `events` the instant at which it was reported, µs since the epoch.
    intensities
        Expected counts, nothing being known: (segments, stages, days).
    cohorts, passages
        Who entered when, and one passage per transition: what `outlook` conditions on.
    """

    spec: FunnelSpec
    days: int
    events: pd.DataFrame
    recorded: Ints
    intensities: Array
    cohorts: Cohorts
    passages: tuple[Passage, ...]

    @property
    def counts(self) -> Array:
        """What happened: entities by segment, stage and day, (segments, stages, days)."""
        day = stage_days(self.cohorts, self.passages)
        entity, stage = np.nonzero(day != NOT_REACHED)
        counts = np.zeros((len(self.spec.segments), len(self.spec.stages), self.days))
        np.add.at(counts, (self.cohorts.segment[entity], stage, day[entity, stage]), 1)
        return counts

    def reported(self, *, until: date) -> pd.DataFrame:
        """The rows recorded up to the end of the local day `until`."""
        end = day_starts(self.spec, first=(until - self.spec.start).days + 1, days=0)[0]
        known: pd.DataFrame = self.events[self.recorded < end].reset_index(drop=True)
        return known


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """True expected counts after a cutoff, given all that had happened by then.

    Both parts are (segments, stages, horizon): from entities in the funnel at the cutoff, and from
    those still to enter.
    """

    in_flight: Array
    new: Array

    @property
    def mean(self) -> Array:
        """Sum of the two parts."""
        return self.in_flight + self.new


def simulate(spec: FunnelSpec, *, days: int, seed: np.random.Generator) -> Simulation:
    """Draw `days` days of the funnel; the same generator state gives the same bytes."""
    means = mean_arrivals(spec, first=0, days=days)
    cohorts = draw_cohorts(means, dispersion=spec.arrivals.dispersion, generator=seed)
    passages = draw_passages(spec, cohorts=cohorts, days=days, generator=seed)
    events, recorded = draw_rows(spec, cohorts=cohorts, passages=passages, days=days, generator=seed)
    intensities = expected_counts(spec, first=0, arrivals=means)
    return Simulation(spec, days, events, recorded, intensities, cohorts, passages)


def outlook(simulation: Simulation, *, cutoff: date, horizon: int) -> Outlook:
    """What a forecaster who knows the truth expects at steps 1..horizon after `cutoff`.

    It knows every entity's stage and age (or due date) at the end of the cutoff, also what was reported
    late, and of the future the expected arrivals, not the drawn ones. Raises HistoryError when the
    cutoff was not simulated.
    """
    spec = simulation.spec
    first = (cutoff - spec.start).days + 1
    if not 1 <= first <= simulation.days:
        raise HistoryError(f"{cutoff} is not one of the {simulation.days} days from {spec.start}")
    clocks = [make_clocks(transition, segments=spec.segments) for transition in spec.transitions]
    at_risk = [
        passage.waiting(day=first, shape=(part.entry.shape[0], part.entry.shape[1]))
        for passage, part in zip(simulation.passages, clocks, strict=True)
    ]
    arrivals = mean_arrivals(spec, first=first, days=horizon)
    return Outlook(
        in_flight=expected_counts(spec, first=first, arrivals=np.zeros_like(arrivals), at_risk=at_risk),
        new=expected_counts(spec, first=first, arrivals=arrivals),
    )
