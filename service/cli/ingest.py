"""`nearcast ingest`: a file of events or counts into the store."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer

from service.cli.options import FileArgument, FunnelOption, JsonOption, open_database, read_settings
from service.cli.output import LateProgress, print_json, print_lines
from service.ingest import Format, IngestOptions, IngestReport, pairs_from_text
from service.ingest import ingest as ingest_file
from service.texts import instant_from_text, names_from_text


class KindChoice(StrEnum):
    """What the rows of a file are."""

    events = "events"
    counts = "counts"


class FormatChoice(StrEnum):
    """How a file is written."""

    csv = "csv"
    ndjson = "ndjson"
    json = "json"
    parquet = "parquet"


class GateChoice(StrEnum):
    """What becomes of steps at which the forecast does not beat a naive one."""

    flag = "flag"
    refuse = "refuse"


StagesOption = Annotated[str | None, typer.Option(help="Stages in the order entities reach them: a,b,c.")]
ExitsOption = Annotated[str | None, typer.Option(help="Terminal side exits: x,y.")]
SegmentOption = Annotated[str | None, typer.Option(help="Column that holds the segment; '' for none.")]
DueOption = Annotated[str | None, typer.Option(help="Stage that due_on speaks of.")]
ZoneOption = Annotated[str | None, typer.Option(help="IANA zone in which times without one are read.")]
CountryOption = Annotated[
    str | None, typer.Option(help="Whose public holidays are kept: NL, DE-BY; by the zone, or inferred, when left out.")
]
MapOption = Annotated[str | None, typer.Option("--map", help="Our columns to the file's: entity_id=lead_id,ts=at.")]
WideOption = Annotated[
    str | None, typer.Option(help="Stages to date columns, one row per entity: lead=created_at,won=closed_on.")
]
KindOption = Annotated[KindChoice, typer.Option(help="Whether rows are events or counts.")]
FormatOption = Annotated[FormatChoice | None, typer.Option("--format", help="By the file's ending when left out.")]
GateOption = Annotated[
    GateChoice | None, typer.Option(help="Steps past reliable_until: marked, or refused; 'flag' when left out.")
]
ScheduleOption = Annotated[
    str | None, typer.Option(help="When to retrain, in the funnel's zone, '30 5 * * MON-FRI'; '' for no more.")
]
FreshOption = Annotated[str | None, typer.Option(help="Instant up to which the source is complete; now when left out.")]


def ingest(  # noqa: PLR0913, PLR0917 - each is an option of the command
    file: FileArgument,
    funnel: FunnelOption,
    kind: KindOption = KindChoice.events,
    stages: StagesOption = None,
    exits: ExitsOption = None,
    segment_by: SegmentOption = None,
    due_stage: DueOption = None,
    timezone: ZoneOption = None,
    country: CountryOption = None,
    mapping: MapOption = None,
    wide: WideOption = None,
    data_format: FormatOption = None,
    fresh_until: FreshOption = None,
    gate: GateOption = None,
    schedule: ScheduleOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a file of events or counts into the store; an undeclared funnel is inferred."""
    settings = read_settings()
    options = replace(
        make_options(mapping=mapping, wide=wide, stages=stages, exits=exits, fresh_until=fresh_until),
        segment_by=segment_by,
        due_stage=due_stage,
        timezone=timezone,
        country=country,
        gate=gate.value if gate else None,
        schedule=schedule,
        max_bytes=settings.max_expanded_bytes,
    )
    chosen: Format | None = data_format.value if data_format else None
    with open_database(settings) as database, LateProgress() as progress:
        database.migrate()
        report = ingest_file(
            database,
            funnel,
            file,
            kind=kind.value,
            format=chosen,
            options=options,
            progress=lambda rows: progress("reading rows", rows),
        )
    if as_json:
        print_json(report.as_json())
    else:
        print_lines(lines_from_report(report))


def make_options(
    *, mapping: str | None, wide: str | None, stages: str | None, exits: str | None, fresh_until: str | None = None
) -> IngestOptions:
    """Options that are written as lists, pairs and instants, understood. Raises InputError naming the option."""
    return IngestOptions(
        mapping=pairs_from_text(mapping, field="--map") if mapping else {},
        wide=pairs_from_text(wide, field="--wide") if wide else {},
        stages=names_from_text(stages),
        exits=names_from_text(exits),
        fresh_until=instant_from_text(fresh_until, field="--fresh-until") if fresh_until else None,
    )


def lines_from_report(report: IngestReport) -> list[str]:
    """What became of an upload, for a person."""
    lines = [
        f"{report.funnel}: {report.rows:,} {report.kind} read: {report.inserted:,} new, {report.revised:,} revised, "
        f"{report.unchanged:,} unchanged, {report.duplicates:,} repeated (upload {report.upload})"
    ]
    if report.retracted:
        lines.append(f"retracted: {report.retracted:,} {report.kind} that are stored and not told any more")
    if report.inferred is not None:
        stages = " -> ".join(report.inferred["stages"])
        exits = ", ".join(report.inferred["exits"]) or "none"
        lines.append(f"inferred: stages {stages}; exits {exits}; time zone {report.inferred['timezone']}")
    return [*lines, *(f"  {note}" for note in report.notes)]
