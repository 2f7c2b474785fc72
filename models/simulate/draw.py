"""Drawing the entities of a simulated funnel: when each enters, moves on or leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.simulate.clocks import Clocks, chances, make_clocks
from models.simulate.spec import Array, FunnelSpec
from models.simulate.truth import day_types

Ints = npt.NDArray[np.int64]
NOT_REACHED = -1
"""Day, or outcome, of what did not happen."""


@dataclass(frozen=True, slots=True, eq=False)
class Cohorts:
    """The entities in the order of their entry: index of the segment and day, each (entities,)."""

    segment: Ints
    day: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """All entities on one transition; arrays are (entities,).

    entered, left
        Day of reaching the stage before it, and of leaving that by any outcome; else NOT_REACHED.
    outcome
        0 the next stage, 1.. the transition's exits, NOT_REACHED while waiting.
    row, cell
        Row of the transition's `Clocks`, and the cell on the day of entry.
    """

    entered: Ints
    left: Ints
    outcome: Ints
    row: Ints
    cell: Ints

    def waiting(self, *, day: int, shape: tuple[int, int]) -> Array:
        """Entities waiting at the start of `day`, by clock row and cell."""
        here = (self.entered != NOT_REACHED) & (self.entered < day) & ((self.left == NOT_REACHED) | (self.left >= day))
        cell = self.cell[here] + day - self.entered[here]
        inside = cell < shape[1]
        flat = self.row[here][inside] * shape[1] + cell[inside]
        return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)


def stage_days(cohorts: Cohorts, passages: Sequence[Passage]) -> Ints:
    """Day on which each entity reached each stage, else NOT_REACHED; (entities, stages)."""
    later = [np.where(passage.outcome == 0, passage.left, NOT_REACHED) for passage in passages]
    return np.stack([cohorts.day, *later], axis=1)


def draw_cohorts(means: Array, *, dispersion: float, generator: np.random.Generator) -> Cohorts:
    """Arrivals with variance mean + dispersion * mean**2; `means` is (segments, days)."""
    if dispersion > 0:
        means = means * generator.gamma(1 / dispersion, dispersion, size=means.shape)
    counts = generator.poisson(means)
    segment, day = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    order = np.argsort(day, kind="stable")
    return Cohorts(segment[order], day[order])


def draw_passages(
    spec: FunnelSpec, *, cohorts: Cohorts, days: int, generator: np.random.Generator
) -> tuple[Passage, ...]:
    """Send the entities through all transitions."""
    passages: list[Passage] = []
    entered = cohorts.day
    for transition in spec.transitions:
        clocks = make_clocks(transition, segments=spec.segments)
        row, cell = draw_entry(clocks, segment=cohorts.segment, segments=len(spec.segments), generator=generator)
        effect = np.array(transition.day_effect)[day_types(spec, first=0, days=days)]
        waiting = Passage(entered, np.full_like(row, NOT_REACHED), np.full_like(row, NOT_REACHED), row, cell)
        passages.append(draw_outcomes(waiting, clocks=clocks, effect=effect, generator=generator))
        entered = np.where(passages[-1].outcome == 0, passages[-1].left, NOT_REACHED)
    return tuple(passages)


def draw_entry(clocks: Clocks, *, segment: Ints, segments: int, generator: np.random.Generator) -> tuple[Ints, Ints]:
    """Clock row and cell at which each entity enters, by the `entry` shares of its segment."""
    row, cell = segment.copy(), np.zeros_like(segment)
    if len(clocks.entry) == segments:
        return row, cell
    cells = clocks.entry.shape[1]
    for index in range(segments):
        members = np.flatnonzero(segment == index)
        shares = np.cumsum(clocks.entry[[index, index + segments]])
        place = np.searchsorted(shares, generator.random(len(members)) * shares[-1], side="right")
        row[members] += segments * (place // cells)
        cell[members] = place % cells
    return row, cell


def draw_outcomes(passage: Passage, *, clocks: Clocks, effect: Array, generator: np.random.Generator) -> Passage:
    """`passage` with outcomes drawn day by day; `effect` (days,) multiplies the conversion hazard."""
    entered, row, cell = passage.entered, passage.row, passage.cell
    left, outcome = passage.left.copy(), passage.outcome.copy()
    arriving = np.argsort(entered, kind="stable")
    first = np.searchsorted(entered[arriving], np.arange(len(effect) + 1))
    by_effect = {factor: chances(clocks.hazards, factor) for factor in set(effect.tolist())}
    waiting = np.empty(0, dtype=np.int64)
    for day, factor in enumerate(effect.tolist()):
        waiting = np.concatenate([waiting, arriving[first[day] : first[day + 1]]])
        now = cell[waiting] + day - entered[waiting]
        running = now < clocks.entry.shape[1]
        waiting, now = waiting[running], now[running]
        chance = by_effect[factor][row[waiting], :, now]
        drawn = (generator.random(len(waiting))[:, None] >= chance).sum(axis=1)
        done = drawn < chance.shape[1]
        outcome[waiting[done]] = drawn[done]
        left[waiting[done]] = day
        waiting = waiting[~done]
    return Passage(entered, left, outcome, row, cell)
