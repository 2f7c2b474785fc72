"""An upload looked at before it is stored: merged as it would be, read off, and rolled back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, NoReturn

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from models.columns import Problems
from models.funnel import Funnel
from service.ingest.intake import Intake
from service.ingest.merging import Terms
from service.ingest.options import IngestOptions, IngestReport
from service.ingest.pipeline import reader_of, take_in
from service.ingest.source import read_chunks
from service.store.database import Database
from service.store.funnels import find_funnel, get_funnel
from service.store.instants import datetime_from_micros
from service.store.shapes import COUNTS, EVENTS
from service.store.uploads import Kind, list_uploads

SAMPLED = 3
"""Texts shown of each column."""
LISTED = 12
"""Segments that are named."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What an upload would do.

    Parameters
    ----------
    funnel
        As it would be declared.
    known
        Whether the funnel is there already.
    stages, segments
        Rows by name; of the segments the LISTED largest.
    first, last
        Earliest and latest time in the rows; None without rows.
    columns
        Our names of columns to the file's, and of a wide table stages to theirs.
    """

    report: IngestReport
    funnel: Funnel
    known: bool
    stages: dict[str, int]
    segments: dict[str, int]
    segment_count: int
    first: datetime | None
    last: datetime | None
    columns: dict[str, str]
    wide: dict[str, str]


class _SeenEnoughError(Exception):
    """Leaves the transaction, so that it is rolled back."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        super().__init__()
        self.rehearsal = rehearsal


def rehearse(
    database: Database, funnel_name: str, source: BinaryIO, *, kind: Kind, options: IngestOptions
) -> Rehearsal:
    """What `ingest` would do with the same arguments; the store stays as it was.

    Takes its turn among the writers, as the upload itself would. Raises as `ingest` does.
    """
    with database.read() as connection:
        known = find_funnel(connection, funnel_name) is not None

    def give_up(connection: Connection, funnel_id: int, intake: Intake) -> NoReturn:
        raise _SeenEnoughError(look(connection, funnel_id, intake, known=known))

    terms = Terms(kind, options, datetime.now(UTC), settle=give_up)
    try:
        take_in(database, funnel_name, reader_of(source, format=None, options=options), terms=terms)
    except _SeenEnoughError as seen:
        return seen.rehearsal
    raise AssertionError("a rehearsal is always given up")


def look(connection: Connection, funnel_id: int, intake: Intake, *, known: bool) -> Rehearsal:
    """Read off what the rows are, before they go."""
    (upload,) = list_uploads(connection, funnel_id, limit=1)
    report = IngestReport(**{**upload.report, "notes": tuple(upload.report["notes"])})
    shape, instant = (EVENTS, "ts") if intake.kind == "events" else (COUNTS, "ds")
    span = connection.execute(
        sa.text(f"SELECT min({instant}), max({instant}), count(DISTINCT segment) FROM {shape.staged}")  # noqa: S608
    ).one()
    listed = connection.execute(
        sa.text(
            f"SELECT segment, count(*) AS n FROM {shape.staged} WHERE segment <> '' "  # noqa: S608
            f"GROUP BY segment ORDER BY n DESC, segment LIMIT {LISTED}"
        )
    )
    segments = {row.segment: int(row.n) for row in listed}
    first, last = (None if micros is None else datetime_from_micros(micros) for micros in span[:2])
    return Rehearsal(
        report=report,
        funnel=get_funnel(connection, report.funnel).funnel,
        known=known,
        stages=dict(intake.sample.rows),
        segments=segments,
        segment_count=int(span[2]) if segments else 0,
        first=first,
        last=last,
        columns=dict(intake.layout.columns),
        wide=dict(intake.layout.wide),
    )


def head_of(source: BinaryIO, *, max_bytes: int) -> dict[str, Sequence[str]]:
    """The file's columns, each with its first texts: at most one chunk of rows.

    Raises InputError for what is no table.
    """
    columns: dict[str, Sequence[str]] = {}
    problems = Problems()
    for chunk in read_chunks(source, format=None, max_bytes=max_bytes, problems=problems, repairs=Counter()):
        columns = dict.fromkeys(columns, ()) | chunk.columns
        if len(chunk.lines):
            break
    return columns
