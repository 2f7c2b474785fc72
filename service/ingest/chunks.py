"""A file as chunks of columns: the one shape that all formats are read into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CHUNK_ROWS = 25_000
"""Rows held in memory at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some rows of a file.

    columns
        Texts by the file's own column names, "" where there is nothing.
    lines
        int64 (rows,), where each row begins; lines of a file count from 1.
    """

    columns: dict[str, Sequence[str]]
    lines: npt.NDArray[np.int64]
