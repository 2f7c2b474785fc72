"""`nearcast scenario`: what if, from the same code as the HTTP route."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated

import typer

from models.errors import InputError, Problem
from models.funnel import TOTAL
from models.levers import Kind
from service.cli.forecast import read_served
from service.cli.options import FunnelOption, JsonOption, open_database, read_settings
from service.cli.output import print_json
from service.cli.tables import print_scenario
from service.scenario import AskedLever, Scenario, scenario_document
from service.store.versions import read_responses
from service.texts import day_from_text

AMOUNT = re.compile(r"(?P<stage>.+)=(?P<amount>[+-]?[0-9]+(?:\.[0-9]+)?)(?P<percent>%?)", re.ASCII)


def scenario(  # noqa: PLR0913, PLR0917 - each is an option of the command
    funnel: FunnelOption,
    inflow: Annotated[list[str] | None, typer.Option(help="lead=+10% or lead=+5 (more per step).")] = None,
    conversion: Annotated[list[str] | None, typer.Option(help="won=+10%: of the share that reaches won.")] = None,
    delay: Annotated[list[str] | None, typer.Option(help="won=+3: reached 3 steps later.")] = None,
    segment: Annotated[str, typer.Option(help="Segment of all levers.")] = TOTAL,
    start: Annotated[str | None, typer.Option(help="First day: YYYY-MM-DD; after the cutoff when left out.")] = None,
    end: Annotated[str | None, typer.Option(help="Last day, inclusive.")] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps; 28 days or 4 weeks when left out.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What would change further down: arithmetic on the estimated rates, not a causal claim."""
    first = day_from_text(start, field="--start") if start else None
    last = day_from_text(end, field="--end") if end else None
    levers = [
        *(lever_from_text("inflow", text) for text in inflow or ()),
        *(lever_from_text("conversion", text) for text in conversion or ()),
        *(lever_from_text("delay", text) for text in delay or ()),
    ]
    if not levers:
        raise InputError(Problem("no lever", remedy="give --inflow lead=+10%, --conversion won=+5% or --delay won=+3"))
    asked = Scenario(tuple(replace(lever, segment=segment, start=first, end=last) for lever in levers), horizon)
    with open_database(read_settings()) as database:
        database.check_schema()
        served = read_served(database, funnel)
        with database.read() as connection:
            packed = read_responses(connection, served.version_id, asked.segments)
    document = scenario_document(served, packed, asked)
    if as_json:
        print_json(document)
    else:
        print_scenario(document)


def lever_from_text(kind: Kind, text: str) -> AskedLever:
    """The lever of `lead=+10%`, `lead=+5` or, of a delay, `won=+3`.

    Raises InputError naming the option.
    """
    match = AMOUNT.fullmatch(text.strip())
    if match is None or (kind == "conversion" and not match["percent"]) or (kind == "delay" and match["percent"]):
        example = {"inflow": "lead=+10% or lead=+5", "conversion": "won=+10%", "delay": "won=+3"}[kind]
        raise InputError(Problem(f"{text[:40]!r} is not a lever", field=f"--{kind}", remedy=f"write {example}"))
    amount = float(match["amount"])
    if kind == "delay":
        if not amount.is_integer():
            raise InputError(Problem("a delay is a whole number of steps", field="--delay", remedy="write won=+3"))
        return AskedLever(kind, match["stage"], days=int(amount))
    if match["percent"]:
        return AskedLever(kind, match["stage"], percent=amount)
    return AskedLever(kind, match["stage"], add=amount)
