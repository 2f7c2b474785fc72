"""`nearcast retrain`: train a funnel on what has been recorded, and serve the result; or all that are due."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from models.errors import InputError, NearcastError, Problem
from service.cli.options import JsonOption, open_database, read_settings
from service.cli.output import LateProgress, print_json, print_lines, print_problem, problem_in_full
from service.logs import run_id as logged_run
from service.logs import set_up_logging
from service.problems import ProblemError
from service.retrain import RunResult
from service.retrain import retrain as retrain_funnel
from service.settings import Settings
from service.store.database import Database
from service.store.funnels import list_funnels
from service.workers import pool_from_settings

logger = logging.getLogger(__name__)

GARBAGE = 100_000
"""Objects made between two searches for garbage: what a run makes is none, and every 700, as usual, is often."""


class WorkersChoice(StrEnum):
    """Where series are fitted."""

    inline = "inline"
    process = "process"
    dask = "dask"


def retrain(
    funnel: Annotated[str | None, typer.Option(help="Name of the funnel; may be left out with --if-due: all.")] = None,
    if_due: Annotated[
        bool, typer.Option("--if-due", help="Only when the funnel's schedule says so and no run is under way.")
    ] = False,
    workers: Annotated[WorkersChoice | None, typer.Option(help="NEARCAST_WORKERS otherwise.")] = None,
    dask_address: Annotated[
        str | None, typer.Option(help="Of a Dask scheduler, tcp://host:8786; NEARCAST_DASK_ADDRESS otherwise.")
    ] = None,
    run: Annotated[int | None, typer.Option(help="A queued run to carry out.", hidden=True)] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a funnel on all that has been recorded; the new version is served at once."""
    gc.set_threshold(GARBAGE)
    settings = read_settings()
    if dask_address is not None:
        settings = settings.model_copy(update={"workers": "dask", "dask_address": dask_address})
    if workers is not None:
        settings = settings.model_copy(update={"workers": workers.value})
    if funnel is None and not if_due:
        raise InputError(Problem("is missing", field="--funnel", remedy="name a funnel, or say --if-due for all"))
    set_up_logging(settings.log_level if run is not None else "warning")
    if run is not None:
        logged_run.set(run)
    with nullcontext() if run is None else failure_logged(), open_database(settings) as database:
        database.check_schema()
        if funnel is None:
            retrain_all(database, settings, as_json=as_json)
            return
        result = retrain_one(database, settings, funnel, if_due=if_due, run_id=run)
    if as_json:
        print_json(document_from_result(funnel, result))
    else:
        print_lines(lines_from_result(funnel, result))


@contextmanager
def failure_logged() -> Iterator[None]:
    """Why a run that a server started has failed, as a line of the log: there it has the run's id, and what the driver
    says of a store that is away, which the run's own reason leaves out.
    """
    try:
        yield
    except NearcastError as error:
        problem = problem_in_full(error)
        logger.warning("the run failed", extra={"reason": problem.detail})
        sys.exit(2 if problem.status < 500 else 1)
    except Exception:
        logger.exception("the run failed")
        sys.exit(1)


def retrain_one(
    database: Database, settings: Settings, funnel: str, *, if_due: bool, run_id: int | None = None
) -> RunResult:
    """One run, with a progress bar; raises as `service.retrain.retrain`."""
    with LateProgress() as progress:
        return retrain_funnel(
            database,
            funnel,
            now=datetime.now(UTC),
            pool=pool_from_settings(settings),
            run_id=run_id,
            if_due=if_due,
            progress=progress,
            lease=timedelta(seconds=settings.lease_seconds),
        )


def retrain_all(database: Database, settings: Settings, *, as_json: bool) -> None:
    """Every funnel that is due, one after the other; one that fails does not keep the next from its turn."""
    with database.read() as connection:
        names = [record.name for record in list_funnels(connection) if record.schedule is not None]
    documents, failed = [], set()
    for name in names:
        try:
            result = retrain_one(database, settings, name, if_due=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the run's reason, and the others take place
            problem = problem_of(error)
            print_problem(problem, as_json=as_json)
            failed.add(2 if problem.status < 500 else 1)
            continue
        documents.append(document_from_result(name, result))
        if not as_json:
            print_lines(lines_from_result(name, result))
    if as_json:
        print_json({"funnels": documents})
    elif not names:
        print_lines(["no funnel has a schedule; declare one with `nearcast ingest --schedule` or PUT"])
    if failed:
        sys.exit(min(failed))  # 1, the machine or us, is worse than 2, the input


def problem_of(error: Exception) -> ProblemError:
    """What is told of a failed run."""
    if isinstance(error, NearcastError):
        return problem_in_full(error)
    return ProblemError(500, "internal", f"{type(error).__name__}: {error}")


def lines_from_result(funnel: str, result: RunResult) -> list[str]:
    """The outcome of a run, for a person; below it whose holidays are kept, when those were not declared."""
    if result.run_id is None:
        return [f"{funnel}: {result.reason}"]
    seconds = sum(phase.seconds for phase in result.phases)
    served = f"version {result.version.number} is served" if result.version else "no new version"
    lines = [f"{funnel}: {served} after {seconds:.1f} s: {result.reason}"]
    if result.version and result.version.quality["holidays"] != result.version.calendar:
        lines.append(f"  {result.version.quality['holidays']}")
    return lines


def document_from_result(funnel: str, result: RunResult) -> dict[str, Any]:
    """The outcome of a run as JSON; `run` is null when it was not its turn."""
    return {
        "run": result.run_id,
        "funnel": funnel,
        "status": result.status,
        "reason": result.reason,
        "version": result.version.number if result.version else None,
        "phases": [{"name": phase.name, "seconds": round(phase.seconds, 3)} for phase in result.phases],
        "counts": result.counts,
    }
