"""In which part a row is kept: by its own time, whatever comes later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from models.records import Counts, Events, Ints
from models.times import DAY

SPAN = 32 * DAY
"""How much time a part covers, µs: what a day's new rows make to be written again."""
FORMAT = 1
"""Raised whenever a part means something else than before: parts of another format are not used."""

Part = TypeVar("Part")
Rows = TypeVar("Rows", Events, Counts)


def updated_parts(
    parts: Mapping[int, Part],
    rows: Rows,
    instants: Ints,
    *,
    retracted: npt.NDArray[np.bool_],
    update: Callable[..., Part],
) -> dict[int, Part]:
    """The parts that the rows change, by number, after that change; `instants`: time of each row, µs."""
    number = instants // SPAN
    changed = {}
    for one in np.unique(number).tolist():
        chosen = np.flatnonzero(number == one)
        changed[one] = update(parts.get(one), rows.take(chosen), retracted=retracted[chosen])
    return changed
