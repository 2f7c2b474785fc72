"""Columns of texts as numbers: names once, and for each row which of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from models.records import Floats, Ints, Rows, Texts

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A column of texts: `names` sorted, each once; codes: (rows,), any kind of integer, indices into them."""

    names: tuple[str, ...]
    codes: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: npt.NDArray[Any]) -> Coded:
        return Coded(self.names, self.codes[rows])


Column: TypeAlias = Texts | Coded


@dataclass(frozen=True, slots=True, eq=False)
class CodedEvents(Rows):
    """`models.records.Events` with its texts as numbers."""

    entity_id: Coded
    stage: Coded
    ts: Ints
    value: Floats
    due_on: npt.NDArray[np.int32]
    segment: Coded


class _Places(dict[str, int]):
    """Names to positions; -1 for any other, at the speed of a plain look-up."""

    def __missing__(self, name: str) -> int:
        return -1


def codes_from_names(column: Column, known: Sequence[str]) -> Codes:
    """Position of each text in `known`, -1 where it is not there; (len(column),)."""
    places = _Places(zip(known, range(len(known)), strict=True))
    names = column.names if isinstance(column, Coded) else column.tolist()
    codes = np.fromiter(map(places.__getitem__, names), dtype=np.int64, count=len(names))
    return codes[column.codes] if isinstance(column, Coded) else codes


def distinct(column: Column) -> list[str]:
    """The texts of a column, each once, sorted."""
    if not isinstance(column, Coded):
        return sorted(set(column.tolist()))
    used = np.bincount(column.codes, minlength=len(column.names)) > 0
    return [column.names[code] for code in np.flatnonzero(used)]


def coded(column: Column) -> Coded:
    """The column as numbers, with the names that occur in it."""
    names = distinct(column)
    return Coded(tuple(names), codes_from_names(column, names).astype(np.int32))


def joined(columns: Iterable[Coded]) -> Coded:
    """All rows of the columns, in order, over the names of all of them."""
    columns = list(columns)
    if columns and all(column.names == columns[0].names for column in columns):
        return Coded(columns[0].names, np.concatenate([column.codes for column in columns]))
    names = sorted(set().union(*(column.names for column in columns)))
    places = {name: place for place, name in enumerate(names)}
    codes = [
        np.fromiter(map(places.__getitem__, column.names), dtype=np.int32, count=len(column.names))[column.codes]
        for column in columns
    ]
    return Coded(tuple(names), np.concatenate([np.zeros(0, dtype=np.int32), *codes]))
