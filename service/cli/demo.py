"""`nearcast demo`: from nothing to a served forecast, on a simulated sales funnel with an honest amount of dirt."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from models.errors import InputError, Problem
from service.cli.options import open_database, read_settings
from service.cli.output import LateProgress, print_lines
from service.cli.reading import lines_from_report
from service.cli.tables import print_forecast, print_scorecard
from service.document import forecast_document
from service.ingest import IngestOptions, ingest
from service.retrain import retrain
from service.selection import Selection
from service.store.database import Database

FUNNEL = "demo"
SEED = 20_250_106


def demo(
    directory: Annotated[Path, typer.Option(help="Where the simulated export and its store go.")] = Path(
        "nearcast-demo"
    ),
    days: Annotated[int | None, typer.Option(min=60, max=1500, help="Days of history; 400 when left out.")] = None,
    stop: Annotated[bool, typer.Option("--exit", help="Stop before serving.")] = False,
) -> None:
    """Simulate a five-stage B2B funnel, ingest it, train, print the forecast and the scorecard, then serve."""
    settings = read_settings()
    export = prepare(directory, days=days)
    settings = settings.model_copy(update={"database_url": f"sqlite:///{directory.absolute() / 'nearcast.db'}"})
    with open_database(settings) as database:
        database.migrate()
        train(database, export, fresh_until=exported_at(days))
        show(database)
    if not stop:
        from service.cli.serve import run_server  # noqa: PLC0415 - the server's imports only when it starts

        run_server(settings)


def prepare(directory: Path, *, days: int | None) -> Path:
    """The simulated export, made unless it is there already: a second run finds nothing new.

    Raises InputError when the directory cannot be written.
    """
    from models.simulate import DEMO_DAYS  # noqa: PLC0415 - numeric libraries

    export = directory / f"events-{days or DEMO_DAYS}.csv.gz"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ".gitignore").write_text("*\n")
        if not export.exists():
            write_export(export, days=days or DEMO_DAYS)
    except OSError as error:
        raise InputError(Problem(f"cannot write to {directory}: {error.strerror}", field="--directory")) from error
    return export


def write_export(export: Path, *, days: int) -> None:
    """Simulate, make dirty, and write as a CRM would export it."""
    import numpy as np  # noqa: PLC0415

    from models.simulate import demo_spec, make_dirty, simulate  # noqa: PLC0415

    generator = np.random.default_rng(SEED)
    spec = demo_spec()
    frame = make_dirty(simulate(spec, days=days, seed=generator).events, generator, timezone=spec.timezone)
    partial = export.with_suffix(".partial")
    frame.to_csv(partial, index=False, compression={"method": "gzip", "compresslevel": 3})
    partial.replace(export)
    print_lines([f"simulated {len(frame):,} events of {days} days, dirty on purpose: {export}"])


def exported_at(days: int | None) -> datetime:
    """When the export was made: in the afternoon of its last day, which is therefore partial."""
    from models.simulate import DEMO_DAYS, Dirt, demo_spec  # noqa: PLC0415

    spec = demo_spec()
    last_day = spec.start + timedelta(days=(days or DEMO_DAYS) - 1)
    return datetime.combine(last_day, time(Dirt().last_hour), tzinfo=ZoneInfo(spec.timezone))


def train(database: Database, export: Path, *, fresh_until: datetime) -> None:
    """Ingest the export and retrain; both change nothing when it was done before."""
    from models.simulate import demo_spec  # noqa: PLC0415

    with LateProgress() as progress:
        options = IngestOptions(timezone=demo_spec().timezone, fresh_until=fresh_until)
        report = ingest(database, FUNNEL, export, options=options, progress=lambda rows: progress("reading rows", rows))
    print_lines(lines_from_report(report))
    with LateProgress() as progress:
        result = retrain(database, FUNNEL, now=datetime.now(UTC), progress=progress)
    seconds = sum(phase.seconds for phase in result.phases)
    print_lines([f"trained in {seconds:.1f} s: {result.reason}", ""])


def show(database: Database) -> None:
    """Print the forecast of every series and the scorecard."""
    from service.cli.forecast import read_served  # noqa: PLC0415

    served = read_served(database, FUNNEL)
    print_forecast(forecast_document(served, Selection()))
    print_lines([""])
    print_scorecard(served.scorecard)
