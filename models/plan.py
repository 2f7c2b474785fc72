"""What a fit has to do: a history cut into blocks of whole funnels, continued where they are remembered."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.appearance import absences
from models.blocks import Block, Wishes, priced_part
from models.calendar import Calendar, number_from_day
from models.declared import make_declared
from models.doubt import Doubt, make_doubt
from models.forecast import STEP_DAYS
from models.funnel import SEASON_LENGTH, TOTAL
from models.history import History
from models.memory import Frame, Memory, digests_of, gathered, memory_from_bytes, part_of_memory, renamed
from models.observance import infer_observance
from models.panel import Panel
from models.spells import moves_of_history
from models.value import Priced, priced_of_history

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

BLOCK = 128
"""Series per block of work, as far as whole funnels make it up."""
MOST_TOLD = 5
"""Unknown segments that a note names."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is to be done: blocks, what was inferred about holidays, and why all starts anew, if it does."""

    blocks: list[Block]
    note: str | None
    anew: str | None


def make_plan(
    history: History, *, calendar: Calendar, horizon: int, wishes: Wishes, before: Iterable[bytes] = ()
) -> Plan:
    """The total and the segments in blocks of about BLOCK series, as they were remembered, and new ones."""
    types, doubt, note = day_types(history, calendar=calendar, horizon=horizon)
    notes = [note, _note_on_segments(calendar, history.segments)]
    start_day = number_from_day(history.start) // STEP_DAYS[history.frequency]
    declared = make_declared(
        calendar,
        history.start,
        periods=history.periods,
        horizon=horizon,
        segments=history.segments,
        stages=history.stages,
    )
    season = SEASON_LENGTH[history.frequency]
    moves = moves_of_history(history)
    priced = priced_of_history(history)
    absent = absences(history)
    frame = Frame(
        history.start.isoformat(),
        history.frequency,
        history.stages,
        tuple(part is not None for part in moves[0]),
        horizon,
        season,
        start_day,
        priced is not None,
    )

    def panel_of(rows: Sequence[int]) -> Panel:
        own = declared and declared.part(rows, since=0, until=history.periods)
        return Panel(
            history.funnels(rows),
            [moves[row] for row in rows],
            types,
            start_day,
            season,
            declared=own,
            absent=absent[list(rows)],
        )

    names = (TOTAL, *history.segments)
    size = max(1, BLOCK // len(history.stages))
    try:
        memories, anew = _usable(before, frame, types, settled=history.settled)
    finally:
        if isinstance(before, Generator):  # who gives them one by one may hold something open, and is asked no further
            before.close()
    blocks, left = [], dict(zip(names, range(len(names)), strict=True))
    for memory in gathered([renamed(memory, declared) for memory in memories], size=size):
        kept = [name for name in memory.segments if name in left]
        if kept:
            rows = tuple(left.pop(name) for name in kept)
            part = panel_of(rows), priced and priced_part(priced, rows)
            blocks.append(
                _remembered(part, rows, memory, kept, frame=frame, wishes=wishes, doubt=doubt, told=history.told)
            )
    rest = list(left.values())
    for first in range(0, len(rest), size):
        rows = tuple(rest[first : first + size])
        segments = tuple(names[row] for row in rows)
        everything = np.ones(len(rows), dtype=np.bool_)
        own = priced and priced_part(priced, rows)
        blocks.append(Block(panel_of(rows), own, rows, segments, frame, None, everything, wishes, doubt, history.told))
    return Plan(blocks, "; ".join(filter(None, notes)) or None, anew)


def _note_on_segments(calendar: Calendar, segments: Sequence[str]) -> str | None:
    """What is declared for segments of which there is no row, for people; None where nothing is."""
    unknown = sorted({segment for day in calendar.declared_days for segment in day.segments}.difference(segments))
    if not unknown:
        return None
    told = ", ".join(map(repr, unknown[:MOST_TOLD])) + (", ..." if len(unknown) > MOST_TOLD else "")
    return f"days are declared for segments of which there is no row: {told}"


def _usable(before: Iterable[bytes], frame: Frame, types: Days, *, settled: int) -> tuple[list[Memory], str | None]:
    """The memories that can be continued: all of them or none, and then why."""
    memories = []
    for payload in before:
        memory = memory_from_bytes(payload, frame=frame)
        if memory is None:
            return [], "the funnel's first day, stages or horizon, or the kind of state, are not those remembered"
        if memory.state.seen > settled:
            return [], "the history ends, or its days begin to be incomplete, before what is remembered does"
        if not np.array_equal(memory.day_types, types[: len(memory.day_types)]):
            return [], "the calendar says something else about past days than before"
        memories.append(memory)
    return memories, None


def _remembered(
    part: tuple[Panel, Priced | None],
    rows: tuple[int, ...],
    memory: Memory,
    kept: list[str],
    *,
    frame: Frame,
    wishes: Wishes,
    doubt: Doubt | None,
    told: Array | None,
) -> Block:
    places = np.array([memory.segments.index(name) for name in kept])
    changed = (digests_of(*part, periods=memory.state.seen) != memory.digests[places]).any(axis=1)
    if len(kept) < len(memory.segments):
        memory = part_of_memory(memory, places)
    return Block(*part, rows, tuple(kept), frame, memory, np.asarray(changed), wishes, doubt, told)


def day_types(history: History, *, calendar: Calendar, horizon: int) -> tuple[Days, Doubt | None, str | None]:
    """Types of all periods and `horizon` more, doubts about the latter, and what was inferred, if anything."""
    if history.frequency == "week":
        return calendar.day_types(history.start, history.periods + horizon).astype(np.int64), None, None
    filling = [row for row, stage in enumerate(history.stages) if row and stage not in history.counted]
    declared = calendar.country is not None and not calendar.assumed
    observance = infer_observance(
        history.total, start=history.start, horizon=horizon, likely=calendar.country, declared=declared, filling=filling
    )
    types = observance.day_types.astype(np.int64)
    ahead = slice(history.periods, None)
    doubt = make_doubt(types[ahead], observance.plain[ahead].astype(np.int64), observance.share[ahead])
    notes = [observance.note, None if doubt is None else doubt.note(history.cutoff)]
    return types, doubt, "; ".join(note for note in notes if note) or None
