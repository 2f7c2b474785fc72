"""One pull: read on from where the last one ended, merge, and remember the new end in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy.engine import Connection

from models.errors import FunnelError, InputError, Problem
from service.ingest.chunks import Chunk
from service.ingest.intake import Intake
from service.ingest.merging import Terms, Whole
from service.ingest.options import IngestOptions, IngestReport
from service.ingest.pipeline import take_in
from service.pull.marks import Highest, Mark, capped, json_from_mark, lowered, mark_from_json
from service.store.database import Database
from service.store.funnels import find_funnel
from service.store.pulls import PullRecord, list_pulls, save_pull
from service.store.uploads import Kind

OVERLAP = 300.0
"""Seconds before the watermark that are read again: a row may be committed later than its time says."""


class Source(Protocol):
    """What can be pulled from."""

    @property
    def identity(self) -> str:
        """What is read: another identity is another source."""

    @property
    def watermark(self) -> str | None:
        """Column by which it goes on; None: it is read whole each time."""

    @property
    def highest(self) -> Highest:
        """Of the watermarks read so far."""

    @property
    def place(self) -> str | None:
        """Where it is being read: the name of a file."""

    def chunks(self, since: Mark | None, intake: Intake) -> Generator[Chunk]:
        """Rows from `since` on, that value included."""


@dataclass(frozen=True, slots=True)
class PullReport:
    """What became of a pull: from where it read, up to where, and what the merge says."""

    name: str
    since: dict[str, str] | None
    watermark: dict[str, str] | None
    upload: IngestReport

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"name": self.name, "since": self.since, "watermark": self.watermark, **self.upload.as_json()}


@dataclass(frozen=True, slots=True)
class PullTerms:
    """How to pull.

    Parameters
    ----------
    name
        Of the source, within the funnel: it is what the watermark is remembered under.
    entities
        Whether the source gives all rows of each entity it gives any of.
    full
        Read from the beginning, and retract what the source no longer has.
    overlap
        Seconds before the watermark that are read again.
    """

    name: str
    kind: Kind
    options: IngestOptions
    now: datetime
    entities: bool
    full: bool = False
    overlap: float = OVERLAP


def pull(
    database: Database,
    funnel_name: str,
    source: Source,
    *,
    terms: PullTerms,
    progress: Callable[[int], None] | None = None,
) -> PullReport:
    """Take in what a source has had since the last pull; nothing changes when it is run again.

    Raises
    ------
    InputError
        As `ingest`, and when the name belongs to another source, or a stage to another name.
    FunnelError
        As `ingest`, and when another pull of the same source ended meanwhile.
    """
    known = _records(database, funnel_name)
    record = known.get(terms.name)
    if record is not None and not terms.full:
        _check_same(record, source, terms)
    since = None if record is None or terms.full else mark_from_json(record.watermark)
    reached: list[dict[str, str] | None] = []

    def settle(connection: Connection, funnel_id: int, intake: Intake) -> None:
        others = {each.name: each for each in list_pulls(connection, funnel_id)}
        if others.pop(terms.name, None) != record:
            raise FunnelError(f"another pull of {terms.name!r} ended while this one read; run it again")
        stages = tuple(dict.fromkeys((*(record.stages if record else ()), *intake.sample.rows)))
        _check_stages(stages, [each for each in others.values() if each.kind == terms.kind])
        if terms.full and not intake.rows:
            reason, remedy = "the source has no rows: all that it gave would be retracted", "look at the source"
            raise InputError(Problem(reason, remedy=remedy))
        read = source.highest
        same = record is not None and record.source == source.identity  # of another column it would mean nothing
        mark = json_from_mark(capped(read.mark, lowest=read.lowest, now=terms.now)) or (
            record.watermark if record and same else None
        )
        reached.append(mark)
        save_pull(
            connection,
            funnel_id,
            PullRecord(terms.name, terms.kind, source.identity, mark, stages),
            now=terms.now,
        )

    whole = Whole(record.stages if record else (), absent=terms.full) if terms.entities or terms.full else None
    start = lowered(since, seconds=terms.overlap)
    try:
        report = take_in(
            database,
            funnel_name,
            lambda intake: source.chunks(start, intake),
            terms=Terms(terms.kind, terms.options, terms.now, whole=whole, settle=settle, watermark=source.watermark),
            progress=progress,
        )
    except InputError as error:
        raise _placed(error, source.place) from error
    return PullReport(terms.name, json_from_mark(since), reached[0], report)


def _records(database: Database, funnel_name: str) -> dict[str, PullRecord]:
    with database.read() as connection:
        funnel = find_funnel(connection, funnel_name)
        return {} if funnel is None else {each.name: each for each in list_pulls(connection, funnel.id)}


def _check_same(record: PullRecord, source: Source, terms: PullTerms) -> None:
    """A watermark means nothing for another query."""
    if (record.source, record.kind) != (source.identity, terms.kind):
        reason = f"{record.name!r} was pulled by another query, watermark column or kind before"
        remedy = "read all again with --full, or give this source a --name of its own"
        raise InputError(Problem(reason, field="name", remedy=remedy))


def _check_stages(stages: tuple[str, ...], others: Iterable[PullRecord]) -> None:
    """What one source no longer has is retracted: another must not tell of the same stages."""
    for other in others:
        if both := sorted(set(stages) & set(other.stages)):
            reason = f"stage {both[0]!r} comes from {other.name!r} already"
            remedy = "join the two in one query, or leave the stage out of one"
            raise InputError(Problem(reason, field="name", remedy=remedy))


def _placed(error: InputError, place: str | None) -> InputError:
    """The same problems, each with the name of its file."""
    if place is None:
        return error
    return InputError([replace(each, reason=f"{place}: {each.reason}") for each in error.problems])
