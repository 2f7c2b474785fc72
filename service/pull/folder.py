"""Rows of a folder of CSV or Parquet files, in the order of their names."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from models.errors import InputError, Problem
from service.ingest.chunks import Chunk
from service.ingest.intake import Intake
from service.ingest.source import format_from_name, opened, read_chunks
from service.pull.marks import Highest, Mark, mark_from_text


class FolderSource:
    """All files of a folder whose names end as data does; each is one part of the same table.

    Parameters
    ----------
    watermark
        Column that rises as rows are written: rows before where the last pull ended are passed over.
        None: all rows are read each time.
    max_bytes
        Most bytes to read of one file, after decompression.
    """

    def __init__(self, folder: Path, *, watermark: str | None, max_bytes: int) -> None:
        self._folder = folder
        self._watermark = watermark
        self._max_bytes = max_bytes
        self._highest = Highest(watermark or "", texts=False)
        self._place: str | None = None

    @property
    def identity(self) -> str:
        """By which column it goes on: the folder itself may be mounted elsewhere."""
        return f"{self._watermark or ''}\nfolder"

    @property
    def watermark(self) -> str | None:
        """Column by which it goes on."""
        return self._watermark

    @property
    def highest(self) -> Highest:
        """Of the watermarks read so far."""
        return self._highest

    @property
    def place(self) -> str | None:
        """Name of the file being read."""
        return self._place

    def chunks(self, since: Mark | None, intake: Intake) -> Generator[Chunk]:
        """Rows from `since` on; `lines` are those of each file. Stops after a file with problems."""
        for path in self._files():
            self._place = path.name
            with opened(path) as stream:
                for chunk in read_chunks(
                    stream,
                    format=format_from_name(path),
                    max_bytes=self._max_bytes,
                    problems=intake.problems,
                    repairs=intake.repairs,
                ):
                    yield self._kept(chunk, since)
            if intake.problems:
                return
        self._place = None

    def _files(self) -> list[Path]:
        try:
            found = sorted(path for path in self._folder.iterdir() if path.is_file() and format_from_name(path))
        except OSError as error:
            raise InputError(Problem(f"cannot read {str(self._folder)!r}: {error.strerror}", field="folder")) from error
        if not found:
            reason = f"{str(self._folder)!r} holds no CSV, NDJSON, JSON or Parquet file"
            raise InputError(Problem(reason, field="folder"))
        return found

    def _kept(self, chunk: Chunk, since: Mark | None) -> Chunk:
        """The rows of a chunk at or past `since`, and those without a watermark."""
        if self._watermark is None:
            return chunk
        if self._watermark not in chunk.columns:
            remedy = f"it has {', '.join(chunk.columns)}"
            raise InputError(Problem(f"there is no column {self._watermark!r}", field="watermark", remedy=remedy))
        marks = [self._mark(text, line) for text, line in zip(chunk.columns[self._watermark], chunk.lines, strict=True)]
        self._highest.add(marks)
        if since is None:
            return chunk
        try:
            kept = [row for row, mark in enumerate(marks) if mark is None or mark >= since]  # type: ignore[operator]
        except TypeError:
            reason = f"is of another kind than where the last pull ended ({since})"
            raise InputError(Problem(reason, field=self._watermark, remedy="read all again with --full")) from None
        if len(kept) == len(marks):
            return chunk
        names = chunk.columns.items()
        columns: dict[str, Sequence[str]] = {name: [column[row] for row in kept] for name, column in names}
        return Chunk(columns, chunk.lines[np.array(kept, dtype=np.int64)])

    def _mark(self, text: str, line: int) -> Mark | None:
        try:
            return mark_from_text(text)
        except ValueError:
            reason, remedy = f"{text[:60]!r} is neither a number nor an ISO time", "take a column that rises"
            raise InputError(Problem(reason, line=int(line), field=self._watermark, remedy=remedy)) from None
