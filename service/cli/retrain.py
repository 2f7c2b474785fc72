"""`nearcast retrain`: train a funnel on what has been recorded, and serve the result."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from service.cli.options import FunnelOption, JsonOption, open_database, read_settings
from service.cli.output import LateProgress, print_json, print_lines
from service.logs import run_id as logged_run
from service.logs import set_up_logging
from service.retrain import RunResult
from service.retrain import retrain as retrain_funnel


class WorkersChoice(StrEnum):
    """Where series are fitted."""

    inline = "inline"
    process = "process"


def retrain(
    funnel: FunnelOption,
    workers: Annotated[WorkersChoice | None, typer.Option(help="NEARCAST_WORKERS otherwise.")] = None,
    run: Annotated[int | None, typer.Option(help="A queued run to carry out.", hidden=True)] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a funnel on all that has been recorded; the new version is served at once."""
    settings = read_settings()
    set_up_logging(settings.log_level if run is not None else "warning")
    if run is not None:
        logged_run.set(str(run))
    with open_database(settings) as database, LateProgress() as progress:
        database.check_schema()
        result = retrain_funnel(
            database,
            funnel,
            now=datetime.now(UTC),
            workers=workers.value if workers else settings.workers,
            processes=settings.processes,
            run_id=run,
            progress=progress,
        )
    if as_json:
        print_json(document_from_result(funnel, result))
    else:
        seconds = sum(phase.seconds for phase in result.phases)
        served = f"version {result.version.number} is served" if result.version else "no new version"
        print_lines([f"{funnel}: {served} after {seconds:.1f} s: {result.reason}"])


def document_from_result(funnel: str, result: RunResult) -> dict[str, Any]:
    """The outcome of a run as JSON."""
    return {
        "run": result.run_id,
        "funnel": funnel,
        "status": result.status,
        "reason": result.reason,
        "version": result.version.number if result.version else None,
        "phases": [{"name": phase.name, "seconds": round(phase.seconds, 3)} for phase in result.phases],
        "counts": result.counts,
    }
