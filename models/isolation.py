"""Chunks of series computed apart, and the few found that take their chunk down, so that they are all that is lost.

A chunk that is lost is divided, at most twice: into parts of about the root of its size, and those that are lost again
into single funnels. So what kills its worker is tried ATTEMPTS times, not once for each halving.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ATTEMPTS = 3
"""How often a funnel is tried in one fit: in its block, in a part of it, by itself."""
HOPELESS = 32
"""When parts that hold more funnels than this are all lost, no single series is to blame: the last attempt is saved."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A chunk without a result: it raised, took too long, or killed its worker."""

    reason: str


class Chunk(Protocol):
    """Funnels that are computed together."""

    @property
    def rows(self) -> tuple[int, ...]:
        """Which funnels these are, each a row of the history."""
        ...


Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""Applies a function to every chunk, in threads, processes or on other machines: results in order, some maybe before
others are there, `Lost` for some."""


@dataclass(frozen=True, slots=True, eq=False)
class Isolated:
    """Chunks that were computed, their results, and why each of the other rows was not."""

    chunks: list[Any]
    results: list[Any]
    lost: dict[int, str]


def attempt(function: Callable[[Any], Any], chunk: Any) -> Any:
    """What the function makes of the chunk, or `Lost` with what it raised, and where."""
    try:
        return function(chunk)
    except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this chunk only
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Lost(f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})")


def isolate(
    function: Callable[[Any], Any],
    chunks: Sequence[Chunk],
    *,
    mapper: Mapper,
    divide: Callable[[Any, int], Sequence[Chunk]],
    take: Callable[[Any], Any] = lambda result: result,
) -> Isolated:
    """Compute all chunks, and again the parts of those that are lost.

    `divide(chunk, size)` cuts a chunk into parts of at most `size` funnels, whose results are those of the whole.
    `take` is given each result, in order, as soon as it is there; what it returns is kept.
    """
    done, results, lost = [], [], dict[int, str]()
    waiting = list(chunks)
    for number in range(1, ATTEMPTS + 1):
        outcomes = mapper(function, waiting) if waiting else []
        failed = []
        for chunk, outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome, Lost):
                failed.append((chunk, outcome))
            else:
                done.append(chunk)
                results.append(take(outcome))
        funnels = sum(len(chunk.rows) for chunk, _ in failed)
        hopeless = number > 1 and len(failed) == len(waiting) and funnels > HOPELESS
        if number == ATTEMPTS or hopeless:
            lost = {row: f"{outcome.reason}, at attempt {number}" for chunk, outcome in failed for row in chunk.rows}
            break
        waiting = [part for chunk, _ in failed for part in divide(chunk, _size(chunk, number))]
    return Isolated(done, results, lost)


def _size(chunk: Chunk, attempts: int) -> int:
    """Funnels in each part of a chunk that was lost at the last of these attempts."""
    return math.isqrt(len(chunk.rows) - 1) + 1 if attempts < ATTEMPTS - 1 else 1
