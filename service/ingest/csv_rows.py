"""CSV, strictly: every row has as many fields as the header, and every error has its line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import BinaryIO, Protocol

import numpy as np

from models.columns import Problems
from models.errors import InputError, Problem
from models.records import Ints
from service.ingest.chunks import CHUNK_ROWS, Chunk
from service.ingest.text import text_blocks

DELIMITERS = ",;\t|"
BATCH = 500
"""Rows turned into columns at once: few enough that the garbage collector does not go through them."""
Rows = list[list[str]]


class Reader(Protocol):
    """What csv.reader returns."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


def csv_chunks(
    stream: BinaryIO, *, max_bytes: int, problems: Problems, repairs: Counter[str], chunk_rows: int = CHUNK_ROWS
) -> Iterator[Chunk]:
    """Read CSV whose first line is the header, with the delimiter that the header uses.

    Ragged rows and broken quotes are added to `problems`; rows without any content are passed over and
    counted in `repairs`. Raises InputError for what makes the whole file unreadable.
    """
    lines = _lines(stream, max_bytes)
    first = next(lines, "")
    if not first.strip():
        reason = "the first line is empty" if first else "the file is empty"
        raise InputError(Problem(reason, 1, remedy="begin with a header that names the columns"))
    reader = csv.reader(chain([first], lines), delimiter=max(DELIMITERS, key=first.count), strict=True)
    names = _header(reader)
    yield Chunk({name: [] for name in names}, np.empty(0, dtype=np.int64))
    columns: list[list[str]] = [[] for _ in names]
    places: list[Ints] = []
    for rows, starts in _batches(reader, len(names), problems, repairs):
        for column, texts in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(texts)
        places.append(starts)
        if len(columns[0]) >= chunk_rows:
            yield Chunk(dict(zip(names, columns, strict=True)), np.concatenate(places))
            columns, places = [[] for _ in names], []
    if places:
        yield Chunk(dict(zip(names, columns, strict=True)), np.concatenate(places))


def _batches(reader: Reader, width: int, problems: Problems, repairs: Counter[str]) -> Iterator[tuple[Rows, Ints]]:
    """Usable rows and where each begins, BATCH rows at a time; ends at broken quotes."""
    broken: csv.Error | None = None
    while not broken:
        line = reader.line_num + 1
        rows: Rows = []
        try:
            rows.extend(islice(reader, BATCH))
        except csv.Error as error:
            broken = error
        if not rows and not broken:
            return
        starts = _starts(rows, line, consumed=None if broken else reader.line_num + 1 - line)
        if broken:
            _add_broken(broken, int(starts[-1]), problems)
        rows, starts = _usable(rows, starts[:-1], width, problems, repairs)
        if rows:
            yield rows, starts


def _lines(stream: BinaryIO, max_bytes: int) -> Iterator[str]:
    """Lines with their ends; only "\\n" ends one, so that a quoted U+2028 or form feed stays what it is."""
    return chain.from_iterable(io.StringIO(text, newline="\n") for text in text_blocks(stream, max_bytes=max_bytes))


def _header(reader: Iterator[list[str]]) -> list[str]:
    """Names of the columns: trimmed, distinct, one invented where there is none."""
    try:
        row = next(reader)
    except csv.Error as error:
        problems = Problems()
        _add_broken(error, 1, problems)
        raise problems.error() from error
    names = [name.strip() or f"column {place}" for place, name in enumerate(row, 1)]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(
            Problem("the header names this column more than once", 1, repeated[0][:60], "give each column its own name")
        )
    return names


def _starts(rows: Rows, line: int, *, consumed: int | None) -> Ints:
    """Line at which each row begins, and the one behind them; a quoted field may hold line ends."""
    if consumed == len(rows):
        return np.arange(line, line + len(rows) + 1, dtype=np.int64)
    heights = [1 + sum(field.count("\n") for field in row) for row in rows]
    return np.cumsum([line, *heights], dtype=np.int64)


def _usable(rows: Rows, starts: Ints, width: int, problems: Problems, repairs: Counter[str]) -> tuple[Rows, Ints]:
    """Rows of the right width that hold something; the others become problems, or are counted."""
    if all(map(any, rows)) and set(map(len, rows)) <= {width}:
        return rows, starts
    kept = []
    for place, row in enumerate(rows):
        if not any(row):
            repairs["empty_row"] += bool(row)  # a blank line has no fields and is not worth a word
        elif len(row) != width:
            problems.add(
                f"the row has {len(row)} fields, the header has {width}",
                line=starts[place],
                remedy="put text that holds the delimiter or a line end in double quotes",
            )
        else:
            kept.append(place)
    return [rows[place] for place in kept], starts[kept]


def _add_broken(error: csv.Error, line: int, problems: Problems) -> None:
    message = str(error)
    if "unexpected end" in message or "field limit" in message:
        problems.add("a quote is opened and not closed", line=line, remedy='close it, or write a quote in text as ""')
    elif "new-line" in message:
        problems.add("a carriage return inside a row", line=line, remedy="end lines with LF or CRLF, and quote others")
    else:
        problems.add(f"broken quotes: {message}", line=line, remedy='write a quote inside quoted text as ""')
