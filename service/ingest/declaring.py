"""Which funnel an upload is about: as declared, as the caller says, or as its rows suggest."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy.engine import Connection

from models.calendar import holidays_of_year
from models.errors import FunnelError
from models.funnel import Funnel, check_declarable
from models.inference import infer_from_journeys, infer_funnel
from service.ingest.days import check_days, days_from_bytes
from service.ingest.intake import Intake
from service.ingest.options import IngestOptions
from service.store.database import Database
from service.store.funnels import FunnelRecord, declare_funnel, get_funnel
from service.store.observations import read_counts, read_events


def propose(intake: Intake, options: IngestOptions) -> tuple[Funnel, tuple[str, ...]]:
    """The funnel of a first upload: what the options say, the rest inferred; and notes on that.

    Raises FunnelError when there are no rows to infer it from, or when it would contradict itself.
    """
    check_country(options.country)
    funnel, notes = _proposed(intake, options)
    funnel = replace(funnel, gate=options.gate or funnel.gate)
    check_declarable(funnel)
    return funnel, notes


def _proposed(intake: Intake, options: IngestOptions) -> tuple[Funnel, tuple[str, ...]]:
    segment_by = intake.layout.segment_by
    if not intake.rows:
        if not options.stages:
            raise FunnelError("there are no rows to infer a funnel from; send some, or name its stages", field="stages")
        exits, timezone = options.exits or (), options.timezone or "UTC"
        return Funnel(options.stages, exits, segment_by, options.due_stage, timezone, country=options.country), ()
    inferred = infer_from_journeys(
        intake.sample.journeys(), intake.sample.volumes, timezone=intake.gate.timezone, segment_by=segment_by
    )
    exits = inferred.funnel.exits if options.exits is None else options.exits
    stages = options.stages
    if stages is None and options.wide:
        stages = tuple(stage for stage in options.wide if stage not in exits)
    notes = inferred.notes
    if stages is not None:
        exits = exits if options.exits is not None else tuple(stage for stage in exits if stage not in stages)
        notes = tuple(note for note in notes if not note.startswith("stages, "))
    else:
        stages = tuple(stage for stage in inferred.funnel.stages if stage not in exits)
    due_stage = options.due_stage or inferred.funnel.due_stage
    if options.due_stage is None and due_stage not in stages:
        due_stage = None
    return replace(inferred.funnel, stages=stages, exits=exits, due_stage=due_stage, country=options.country), notes


def changed(record: FunnelRecord, options: IngestOptions) -> Funnel:
    """The declared funnel with what the options say otherwise.

    Raises FunnelError for what may not be declared, or not any more.
    """
    known = record.funnel
    funnel = replace(
        known,
        stages=known.stages if options.stages is None else options.stages,
        exits=known.exits if options.exits is None else options.exits,
        due_stage=options.due_stage or known.due_stage,
        timezone=options.timezone or known.timezone,
        country=options.country or known.country,
        gate=options.gate or known.gate,
        segment_by=known.segment_by if options.segment_by is None else options.segment_by or None,
    )
    if funnel != known:
        check_timezone_stays(record, funnel.timezone)
        check_declaration(funnel)
    return funnel


def check_declaration(funnel: Funnel) -> None:
    """Raise FunnelError for a funnel that may not be declared, by whichever way it comes."""
    check_declarable(funnel)
    check_country(funnel.country)
    check_days(funnel.declared_days, funnel)


def check_timezone_stays(record: FunnelRecord, timezone: str) -> None:
    """Raise FunnelError for another time zone where stored times were read in the old one."""
    if timezone != record.funnel.timezone and record.naive_times:
        raise FunnelError(
            f"stored times without a zone were read in {record.funnel.timezone}, "
            f"{timezone} would move them; start a new funnel",
            field="timezone",
        )


def check_country(country: str | None) -> None:
    """Raise FunnelError for a country whose holidays are not known."""
    if country is not None:
        holidays_of_year(country, 2020)


def reconsider(connection: Connection, record: FunnelRecord) -> tuple[Funnel, tuple[str, ...]]:
    """Infer the stages of a funnel again, now that more is stored: nothing is served from it yet."""
    inferred = infer_funnel(
        read_events(connection, record.id),
        read_counts(connection, record.id),
        timezone=record.funnel.timezone,
        segment_by=record.funnel.segment_by,
    )
    found = inferred.funnel
    funnel = replace(record.funnel, stages=found.stages, exits=found.exits, due_stage=found.due_stage)
    check_declarable(funnel)
    return funnel, inferred.notes


def declare_days(database: Database, name: str, content: bytes, *, now: datetime) -> FunnelRecord:
    """Put the days of a calendar in the place of those declared; all else stays as it is, also inferred.

    Raises FunnelNotFoundError, and as `service.ingest.days.days_from_bytes`.
    """
    with database.write() as connection:
        record = get_funnel(connection, name)
        days = days_from_bytes(content, funnel=record.funnel)
        funnel = replace(record.funnel, declared_days=days)
        return declare_funnel(connection, name, funnel, now=now, inferred=record.inferred)
