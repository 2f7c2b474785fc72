"""The event rows of a simulated funnel: instants, values, due dates and late reporting."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.simulate.draw import NOT_REACHED, Cohorts, Ints, Passage, stage_days
from models.simulate.spec import Array, FunnelSpec

SECOND = 1_000_000
DAY = 86_400 * SECOND


def draw_rows(
    spec: FunnelSpec, *, cohorts: Cohorts, passages: Sequence[Passage], days: int, generator: np.random.Generator
) -> tuple[pd.DataFrame, Ints]:
    """The event rows, sorted by instant, and when each was recorded (µs since the epoch)."""
    entity, stage, ts = draw_events(spec, cohorts=cohorts, passages=passages, days=days, generator=generator)
    reached = stage_days(cohorts, passages) != NOT_REACHED
    value = draw_values(spec, entities=len(reached), generator=generator)
    due = due_days(spec, passages=passages, entities=len(reached))
    frame = pd.DataFrame(
        {
            "entity_id": np.char.add("E", np.char.zfill(np.arange(len(reached)).astype(str), 7))[entity],
            "stage": np.array([*spec.stages, *spec.exits])[stage],
            "ts": pd.to_datetime(ts, unit="us", utc=True),
            "value": known_from(spec.value_stage, value, entity=entity, stage=stage, reached=reached),
            "due_on": known_from(spec.due_known_at, due, entity=entity, stage=stage, reached=reached),
            "segment": np.array([segment.name for segment in spec.segments])[cohorts.segment[entity]],
        }
    )
    return frame, ts + draw_lateness(spec, rows=len(ts), generator=generator)


def draw_events(
    spec: FunnelSpec, *, cohorts: Cohorts, passages: Sequence[Passage], days: int, generator: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """Entity, index of the stage (exits after the stages) and instant of each row, by instant."""
    starts = day_starts(spec, first=0, days=days)
    everyone = np.arange(len(cohorts.day))
    instants = draw_instants(cohorts.day, after=np.full_like(everyone, NOT_REACHED), starts=starts, generator=generator)
    parts = [(everyone, np.zeros_like(everyone), instants)]
    names = [*spec.stages, *spec.exits]
    for index, (transition, passage) in enumerate(zip(spec.transitions, passages, strict=True)):
        gone = np.flatnonzero(passage.outcome != NOT_REACHED)
        at = draw_instants(passage.left[gone], after=instants[gone], starts=starts, generator=generator)
        targets = np.array([index + 1, *(names.index(way.name) for way in transition.exits)])
        parts.append((gone, targets[passage.outcome[gone]], at))
        instants = instants.copy()
        instants[gone] = at
    entity, stage, ts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(ts, kind="stable")
    return entity[order], stage[order], ts[order]


def day_starts(spec: FunnelSpec, *, first: int, days: int) -> Ints:
    """Instants at which the local days `first` .. `first + days` begin, µs since the epoch, (days + 1,).

    A day of a clock change is 23 or 25 hours long.
    """
    zone = ZoneInfo(spec.timezone)
    dates = (spec.start + timedelta(days=day) for day in range(first, first + days + 1))
    return np.array([int(datetime.combine(day, time(), zone).astimezone(UTC).timestamp()) for day in dates]) * SECOND


def draw_instants(days: Ints, *, after: Ints, starts: Ints, generator: np.random.Generator) -> Ints:
    """An instant, in whole seconds, on each of `days` and not before `after` (µs; NOT_REACHED: no bound)."""
    begin, end = starts[days], starts[days + 1]
    usual = begin + (generator.triangular(0.3, 0.45, 0.85, len(days)) * (end - begin)).astype(np.int64)
    later = after + (generator.random(len(days)) * (end - after)).astype(np.int64)
    instants: Ints = np.where(after >= begin, later, usual) // SECOND * SECOND
    return instants


def known_from(
    first: int | None, column: npt.NDArray[Any], *, entity: Ints, stage: Ints, reached: npt.NDArray[np.bool_]
) -> npt.NDArray[Any]:
    """`column` (entities,) by row; missing on rows before stage `first`, and on exits of those who never reached it."""
    missing = np.array("NaT" if column.dtype.kind == "M" else np.nan, dtype=column.dtype)
    if first is None:
        return np.full(len(entity), missing)
    known: npt.NDArray[Any] = np.where(reached[entity, first] & (stage >= first), column[entity], missing)
    return known


def draw_values(spec: FunnelSpec, *, entities: int, generator: np.random.Generator) -> Array:
    """Money per entity, to the cent, NaN when the funnel has none; (entities,)."""
    if spec.value is None:
        return np.full(entities, np.nan)
    values: Array = spec.value.median * np.exp(spec.value.spread * generator.standard_normal(entities))
    return values.round(2)


def due_days(spec: FunnelSpec, *, passages: Sequence[Passage], entities: int) -> npt.NDArray[np.datetime64]:
    """Due day per entity, NaT without one; (entities,)."""
    days = np.full(entities, np.datetime64("NaT"), dtype="datetime64[s]")
    for transition, passage in zip(spec.transitions, passages, strict=True):
        if transition.due:
            dated = (passage.row >= len(spec.segments)) & (passage.entered != NOT_REACHED)
            day = passage.entered[dated] + transition.due.lead.longest - passage.cell[dated]
            days[dated] = np.datetime64(spec.start, "s") + day * np.timedelta64(86_400, "s")
    return days


def draw_lateness(spec: FunnelSpec, *, rows: int, generator: np.random.Generator) -> Ints:
    """From happening to being recorded, µs; (rows,)."""
    if spec.late is None:
        return np.zeros(rows, dtype=np.int64)
    pmf = spec.late.delay.pmf
    late = generator.choice(len(pmf), size=rows, p=pmf)
    return np.where(generator.random(rows) < spec.late.share, late * DAY, 0)
