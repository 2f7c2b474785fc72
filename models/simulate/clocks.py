"""The hazards that a transition of a simulated funnel runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.simulate.spec import Array, Delay, Due, Segment, Transition


@dataclass(frozen=True, slots=True, eq=False)
class Clocks:
    """How a transition runs. Rows are clocks: age per segment, then due per segment if there are due dates.

    An entity enters a row at a cell and moves one cell a day. hazards is (rows, outcomes, cells), outcome 0
    is conversion, then the exits; entry (rows, cells) says where entities of the row's segment enter, and
    sums to the share of them that use this row.
    """

    hazards: Array
    entry: Array


def make_clocks(transition: Transition, *, segments: Sequence[Segment]) -> Clocks:
    """The hazards of `transition` by clock row, outcome and cell."""
    parts = [age_hazards(for_segment(transition, segment)) for segment in segments]
    entries = [np.array([1.0 if transition.due is None else 1.0 - transition.due.share])] * len(segments)
    if due := transition.due:
        parts += [due_hazards(for_segment(transition, segment), due=due) for segment in segments]
        entries += [due.share * due.lead.pmf[::-1]] * len(segments)
    cells = max(part.shape[1] for part in parts)
    hazards = np.zeros((len(parts), parts[0].shape[0], cells))
    entry = np.zeros((len(parts), cells))
    for row, (part, start) in enumerate(zip(parts, entries, strict=True)):
        hazards[row, :, : part.shape[1]] = part
        entry[row, : len(start)] = start
    return Clocks(hazards, entry)


def for_segment(transition: Transition, segment: Segment) -> Transition:
    """`transition` with the factors of `segment`; the exits keep their rates."""
    rate = min(transition.rate * segment.conversion, 1 - sum(way.rate for way in transition.exits))
    return replace(transition, rate=rate, delay=slower(transition.delay, segment.delay))


def slower(delay: Delay, factor: float) -> Delay:
    """`delay` with its median times `factor`."""
    return replace(delay, median=delay.median * factor)


def age_hazards(transition: Transition) -> Array:
    """(outcomes, ages): P(outcome at this age, given none before), so that shares and delays come out exactly."""
    ways = [(transition.rate, transition.delay.pmf), *((way.rate, way.delay.pmf) for way in transition.exits)]
    mass = np.zeros((len(ways), max(len(pmf) for _, pmf in ways)))
    for row, (rate, pmf) in enumerate(ways):
        mass[row, : len(pmf)] = rate * pmf
    return hazards_from_mass(mass)


def due_hazards(transition: Transition, *, due: Due) -> Array:
    """(outcomes, cells), cell 0 lying the longest lead before the due day.

    Exits come at an even daily hazard that takes about their rate within the mean lead; the rate of
    conversion is that of those who stay.
    """
    longest = len(due.lead.pmf) - 1
    mean_lead = float(due.lead.pmf @ np.arange(longest + 1))
    staying = 1 - sum(way.rate for way in transition.exits)
    mass = np.zeros((1, longest + due.late + 1))
    first = longest - due.early
    offsets = due.offset_pmf[max(0, -first) :]
    mass[0, max(0, first) :] = min(1.0, transition.rate / staying if staying > 0 else 0.0) * offsets
    even = [np.full(mass.shape[1], 1 - (1 - way.rate) ** (1 / (1 + mean_lead))) for way in transition.exits]
    return np.vstack([hazards_from_mass(mass), *even])


def hazards_from_mass(mass: Array) -> Array:
    """P(outcome in this cell | none before) from P(outcome in this cell), both (outcomes, cells)."""
    total = mass.sum(axis=0)
    left = 1 - (np.cumsum(total) - total)
    hazards: Array = np.where(left > 1e-12, mass / np.maximum(left, 1e-12), 0.0)
    return np.clip(hazards, 0.0, 1.0)


def chances(hazards: Array, effect: float) -> Array:
    """Cumulative chances over the outcome axis (1), conversion hazard times `effect`; never above 1."""
    scaled = hazards.copy()
    scaled[:, 0] = np.minimum(1.0, scaled[:, 0] * effect)
    return np.minimum(1.0, np.cumsum(scaled, axis=1))
