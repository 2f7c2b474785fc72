"""The declared days within the horizon of each series, with what they are found to do to it."""

from __future__ import annotations

from datetime import timedelta

from models.blocks import Block, BlockResult
from models.calendar import Calendar
from models.declared import key_of
from models.forecast import STEP_DAYS, DeclaredEffect
from models.funnel import TOTAL
from models.history import History
from models.isolation import Isolated

UNKNOWN = (1.0, 0)
"""Factor and evidence of a name that was never seen, or is taken for ordinary."""


def declared_ahead(
    history: History, calendar: Calendar, isolated: Isolated, *, horizon: int
) -> dict[tuple[str, str], tuple[DeclaredEffect, ...]]:
    """By segment and stage; nothing of segments that were lost."""
    length, cutoff = STEP_DAYS[history.frequency], history.cutoff
    last = cutoff + timedelta(days=length * horizon)
    ahead = []
    for day in calendar.declared_days:
        if day.start <= last and day.end > cutoff:
            first, end = (((each - cutoff).days - 1) // length for each in (day.start, day.end))
            ahead.append((day, key_of(day.name), slice(max(first, 0), end + 1)))
    if not ahead:
        return {}
    segments = (TOTAL, *history.segments)
    found: dict[tuple[str, str], tuple[DeclaredEffect, ...]] = {}
    for block, result in zip(isolated.chunks, isolated.results, strict=True):
        for funnel, row in enumerate(block.rows):
            for place, stage in enumerate(history.stages):
                found[segments[row], stage] = tuple(
                    DeclaredEffect(day.name, day.start, day.end, *_learnt(block, result, funnel, place, key, steps))
                    for day, key, steps in ahead
                    if day.concerns(stage, segments[row])
                )
    return found


def _learnt(block: Block, result: BlockResult, funnel: int, stage: int, key: str, steps: slice) -> tuple[float, int]:
    """Factor and evidence of a name that these steps of a series of a block may hold."""
    declared = block.panel.declared
    if declared is None or result.effects is None or key not in declared.names:
        return UNKNOWN
    name = declared.names.index(key)
    if not declared.holds[declared.ahead[funnel, stage, steps], name].any():
        return UNKNOWN
    factor, evidence = result.effects[funnel, stage, name].tolist()
    return factor, int(evidence)
