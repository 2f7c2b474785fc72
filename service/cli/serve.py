"""`nearcast serve`: the HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer

from service.app import make_app
from service.cli.options import read_settings
from service.cli.output import print_lines
from service.logs import set_up_logging
from service.server import make_server
from service.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; NEARCAST_HOST otherwise.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for any; NEARCAST_PORT otherwise.")] = None,
) -> None:
    """Serve the HTTP API until told to stop."""
    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    run_server(read_settings().model_copy(update=changes))


def run_server(settings: Settings) -> None:
    """Serve until told to stop; what happens is logged on standard error."""
    set_up_logging(settings.log_level)
    print_lines([f"serving on http://{settings.host}:{settings.port}/ until Ctrl-C"])
    make_server(make_app(settings), settings=settings).run()
