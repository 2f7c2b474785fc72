"""What a fit remembers of a block of funnels, so that the next one pays for new periods only.

A memory is valid for a funnel when the past that it has seen is still the same: digests of the counts and of the moves
tell. Then new periods are appended; otherwise the funnel is fitted from its first period on, by the same code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from models import effects
from models.declared import Declared
from models.funnels import PanelState, make_state
from models.origins import gap_of, make_origins
from models.panel import Panel
from models.state import pack, unpack
from models.value import Priced

AnyArray = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Days = npt.NDArray[np.int64]
State = TypeVar("State")

FORMAT = 17
"""Raised whenever a state means something else than before: memories of another format are not used."""
AWAITED = ("experts", "mean", "promised", "doubts")
"""Forecasts by origin and step, of which only those whose targets have not arrived are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What must be the same for a state to be continued: compared as a whole."""

    start: str
    frequency: str
    stages: tuple[str, ...]
    entities: tuple[bool, ...]
    horizon: int
    season_length: int
    start_day: int
    valued: bool = False
    format: int = FORMAT

    def facts(self) -> dict[str, Any]:
        """JSON-ready."""
        listed = {field.name: getattr(self, field.name) for field in fields(self)}
        return listed | {"stages": list(self.stages), "entities": list(self.entities)}


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """State of the named funnels after `state.seen` periods.

    day_types: (seen + horizon,), as used. digests: (funnels, stages + 1), of each stage's counts and declared days, and
    of the moves. names: of the declared days, in the state's order.
    """

    frame: Frame
    segments: tuple[str, ...]
    day_types: AnyArray
    digests: AnyArray
    state: PanelState
    names: tuple[str, ...] = ()


def digests_of(panel: Panel, priced: Priced | None, *, periods: int) -> AnyArray:
    """Digests of the first `periods` of whole funnels, int64 (funnels, stages + 1); twice as many of priced ones."""
    digests = _digests(panel.counts, panel.moves, periods=periods)
    if panel.absent is not None:
        digests[:, 0] ^= np.clip(panel.absent, 0, periods)
    if panel.declared is not None:
        digests[:, :-1] ^= _digests_of_declared(panel.declared, periods=periods)
    if priced is None:
        return digests
    return np.concatenate([digests, _digests(priced.amounts, priced.moves, periods=periods)], axis=1)


def _digests(counts: AnyArray, moves: Sequence[Sequence[AnyArray | None]], *, periods: int) -> AnyArray:
    known = np.where(np.isnan(counts), -1.0, counts)[:, :, :periods]
    numbers = np.einsum("fst,t->fs", known.view(np.uint64), _multipliers(periods))
    moved = [_digest([part for part in parts if part is not None], periods=periods) for parts in moves]
    return np.concatenate([numbers.view(np.int64), np.array(moved, dtype=np.int64)[:, None]], axis=1)


def _digests_of_declared(declared: Declared, *, periods: int) -> AnyArray:
    """By the names that each period holds, (funnels, stages); 0 where none does. The horizon is part of it: forecasts
    that wait for their actuals were made for the days that were declared then.
    """
    held = ["\0".join(np.array(declared.names)[names]) for names in declared.holds]
    marks = [hashlib.blake2b(each.encode(), digest_size=8).digest() if each else bytes(8) for each in held]
    numbers = np.frombuffer(b"".join(marks), dtype="<u8")[declared.kinds[:, :, : periods + declared.horizon]]
    return np.asarray(np.einsum("fst,t->fs", numbers, _multipliers(numbers.shape[2])).view(np.int64))


def _multipliers(periods: int) -> npt.NDArray[np.uint64]:
    """Odd numbers that look random: Steele, Lea and Flood, Fast splittable pseudorandom number generators (2014)."""
    with np.errstate(over="ignore"):
        z = np.arange(1, periods + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray((z ^ (z >> np.uint64(31))) | np.uint64(1))


def _digest(moves: Sequence[AnyArray], *, periods: int) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for part in moves:
        known = part[: np.searchsorted(part[:, 0], periods)]
        digest.update(len(known).to_bytes(8, "little") + np.ascontiguousarray(known, dtype="<i8").tobytes())
    return int.from_bytes(digest.digest(), "little", signed=True) if moves else 0


def bytes_from_memory(memory: Memory) -> bytes:
    """A memory as bytes, without the forecasts whose targets have arrived."""
    arrays: dict[str, AnyArray] = {"day_types": memory.day_types, "digests": memory.digests}
    _collect(memory.state, "", arrays)
    open_steps = _open_steps(memory.frame, memory.state.seen)
    for name, values in arrays.items():
        if name.rpartition(".")[2] in AWAITED:
            arrays[name] = values[..., open_steps]
    facts = {"frame": memory.frame.facts(), "segments": list(memory.segments), "seen": memory.state.seen}
    if memory.names:
        facts["names"] = list(memory.names)
    return pack(facts, arrays)


def memory_from_bytes(payload: bytes, *, frame: Frame) -> Memory | None:
    """Inverse of `bytes_from_memory`; None when it is a memory of another frame.

    Raises DamagedPayloadError unless every byte is as it was written.
    """
    facts, stored = unpack(payload)
    if facts["frame"] != frame.facts():
        return None
    seen, segments, names = int(facts["seen"]), tuple(facts["segments"]), tuple(facts.get("names", ()))
    open_steps = _open_steps(frame, seen)
    arrays: dict[str, AnyArray] = {}
    for name, values in stored.items():
        if name.rpartition(".")[2] in AWAITED:
            arrays[name] = np.zeros((*values.shape[:-1], *open_steps.shape))
            arrays[name][..., open_steps] = values
        else:
            arrays[name] = values.copy()  # kernels are compiled for arrays of their own
    template = make_state(
        1,
        entities=frame.entities,
        horizon=frame.horizon,
        season_length=frame.season_length,
        valued=frame.valued,
        names=len(names) or None,
    )
    state = replace(_restore(template, "", arrays), seen=seen)
    return Memory(frame, segments, arrays["day_types"], arrays["digests"], state, names)


def renamed(memory: Memory, declared: Declared | None) -> Memory:
    """The memory by the names of what is declared now: new ones were never seen, those that are gone are forgotten.

    Whether what is gone had been seen, the digests tell.
    """
    names = () if declared is None else declared.names
    if names == memory.names:
        return memory
    state, horizon = memory.state.effects, memory.frame.horizon
    if state is None:  # nothing was declared, so that forecasts are what they are without effects
        state = effects.make_state(len(memory.segments), stages=len(memory.frame.stages), names=0, horizon=horizon)
        pending = _pending(memory.frame, memory.state.seen)
        expected = memory.state.departures.plain
        state = effects.EffectState(state.sums, expected, np.zeros((*expected.shape[:2], len(pending), horizon)))
    state = effects.renamed(state, memory.names, names) if names else None
    return replace(memory, state=replace(memory.state, effects=state), names=names)


def _pending(frame: Frame, seen: int) -> Days:
    """Rolling origins with targets after `seen` periods, see `origins.Origins`."""
    gap = gap_of(frame.season_length)
    return make_origins(frame.start_day, periods=0, horizon=frame.horizon, seen=seen, gap=gap).pending


def _open_steps(frame: Frame, seen: int) -> Flags:
    """Which steps of which pending origins have not arrived after `seen` periods, (pending, horizon)."""
    pending = _pending(frame, seen)
    return np.asarray(pending[:, None] + np.arange(1, frame.horizon + 1) >= 0)


def _collect(state: Any, prefix: str, arrays: dict[str, AnyArray]) -> None:
    """All arrays of a state by dotted name."""
    for field in fields(state):
        value, name = getattr(state, field.name), prefix + field.name
        if is_dataclass(value):
            _collect(value, f"{name}.", arrays)
        elif isinstance(value, tuple):
            for number, part in enumerate(value):
                _collect(part, f"{name}.{number}.", arrays)
        elif isinstance(value, np.ndarray):
            arrays[name] = value


def _restore(template: State, prefix: str, arrays: dict[str, AnyArray]) -> State:
    """A state with the parts of the template and the arrays of `_collect`."""
    found: dict[str, Any] = {}
    for field in fields(template):  # type: ignore[arg-type]
        value, name = getattr(template, field.name), prefix + field.name
        if is_dataclass(value):
            found[field.name] = _restore(value, f"{name}.", arrays)
        elif isinstance(value, tuple):
            found[field.name] = tuple(_restore(part, f"{name}.{number}.", arrays) for number, part in enumerate(value))
        elif isinstance(value, np.ndarray):
            found[field.name] = arrays[name]
    return replace(template, **found)  # type: ignore[type-var]


def join(states: Sequence[PanelState], rows: Sequence[AnyArray]) -> PanelState:
    """Funnels `rows[k]` of `states[k]`, one after the other; all have seen the same periods."""
    parts: list[dict[str, AnyArray]] = []
    for state in states:
        parts.append({})
        _collect(state, "", parts[-1])
    sizes = [len(state.observed) for state in states]
    arrays = {
        name: np.concatenate(
            [_chosen(part[name], chosen, funnels=size) for part, size, chosen in zip(parts, sizes, rows, strict=True)]
        )
        for name in parts[0]
    }
    return _restore(states[0], "", arrays)


def part_of_memory(memory: Memory, places: AnyArray) -> Memory:
    """What is remembered of some of the funnels."""
    segments = tuple(memory.segments[place] for place in places)
    return replace(memory, segments=segments, digests=memory.digests[places], state=join([memory.state], [places]))


def gathered(memories: Sequence[Memory], *, size: int) -> list[Memory]:
    """Neighbouring memories joined as long as they hold no more than `size` funnels.

    Blocks shrink as segments end, come one by one, and when a part of them had to be fitted apart.
    """
    groups: list[list[Memory]] = []
    for memory in memories:
        held = sum(len(other.segments) for other in groups[-1]) if groups else size
        if held + len(memory.segments) <= size and memory.state.seen == groups[-1][-1].state.seen:
            groups[-1].append(memory)
        else:
            groups.append([memory])
    return [group[0] if len(group) == 1 else _joined(group) for group in groups]


def _joined(memories: Sequence[Memory]) -> Memory:
    rows = [np.arange(len(memory.segments)) for memory in memories]
    return replace(
        memories[0],
        segments=tuple(name for memory in memories for name in memory.segments),
        digests=np.concatenate([memory.digests for memory in memories]),
        state=join([memory.state for memory in memories], rows),
    )


def _chosen(values: AnyArray, rows: AnyArray, *, funnels: int) -> AnyArray:
    """What belongs to some of the funnels, whether there is one row for each funnel or one for each series."""
    each = len(values) // funnels
    by_funnel = values.reshape(funnels, each, *values.shape[1:])
    return np.asarray(by_funnel[rows].reshape(len(rows) * each, *values.shape[1:]))
