"""`nearcast forecast`: what is served, from the same code as the HTTP route."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.options import (
    FunnelOption,
    JsonOption,
    MeasureOption,
    open_database,
    read_settings,
)
from service.cli.output import print_json
from service.cli.tables import print_forecast
from service.document import forecast_document
from service.selection import Selection, levels_from_text
from service.serving import Served, load_served
from service.store.database import Database
from service.store.errors import VersionNotFoundError
from service.store.funnels import get_funnel
from service.store.versions import get_version, version_as_of
from service.texts import instant_from_text


def forecast(
    funnel: FunnelOption,
    stage: Annotated[list[str] | None, typer.Option(help="Stage; may be given again. All when left out.")] = None,
    segment: Annotated[list[str] | None, typer.Option(help="Segment; may be given again. All when left out.")] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps; 28 days or 4 weeks when left out.")] = None,
    level: Annotated[str, typer.Option(help="Central percents.")] = "80,95",
    measure: MeasureOption = "count",
    as_of: Annotated[
        str | None, typer.Option(help="The newest version published by this instant: 2012-02-01T00:00Z.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the published forecast."""
    selection = Selection(tuple(stage or ()), tuple(segment or ()), horizon, levels_from_text(level), measure)
    with open_database(read_settings()) as database:
        database.check_schema()
        served = read_served(database, funnel, as_of=as_of)
    document = forecast_document(served, selection)
    if as_json:
        print_json(document)
    else:
        print_forecast(document)


def read_served(database: Database, funnel: str, *, as_of: str | None = None) -> Served:
    """The version that is served, or was as of an instant, from the store.

    Raises FunnelNotFoundError, or VersionNotFoundError when nothing is published.
    """
    with database.read() as connection:
        record = get_funnel(connection, funnel)
        if as_of is not None:
            version = version_as_of(connection, record.id, instant_from_text(as_of, field="--as-of"))
        elif record.active_version_id is not None:
            version = get_version(connection, record.active_version_id)
        else:
            version = None
        if version is None:
            when = f" had no published forecast as of {as_of}" if as_of else " has no published forecast yet; "
            raise VersionNotFoundError(f"{funnel!r}{when}{'' if as_of else 'run `nearcast retrain`'}")
        return load_served(connection, record, version)
