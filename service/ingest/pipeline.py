"""Taking in an upload: read and staged without any lock, then merged in one transaction, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from service.ingest.chunks import Chunk
from service.ingest.declaring import changed, propose
from service.ingest.intake import Intake
from service.ingest.merging import Merge, Terms
from service.ingest.options import Format, IngestOptions, IngestReport
from service.ingest.source import format_from_name, opened, read_chunks
from service.schedule import check_schedule
from service.store.database import Database
from service.store.funnels import (
    check_funnel_name,
    find_funnel,
)
from service.store.uploads import Kind


def ingest(
    database: Database,
    funnel_name: str,
    source: str | Path | BinaryIO,
    *,
    kind: Kind = "events",
    format: Format | None = None,  # noqa: A002 - the word of everybody's file dialogs
    options: IngestOptions | None = None,
    now: datetime | None = None,
    progress: Callable[[int], None] | None = None,
) -> IngestReport:
    """Take in one file of events or counts; gzip is recognised.

    Parameters
    ----------
    source
        A path, or a stream of bytes; read once, from beginning to end, in constant memory.
    format
        None: by the path's ending, else by how the file begins.
    now
        The present instant; None: the clock's.
    progress
        Called with the rows read so far, now and then.

    Raises
    ------
    InputError
        With up to 20 problems, each with line and field. The store is as it was.
    FunnelError
        When the funnel cannot be declared as asked, or nothing can be inferred. The store is as it was.
    """
    options = options or IngestOptions()
    read = reader_of(source, format=format, options=options)
    return take_in(database, funnel_name, read, terms=Terms(kind, options, now or datetime.now(UTC)), progress=progress)


def reader_of(
    source: str | Path | BinaryIO,
    *,
    format: Format | None,  # noqa: A002 - as above
    options: IngestOptions,
) -> Callable[[Intake], Generator[Chunk]]:
    """What reads a file for `take_in`."""
    chosen = format or format_from_name(source)

    def read(intake: Intake) -> Generator[Chunk]:
        with opened(source) as stream:
            yield from read_chunks(
                stream,
                format=chosen,
                max_bytes=options.max_bytes,
                problems=intake.problems,
                repairs=intake.repairs,
            )

    return read


def take_in(
    database: Database,
    funnel_name: str,
    read: Callable[[Intake], Generator[Chunk]],
    *,
    terms: Terms,
    progress: Callable[[int], None] | None = None,
) -> IngestReport:
    """Take in the chunks that `read` gives for an intake: checked, staged, then merged in one transaction.

    Raises as `ingest`.
    """
    check_funnel_name(funnel_name)
    if terms.options.schedule:
        check_schedule(terms.options.schedule)
    with database.read() as connection:
        record = find_funnel(connection, funnel_name)
    intake = Intake(terms.kind, terms.options, record, latest=round(terms.now.timestamp() * 1_000_000))
    with closing(read(intake)) as chunks, database.stage() as staging:
        intake.read(chunks, staging, progress=progress)
        funnel, notes = (changed(record, terms.options), ()) if record else propose(intake, terms.options)
        with staging.write() as connection:
            return Merge(connection, staging, intake, terms).run(funnel_name, record, funnel, notes)
