"""Parquet, read by a child process under a memory limit."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from models.columns import Problems
from models.errors import InputError, Problem
from service.ingest import parquet_child
from service.ingest.chunks import CHUNK_ROWS, Chunk
from service.ingest.csv_rows import csv_chunks
from service.ingest.text import BLOCK, GZIP_ERRORS, blocks, gzip_problem

MEMORY = 1024**3
"""Address space of the child, bytes; pyarrow itself takes about a quarter."""
SECONDS = 600
"""Processor time of the child."""
_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def parquet_chunks(
    stream: BinaryIO, *, max_bytes: int, problems: Problems, repairs: Counter[str], chunk_rows: int = CHUNK_ROWS
) -> Iterator[Chunk]:
    """Read a Parquet file; `lines` are row numbers from 1. Raises InputError when it cannot be read."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file, tempfile.TemporaryFile() as complaint:
        try:
            file.writelines(blocks(stream, max_bytes=max_bytes))
        except GZIP_ERRORS as error:
            raise gzip_problem(error) from error
        file.flush()
        child = _start(file.name, complaint)
        try:
            rows = csv_chunks(
                cast("BinaryIO", child.stdout),
                max_bytes=max_bytes,
                problems=problems,
                repairs=repairs,
                chunk_rows=chunk_rows,
            )
            try:
                for chunk in rows:
                    yield Chunk(chunk.columns, chunk.lines - 1)
            except InputError:
                # A child that failed says better what is wrong than its broken output; one that still
                # writes was stopped by us.
                with suppress(subprocess.TimeoutExpired):
                    _check_ended_well(child, complaint, seconds=1)
                raise
            _check_ended_well(child, complaint, seconds=None)
        finally:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def _start(path: str, complaint: IO[bytes]) -> subprocess.Popen[bytes]:
    program = shutil.which(sys.executable) or sys.executable
    command = [program, "-I", str(Path(parquet_child.__file__)), path, str(MEMORY), str(SECONDS)]
    return subprocess.Popen(  # noqa: S603 - our own program on a file we wrote
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=complaint,
        bufsize=BLOCK,
        env={"PATH": "", "TZ": "UTC", **_ENVIRONMENT},
    )


def _check_ended_well(child: subprocess.Popen[bytes], complaint: IO[bytes], *, seconds: float | None) -> None:
    """Raise InputError with the child's reason, or with what its death means."""
    status = child.wait(seconds)
    if status == 0:
        return
    complaint.seek(0)
    reason = complaint.read().decode(errors="replace").strip()
    if status != parquet_child.UNREADABLE or not reason:
        reason = f"reading it takes more than {MEMORY // 2**20} MiB of memory, or {SECONDS} s"
    raise InputError(Problem(reason, remedy="write it again with smaller row groups, or send CSV"))
