"""NDJSON (one object a line) and JSON (one array of objects), both streamed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, BinaryIO

import msgspec
import numpy as np

from models.columns import Problems, text_from_value
from models.errors import InputError, Problem
from service.ingest.chunks import Chunk
from service.ingest.text import expanded, text_blocks

LONGEST_OBJECT = 1 << 20
"""Characters; a longer object is not a row of any table."""
CHUNK_OBJECTS = 5_000
"""Objects held in memory at a time: they take more of it than columns do."""
ARRAY = "send one array of flat objects"
_SPACE = " \t\r\n"
_DUE: dict[str, dict[str, str]] = {
    "array": {"[": "first"},
    "first": {"]": "end"},
    "object": {},
    "comma": {",": "object", "]": "end"},
    "end": {},
}
"""What may stand next in an array, objects apart, and what is due after it."""

MOST_KEYS = 1_000
"""Different keys of one file; more are not columns of any table."""

Row = dict[str, Any]
Placed = tuple[int, Row]


def ndjson_chunks(
    file: BinaryIO, *, max_bytes: int, problems: Problems, chunk_rows: int = CHUNK_OBJECTS
) -> Iterator[Chunk]:
    """Read one JSON object a line; blank lines are passed over, what is no object is added to `problems`.

    Parameters
    ----------
    file
        Can go back to where it stands: it is read twice, first for the keys of all its objects.
    """

    def rows(found: Problems) -> Iterator[Placed]:
        blocks = text_blocks(expanded(file), max_bytes=max_bytes)
        return _rows_of_lines(chain.from_iterable(io.StringIO(text, newline="\n") for text in blocks), found)

    yield from _read_twice(file, rows, problems, chunk_rows)


def json_chunks(
    file: BinaryIO, *, max_bytes: int, problems: Problems, chunk_rows: int = CHUNK_OBJECTS
) -> Iterator[Chunk]:
    """Read one array of objects, likewise twice. Raises InputError where the text stops being JSON."""

    def rows(_: Problems) -> Iterator[Placed]:
        return _rows_of_array(text_blocks(expanded(file), max_bytes=max_bytes, longest_line=None))

    yield from _read_twice(file, rows, problems, chunk_rows)


def _read_twice(
    file: BinaryIO, rows: Callable[[Problems], Iterator[Placed]], problems: Problems, chunk_rows: int
) -> Iterator[Chunk]:
    """A chunk without rows that names all keys of the file, as a header would, and then its rows."""
    start = file.tell()
    names = _keys(rows(Problems()))
    file.seek(start)
    if names:
        yield Chunk({name: [] for name in names}, np.empty(0, dtype=np.int64))
    yield from _chunks(rows(problems), problems, chunk_rows)


def _keys(rows: Iterator[Placed]) -> list[str]:
    """All keys, in the order in which they first appear; InputError when there are more than MOST_KEYS."""
    names: dict[str, None] = {}
    for place, row in rows:
        if not row.keys() <= names.keys():
            names.update(dict.fromkeys(row))
            if len(names) > MOST_KEYS:
                remedy = "send flat objects that share their keys"
                raise InputError(Problem(f"more than {MOST_KEYS:,} different keys up to here", place, remedy=remedy))
    return list(names)


def _rows_of_lines(lines: Iterable[str], problems: Problems) -> Iterator[Placed]:
    decode: Callable[[str], Any] = msgspec.json.Decoder().decode
    for place, line in enumerate(lines, 1):
        try:
            row = decode(line)
        except (msgspec.MsgspecError, RecursionError):
            if not line.strip():
                continue
            row = _decode_leniently(line, place, problems)
        if isinstance(row, dict):
            yield place, row
        elif row is not None or line.strip() == "null":
            problems.add("is no JSON object", line=place, remedy="write one object a line")


def _decode_leniently(line: str, place: int, problems: Problems) -> Any:
    """What the strict decoder refuses: NaN and 1e999 are let through, so that the gate can name their field."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        problems.add(f"is not JSON: {_reason(error)}", line=place, remedy="write one object a line")
        return None


def _rows_of_array(blocks: Iterator[str]) -> Iterator[Placed]:
    """Objects of an array with the line that each begins on, or, where all is on one line, its number."""
    text, at, line, number = "", 0, 1, 0
    due = "array"
    scan = json.JSONDecoder().raw_decode
    while True:
        while at < len(text) and text[at] in _SPACE:
            line += text[at] == "\n"
            at += 1
        row: Row | None = None
        if at < len(text):
            if step := _DUE[due].get(text[at]):
                due, at = step, at + 1
                continue
            _check_due(text[at : at + 20], line, due=due)
            row, end = _scan(scan, text, at, line)
        if row is None:
            more = next(blocks, "")
            if not more and due == "end":
                return
            if not more or len(text) - at > LONGEST_OBJECT:
                _refuse_end(text[at:], line, opened=due != "array")
            text, at = text[at:] + more, 0
            continue
        number += 1
        yield (line if line > 1 else number), row
        line += text.count("\n", at, end)
        at, due = end, "comma"


def _scan(scan: Callable[[str, int], tuple[Any, int]], text: str, at: int, line: int) -> tuple[Row | None, int]:
    """The object that begins here, and where it ends; None when the text ends first."""
    if text[at] != "{":
        raise InputError(Problem(f"{text[at : at + 20]!r} is no JSON object", line, remedy=ARRAY))
    try:
        return scan(text, at)
    except json.JSONDecodeError as error:
        if error.pos >= len(text) - 16 or error.msg.startswith("Unterminated"):
            return None, at  # perhaps only for want of more text
        place = line + text.count("\n", at, error.pos)
        raise InputError(Problem(f"is not JSON: {error.msg}", place, remedy=ARRAY)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(Problem(f"is not JSON: {_reason(error)}", line, remedy=ARRAY)) from error


def _check_due(found: str, line: int, *, due: str) -> None:
    """Raise InputError unless an object may begin here; whatever is no object is `_scan`'s to refuse."""
    if due == "array":
        raise InputError(
            Problem("this JSON is no array", line, remedy="send one array of objects, or one object a line as NDJSON")
        )
    if due == "end":
        remedy = "send one array of flat objects and nothing else, or one object a line as NDJSON"
        raise InputError(Problem(f"{found!r} follows the end of the JSON array", line, remedy=remedy))
    if due == "comma":
        reason = f"is not JSON: {found!r} stands where a comma or the end of the array is due"
        raise InputError(Problem(reason, line, remedy="put one comma between two objects"))
    if found[0] in ",]":
        reason = f"is not JSON: {found[0]!r} stands where an object is due"
        raise InputError(Problem(reason, line, remedy="put one comma between two objects, and none elsewhere"))


def _refuse_end(rest: str, line: int, *, opened: bool) -> None:
    if not opened and not rest:
        raise InputError(Problem("the file is empty", 1, remedy=ARRAY))
    if len(rest) > LONGEST_OBJECT:
        reason = f"an object is longer than {LONGEST_OBJECT:,} characters, or is not JSON"
        raise InputError(Problem(reason, line, remedy=ARRAY))
    raise InputError(Problem("the JSON array is cut short", line, remedy="send the whole array again"))


def _chunks(rows: Iterator[Placed], problems: Problems, chunk_rows: int) -> Iterator[Chunk]:
    """Rows to columns; a key that a row has not is "" there."""
    first = True
    while batch := list(islice(rows, chunk_rows)):
        lines = np.fromiter((place for place, _ in batch), dtype=np.int64, count=len(batch))
        objects = [row for _, row in batch]
        names = dict.fromkeys(objects[0])
        if any(row.keys() != names.keys() for row in objects):
            names = dict.fromkeys(name for row in objects for name in row)
        yield Chunk({name: _texts(name, objects, lines.tolist(), problems) for name in names}, lines)
        first = False
    if first and not problems:
        raise InputError(Problem("the file is empty", 1, remedy="send at least one object"))


def _texts(name: str, rows: Sequence[Row], lines: Sequence[int], problems: Problems) -> list[str]:
    """One key of all rows as texts; an object or a list is no field."""
    values = [row.get(name, "") for row in rows]
    kinds = set(map(type, values))
    if kinds == {str}:
        return values
    if kinds <= {str, int, float, type(None)}:
        return [value if type(value) is str else text_from_value(value) for value in values]
    texts = []
    for value, line in zip(values, lines, strict=True):
        if isinstance(value, dict | list):
            problems.add("holds an object or a list", line=line, field=name[:60], remedy="send one text or number")
            texts.append("")
        else:
            texts.append(str(value).lower() if isinstance(value, bool) else text_from_value(value))
    return texts


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return error.msg if isinstance(error, json.JSONDecodeError) else "a number has too many digits"
