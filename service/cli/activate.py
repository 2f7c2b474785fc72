"""`nearcast activate`: serve another version of a funnel, published earlier."""

from __future__ import annotations

from typing import Annotated

import typer

from models.funnel import changed_settings
from service.cli.options import FunnelOption, JsonOption, open_database, read_settings
from service.cli.output import print_json, print_lines
from service.document import note_on_activation
from service.store.funnels import get_funnel
from service.store.versions import activate_version


def activate(
    funnel: FunnelOption,
    version: Annotated[int, typer.Option(help="Number of the version, as `nearcast status` and the API tell it.")],
    as_json: JsonOption = False,
) -> None:
    """Serve a version published earlier (roll back); servers follow in moments, the next retrain continues from it."""
    with open_database(read_settings()) as database:
        database.check_schema()
        with database.write() as connection:
            record = get_funnel(connection, funnel)
            activated = activate_version(connection, record.id, version)
    note = note_on_activation(activated, record.funnel)
    if as_json:
        changed = changed_settings(activated.funnel, record.funnel)
        document = {"funnel": funnel, "version": activated.number, "cutoff": activated.cutoff}
        print_json({**document, "changed_settings": changed, "note": note})
    else:
        served = f"{funnel}: version {activated.number} is served, observed until {activated.cutoff}"
        print_lines([served, *([note] if note else [])])
