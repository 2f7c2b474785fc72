"""Runs alone, in a child process under a memory limit: a Parquet file to CSV on standard output.

A forged file of a few hundred bytes can make a Parquet reader take all memory, so none is opened in the
process that serves. Needs pyarrow and nothing else of this project: it is started by its path.
Failure: exit status 3 and a reason on standard error.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import Any

UNREADABLE = 3


def main(path: str, memory: int, seconds: int) -> None:
    """Write the file's plain columns as CSV, all as text; columns of lists, structs or bytes are left out."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        import pyarrow as pa  # noqa: PLC0415 - within the limits just set
        from pyarrow import csv, parquet  # noqa: PLC0415
    except ImportError:
        _fail("reading Parquet needs the extra: pip install 'nearcast[parquet]'")
    pa.set_cpu_count(1)
    try:
        with parquet.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
            names = [field.name for field in file.schema_arrow if _is_plain(pa, field.type)]
            schema = pa.schema([(name, pa.string()) for name in names])
            with csv.CSVWriter(sys.stdout.buffer, schema) as writer:
                for batch in file.iter_batches(batch_size=25_000, columns=names, use_threads=False):
                    texts = [_texts(pa, batch.column(name)) for name in names]
                    writer.write_batch(pa.record_batch(texts, schema=schema))
    except (pa.ArrowMemoryError, MemoryError):
        _fail(f"reading it takes more than {memory // 2**20} MiB of memory")
    except (pa.ArrowException, OSError, ValueError) as error:
        _fail(f"it cannot be read as Parquet: {str(error).splitlines()[0][:200]}")


def _is_plain(pa: Any, kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _texts(pa: Any, column: Any) -> Any:
    """A column as text; instants in UTC, whole microseconds."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        zone = "UTC" if column.type.tz else None
        column = column.cast(pa.timestamp("us", zone), safe=False)
    return column.cast(pa.string())


def _fail(reason: str) -> None:
    sys.stderr.write(reason)
    sys.stderr.flush()
    os._exit(UNREADABLE)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
