"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from models.errors import InputError, Problem
from models.funnel import Measure
from service.settings import Settings

if TYPE_CHECKING:
    from service.store.database import Database

FunnelOption = Annotated[str, typer.Option("--funnel", help="Name of the funnel.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]
MeasureOption = Annotated[Measure, typer.Option("--measure", help="How many, or what they are worth.")]
FileArgument = Annotated[Path, typer.Argument(help="CSV (also .gz), NDJSON, JSON or Parquet.", show_default=False)]


def read_settings() -> Settings:
    """Settings from the environment.

    Raises InputError naming each variable that cannot be used.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise InputError(
            [
                Problem(found["msg"], field=f"NEARCAST_{'_'.join(map(str, found['loc'])).upper()}")
                for found in error.errors(include_input=False, include_url=False)
            ]
        ) from None


def open_database(settings: Settings) -> Database:
    """The store of `settings`; nothing is connected to yet."""
    from service.store.database import Database  # noqa: PLC0415 - `serve` listens before it loads the store

    return Database(settings.database_url, timeout=settings.store_timeout)
