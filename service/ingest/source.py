"""A file of any accepted format as chunks of columns."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO

from models.columns import Problems
from models.errors import InputError, Problem
from service.ingest.chunks import Chunk
from service.ingest.csv_rows import csv_chunks
from service.ingest.options import Format
from service.ingest.text import GZIP_ERRORS, blocks, expanded, gzip_problem, peek

SUFFIXES: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "json",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
PARQUET = b"PAR1"
ZIP = b"PK\x03\x04"


@contextmanager
def opened(source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """The file, open for reading; a stream is handed through and left open.

    Raises InputError for a path that cannot be read.
    """
    if not isinstance(source, str | PurePath):
        yield source
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115 - what fails later is not about this path
    except OSError as error:
        raise InputError(Problem(f"cannot read {str(source)!r}: {error.strerror}")) from error
    with file:
        yield file


def format_from_name(source: object) -> Format | None:
    """The format that a path's ending tells, `.gz` apart; None for others and for streams."""
    if not isinstance(source, str | PurePath):
        return None
    path = PurePath(source)
    return SUFFIXES.get((path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower())


def read_chunks(
    stream: BinaryIO,
    *,
    format: Format | None,  # noqa: A002 - as everywhere
    max_bytes: int,
    problems: Problems,
    repairs: Counter[str],
) -> Iterator[Chunk]:
    """Read a stream, gzip or not; without a `format`, by what it begins with."""
    start = stream.tell() if stream.seekable() else None
    try:
        head, plain = peek(expanded(stream), 512)
    except GZIP_ERRORS as error:
        raise gzip_problem(error, 1) from error
    if head.startswith(ZIP):
        raise InputError(Problem("this is a zip archive or an Excel workbook", remedy="export it as CSV"))
    match format or _format_from_head(head):
        case "csv":
            return csv_chunks(plain, max_bytes=max_bytes, problems=problems, repairs=repairs)
        case "ndjson":
            from service.ingest.json_rows import ndjson_chunks  # noqa: PLC0415 - each format loads what it needs

            return _reread(ndjson_chunks, stream, start, plain, max_bytes=max_bytes, problems=problems)
        case "json":
            from service.ingest.json_rows import json_chunks  # noqa: PLC0415

            return _reread(json_chunks, stream, start, plain, max_bytes=max_bytes, problems=problems)
        case "parquet":
            from service.ingest.parquet_rows import parquet_chunks  # noqa: PLC0415

            return parquet_chunks(plain, max_bytes=max_bytes, problems=problems, repairs=repairs)
    raise InputError(Problem(f"unknown format {format!r}", field="format", remedy="csv, ndjson, json or parquet"))


def _reread(
    read: Callable[..., Iterator[Chunk]],
    stream: BinaryIO,
    start: int | None,
    plain: BinaryIO,
    *,
    max_bytes: int,
    problems: Problems,
) -> Iterator[Chunk]:
    """Read a stream by a reader that goes over it twice; one that cannot go back is laid down in a file first."""
    if start is not None:
        stream.seek(start)
        yield from read(stream, max_bytes=max_bytes, problems=problems)
        return
    with tempfile.TemporaryFile() as file:
        try:
            file.writelines(blocks(plain, max_bytes=max_bytes))
        except GZIP_ERRORS as error:
            raise gzip_problem(error) from error
        file.seek(0)
        yield from read(file, max_bytes=max_bytes, problems=problems)


def _format_from_head(head: bytes) -> Format:
    if head.startswith(PARQUET):
        return "parquet"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return "json" if start == b"[" else "ndjson" if start == b"{" else "csv"
