"""How a run begins: whether it is its turn, the lease, and the due instants it answers; in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from models.errors import FunnelError, NearcastError
from service.schedule import Due
from service.store.funnels import FunnelRecord, due_of, get_funnel, next_due_of, take_due
from service.store.lease import Held, Lease, acquire_lease
from service.store.runs import (
    OPEN,
    fail_silent_runs,
    finish_run,
    get_run,
    list_runs,
    note_due,
    queue_run,
    start_run,
)


class RunEndedError(NearcastError):
    """The run is not there to be run: it has been ended, or taken, by another."""

    slug = "run-ended"


@dataclass(frozen=True, slots=True)
class Started:
    """A run that holds the lease of its funnel.

    Parameters
    ----------
    counts
        What is known of it beforehand.
    activations
        Of the funnel, when it began: another number later, and somebody has chosen what is served.
    missed
        Due instants that it makes up for.
    """

    lease: Lease
    counts: dict[str, int]
    activations: int
    missed: int


@dataclass(frozen=True, slots=True)
class Aside:
    """A run that had nothing to do and has ended; `run_id` None: there was none, it was not its turn."""

    run_id: int | None
    reason: str


def start(
    connection: Connection, name: str, *, now: datetime, length: timedelta, run_id: int | None, if_due: bool
) -> Started | Aside:
    """Begin a run of a funnel, a queued one or a new one; or say why not.

    Raises FunnelNotFoundError, RunEndedError when the queued run is not to be run, and FunnelError when it is asked
    whether a funnel without a schedule is due.
    """
    record = get_funnel(connection, name, lock=True)  # first: what comes after holds its row in other ways
    fail_silent_runs(connection, now=now)
    if if_due and (reason := reason_to_wait(connection, record, now=now)):
        return Aside(None, reason)
    run_id = run_id or queue_run(connection, record.id, now=now).id
    if get_run(connection, run_id).funnel_id != record.id or not start_run(connection, run_id, now=now):
        raise RunEndedError(f"run {run_id} is not a queued run of {name!r}")
    lease = acquire_lease(connection, record.id, run_id, now=now, length=length)
    if isinstance(lease, Held):
        until = f"its lease lasts until {lease.until:%H:%M:%S}Z"
        reason = f"nothing done: run {lease.run_id} is retraining this funnel, {until}"
        finish_run(connection, run_id, status="succeeded", reason=reason, now=now)
        return Aside(run_id, reason)
    answer_due(connection, run_id, take_due(connection, record, now=now))
    counts = get_run(connection, run_id).counts
    return Started(lease, counts, record.activations, counts.get("missed", 0))


def queue_due(connection: Connection, name: str, *, now: datetime) -> int | None:
    """A queued run for what is due of a funnel, dealt with by that; None when nothing is, or a run is under way."""
    record = get_funnel(connection, name, lock=True)
    fail_silent_runs(connection, now=now)
    if record.schedule is None or reason_to_wait(connection, record, now=now):
        return None
    run_id = queue_run(connection, record.id, now=now).id
    answer_due(connection, run_id, take_due(connection, record, now=now))
    return run_id


def answer_due(connection: Connection, run_id: int, due: Due | None) -> None:
    """Write down which due instant a run answers, and how many earlier ones it makes up for."""
    if due is not None:
        note_due(connection, run_id, at=due.at, missed=due.missed)


def reason_to_wait(connection: Connection, record: FunnelRecord, *, now: datetime) -> str | None:
    """Why no scheduled run is to begin now; None when one is due and none is under way."""
    if record.schedule is None:
        raise FunnelError(
            f"funnel {record.name!r} has none, it is never due; declare one: `nearcast ingest --schedule` or PUT",
            field="schedule",
        )
    if due_of(record, now=now) is None:
        coming = next_due_of(record)
        return "never due again" if coming is None else f"not due before {coming:%Y-%m-%d %H:%M}Z"
    going = [run.id for run in list_runs(connection, funnel_id=record.id, limit=10) if run.status in OPEN]
    return f"due, but run {going[0]} is under way" if going else None
