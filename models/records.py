"""Rows that have passed the gate, as columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

NO_DAY = -(2**31)
"""`due_on` of an event without one."""

Texts = npt.NDArray[np.object_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Rows:
    """Columns of equal length."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

    def take(self, rows: npt.NDArray[Any]) -> Self:
        """The rows of a mask or an index, in that order."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))  # type: ignore[arg-type]

    @classmethod
    def concat(cls, parts: Iterable[Self]) -> Self:
        """All rows of the parts, in order; no parts give no rows."""
        parts = list(parts)
        if not parts:
            return cls.none()
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))  # type: ignore[arg-type]

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        kinds: dict[str, Any] = {"ts": np.int64, "ds": np.int64, "value": float, "y": float, "due_on": np.int32}
        return cls(*(np.empty(0, dtype=kinds.get(field.name, object)) for field in fields(cls)))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class Events(Rows):
    """One row per entity reaching a stage.

    ts
        int64, microseconds since the epoch, UTC.
    value
        float64, NaN without one.
    due_on
        int32, days since the epoch; NO_DAY without one.
    segment
        "" where the funnel has no segments.
    """

    entity_id: Texts
    stage: Texts
    ts: Ints
    value: Floats
    due_on: npt.NDArray[np.int32]
    segment: Texts


@dataclass(frozen=True, slots=True, eq=False)
class Counts(Rows):
    """One row per segment, stage and period.

    ds
        int64, microseconds since the epoch, UTC, of the period's start.
    y
        float64, a whole number >= 0.
    """

    ds: Ints
    stage: Texts
    y: Floats
    value: Floats
    segment: Texts
