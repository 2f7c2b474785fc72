"""How rows are read: the options that `ingest`, `pull` and `backtest` share, and what is said of an upload."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from models.wording import worded
from service.ingest import IngestOptions, IngestReport, pairs_from_text
from service.texts import instant_from_text, names_from_text


class KindChoice(StrEnum):
    """What the rows of a file are."""

    events = "events"
    counts = "counts"


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
FreshOption = Annotated[str | None, typer.Option(help="Instant up to which the source is complete; now when left out.")]


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
    rows = worded("{count:,} [{one}|{one}s] read", report.rows, one=report.kind.removesuffix("s"))
    lines = [
        f"{report.funnel}: {rows}: {report.inserted:,} new, {report.revised:,} revised, "
        f"{report.unchanged:,} unchanged, {report.duplicates:,} repeated (upload {report.upload})"
    ]
    if report.retracted:
        text = "retracted: {count:,} [{one} that is|{one}s that are] stored and not told any more"
        lines.append(worded(text, report.retracted, one=report.kind.removesuffix("s")))
    if report.inferred is not None:
        stages = " -> ".join(report.inferred["stages"])
        exits = ", ".join(report.inferred["exits"]) or "none"
        lines.append(f"inferred: stages {stages}; exits {exits}; time zone {report.inferred['timezone']}")
    return [*lines, *(f"  {note}" for note in report.notes)]
