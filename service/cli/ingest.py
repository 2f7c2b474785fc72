"""`nearcast ingest`: a file of events or counts into the store."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer

from service.cli.options import FileArgument, FunnelOption, JsonOption, open_database, read_settings
from service.cli.output import LateProgress, print_json, print_lines
from service.cli.reading import (
    CountryOption,
    DueOption,
    ExitsOption,
    FreshOption,
    KindChoice,
    KindOption,
    MapOption,
    SegmentOption,
    StagesOption,
    WideOption,
    ZoneOption,
    lines_from_report,
    make_options,
)
from service.ingest import Format
from service.ingest import ingest as ingest_file


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


FormatOption = Annotated[FormatChoice | None, typer.Option("--format", help="By the file's ending when left out.")]
GateOption = Annotated[
    GateChoice | None, typer.Option(help="Steps past reliable_until: marked, or refused; 'flag' when left out.")
]
ScheduleOption = Annotated[
    str | None, typer.Option(help="When to retrain, in the funnel's zone, '30 5 * * MON-FRI'; '' for no more.")
]


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
