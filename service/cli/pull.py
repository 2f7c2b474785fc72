"""`nearcast pull`: what a database or a folder of files has had since the last pull, into the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from models.errors import InputError, Problem
from service.cli.options import FunnelOption, JsonOption, open_database, read_settings
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
from service.ingest import IngestOptions
from service.pull import FolderSource, PullReport, PullTerms, QuerySource
from service.pull import pull as pull_source
from service.pull.job import OVERLAP
from service.pull.query import URL_VARIABLE
from service.settings import Settings

QueryOption = Annotated[
    str | None, typer.Option(help="SELECT on the database of NEARCAST_PULL_URL, or @file.sql that holds it.")
]
FolderOption = Annotated[Path | None, typer.Option(help="Folder of CSV or Parquet files, in place of a query.")]
WatermarkOption = Annotated[
    str | None, typer.Option(help="Column that rises as rows are written: read on from there; all when left out.")
]
NameOption = Annotated[
    str | None, typer.Option(help="Of this source, where a funnel has several; 'events' or 'counts' when left out.")
]
FullOption = Annotated[bool, typer.Option("--full", help="Read all again, and retract what the source no longer has.")]
OverlapOption = Annotated[
    float, typer.Option(min=0.0, help="Seconds before the watermark read again, for rows committed late.")
]


def pull(  # noqa: PLR0913, PLR0917 - each is an option of the command
    funnel: FunnelOption,
    query: QueryOption = None,
    folder: FolderOption = None,
    watermark: WatermarkOption = None,
    name: NameOption = None,
    full: FullOption = False,
    overlap: OverlapOption = OVERLAP,
    kind: KindOption = KindChoice.events,
    stages: StagesOption = None,
    exits: ExitsOption = None,
    segment_by: SegmentOption = None,
    due_stage: DueOption = None,
    timezone: ZoneOption = None,
    country: CountryOption = None,
    mapping: MapOption = None,
    wide: WideOption = None,
    fresh_until: FreshOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in what a database or a folder has had since the last pull; the source is only read."""
    settings = read_settings()
    options = replace(
        make_options(mapping=mapping, wide=wide, stages=stages, exits=exits, fresh_until=fresh_until),
        segment_by=segment_by,
        due_stage=due_stage,
        timezone=timezone,
        country=country,
        max_bytes=settings.max_expanded_bytes,
    )
    source = make_source(settings, query=query, folder=folder, watermark=watermark, kind=kind, options=options)
    terms = PullTerms(
        name or kind.value,
        kind.value,
        options,
        datetime.now(UTC),
        entities=kind is KindChoice.events and folder is None,
        full=full,
        overlap=overlap,
    )
    with open_database(settings) as database, LateProgress() as progress:
        database.migrate()
        report = pull_source(
            database, funnel, source, terms=terms, progress=lambda rows: progress("reading rows", rows)
        )
    if as_json:
        print_json(report.as_json())
    else:
        print_lines([*lines_from_report(report.upload), line_from_pull(report, watermark)])


def make_source(
    settings: Settings,
    *,
    query: str | None,
    folder: Path | None,
    watermark: str | None,
    kind: KindChoice,
    options: IngestOptions,
) -> QuerySource | FolderSource:
    """What to pull from. Raises InputError unless it is a query or a folder, and for a query there is a URL."""
    if (query is None) == (folder is None):
        raise InputError(Problem("say what to read from", field="--query", remedy="give --query or --folder"))
    if folder is not None:
        return FolderSource(folder, watermark=watermark, max_bytes=options.max_bytes)
    if settings.pull_url is None:
        remedy = f"set {URL_VARIABLE}=postgresql://user:password@host/database"
        raise InputError(Problem("says nowhere which database to read from", field=URL_VARIABLE, remedy=remedy))
    assert query is not None
    by_entity = kind is KindChoice.events and not options.wide
    return QuerySource(
        settings.pull_url.get_secret_value(),
        query_from_text(query),
        watermark=watermark,
        entity=options.mapping.get("entity_id", "entity_id") if by_entity else None,
    )


def query_from_text(text: str) -> str:
    """The query itself, or the content of the file that `@file.sql` names. Raises InputError when there is none."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(Problem(f"cannot read {text[1:]!r}: {reason}", field="--query")) from error


def line_from_pull(report: PullReport, column: str | None) -> str:
    """Where the next pull goes on."""
    if report.watermark is None:
        return f"  {report.name}: the next pull reads all rows again"
    return f"  {report.name}: the next pull goes on at {column or 'the watermark'} {report.watermark['value']}"
