"""`nearcast serve`: the HTTP API."""

from __future__ import annotations

import logging
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import read_settings
from service.cli.output import print_lines
from service.front import Front
from service.logs import set_up_logging
from service.server import make_server
from service.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI


logger = logging.getLogger("nearcast.serve")


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; NEARCAST_HOST otherwise.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for any; NEARCAST_PORT otherwise.")] = None,
    with_jobs: Annotated[
        bool | None, typer.Option("--with-jobs", help="Also start the retrains that are due; NEARCAST_WITH_JOBS.")
    ] = None,
) -> None:
    """Serve the HTTP API until told to stop."""
    said = {"host": host, "port": port, "with_jobs": with_jobs}
    run_server(read_settings().model_copy(update={name: value for name, value in said.items() if value is not None}))


def run_server(settings: Settings) -> None:
    """Serve until told to stop; what happens is logged on standard error.

    Raises what keeps the app from being loaded: DatabaseUrlError, SchemaError.
    """
    set_up_logging(settings.log_level)
    if settings.auth == "none" and not is_loopback(settings.host):
        logger.warning(
            "whoever reaches this port may read and change everything; NEARCAST_AUTH=keys asks for keys",
            extra={"host": settings.host, "port": settings.port},
        )
    print_lines([f"serving on http://{settings.host}:{settings.port}/ until Ctrl-C"])

    def load() -> FastAPI:
        from service.app import make_app  # noqa: PLC0415 - most of the time a start takes; we listen meanwhile

        return make_app(settings)

    front = Front(load)
    server = make_server(front, settings=settings)
    front.on_error = lambda: setattr(server, "should_exit", True)
    server.run()
    if front.error is not None:
        raise front.error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
