"""`nearcast days`: campaigns, launches and closures from a calendar."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from models.errors import InputError, Problem
from models.wording import worded
from service.cli.options import FunnelOption, JsonOption, open_database, read_settings
from service.cli.output import print_json, print_lines
from service.ingest.declaring import declare_days
from service.store.funnels import declaration_from_funnel

CalendarArgument = Annotated[
    Path, typer.Argument(help="iCalendar (.ics) or JSON with the days to declare.", show_default=False)
]


def days(file: CalendarArgument, funnel: FunnelOption, as_json: JsonOption = False) -> None:
    """Declare the days of a calendar in place of those declared before; the next retrain tries them on past days."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(Problem(f"cannot read {str(file)!r}: {error.strerror}")) from error
    with open_database(read_settings()) as database:
        database.check_schema()
        record = declare_days(database, funnel, content, now=datetime.now(UTC))
    declared = record.funnel.declared_days
    if as_json:
        print_json({"funnel": funnel, "declared_days": declaration_from_funnel(record.funnel)["declared_days"]})
        return
    lines = [f"  {day.start} to {day.end}  {day.name}" for day in declared]
    told = worded("{count} [entry|entries] of the calendar declared in place of those before", len(declared))
    then = (
        "the next retrain tries them on past days and uses them unless they forecast worse, as its message tells; "
        "until then the days before are used, withdrawn ones included"
    )
    print_lines([f"{funnel}: {told}", *lines, then])
