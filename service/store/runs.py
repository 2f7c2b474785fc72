"""Runs of the retrain job: queued, running, and always ended, with phases and a reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from service.store.errors import RunNotFoundError
from service.store.instants import datetime_from_micros, micros_from_datetime
from service.store.tables import funnels, leases, runs

Status = Literal["queued", "running", "succeeded", "failed"]
OPEN: tuple[Status, ...] = ("queued", "running")
"""States that a run does not end in."""
SILENCE = timedelta(seconds=60)
"""A run that has not reported for this long, and holds no lease any more, has died."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a run, and how long it took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the retrain job.

    Parameters
    ----------
    reason
        Why it ended; None while it has not.
    counts
        What it dealt with: rows, series, forecasts.
    version_id
        What it published; None when there was nothing new, or it failed.
    due_at
        The due instant of the funnel's schedule that it answers; None when somebody asked for it.
    heartbeat_at
        When it last reported.
    """

    id: int
    funnel_id: int
    funnel: str
    status: Status
    reason: str | None
    phases: tuple[Phase, ...]
    counts: dict[str, int]
    version_id: int | None
    due_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime


def queue_run(connection: Connection, funnel_id: int, *, now: datetime, counts: Mapping[str, int] | None = None) -> Run:
    """A new run, to be started by a job; `counts` are known beforehand."""
    instant = micros_from_datetime(now)
    row = {"funnel_id": funnel_id, "status": "queued", "phases": [], "counts": dict(counts or {})}
    made = sa.insert(runs).values(**row, created_at=instant, heartbeat_at=instant).returning(runs.c.id)
    return get_run(connection, connection.execute(made).scalar_one())


def start_run(connection: Connection, run_id: int, *, now: datetime) -> bool:
    """Take a queued run; False when it is no longer queued."""
    instant = micros_from_datetime(now)
    taken = sa.update(runs).where(runs.c.id == run_id, runs.c.status == "queued")
    changed = connection.execute(taken.values(status="running", started_at=instant, heartbeat_at=instant))
    return changed.rowcount == 1


def note_due(connection: Connection, run_id: int, *, at: datetime, missed: int) -> None:
    """Write down the due instant that a run answers, and how many earlier ones it makes up for."""
    counts = get_run(connection, run_id).counts | ({"missed": missed} if missed else {})
    answered = sa.update(runs).where(runs.c.id == run_id)
    connection.execute(answered.values(due_at=micros_from_datetime(at), counts=counts))


def report_run(connection: Connection, run_id: int, *, now: datetime, phases: Sequence[Phase]) -> bool:
    """A sign of life, with the phases finished so far; False when the run has been ended by another."""
    values = {"heartbeat_at": micros_from_datetime(now), "phases": [phase_fields(phase) for phase in phases]}
    alive = sa.update(runs).where(runs.c.id == run_id, runs.c.status == "running")
    return connection.execute(alive.values(**values)).rowcount == 1


def finish_run(
    connection: Connection,
    run_id: int,
    *,
    status: Literal["succeeded", "failed"],
    reason: str,
    now: datetime,
    phases: Sequence[Phase] | None = None,
    counts: Mapping[str, int] | None = None,
    version_id: int | None = None,
) -> bool:
    """End a run, and with it its lease; False, and nothing changes, when it had ended already."""
    instant = micros_from_datetime(now)
    values: dict[str, Any] = {"status": status, "reason": reason, "finished_at": instant, "heartbeat_at": instant}
    if phases is not None:
        values["phases"] = [phase_fields(phase) for phase in phases]
    if counts is not None:
        values["counts"] = dict(counts)
    if version_id is not None:
        values["version_id"] = version_id
    ended = sa.update(runs).where(runs.c.id == run_id, runs.c.status.in_(OPEN)).values(**values)
    if connection.execute(ended).rowcount == 0:
        return False
    connection.execute(sa.update(leases).where(leases.c.run_id == run_id).values(run_id=None))
    return True


def fail_silent_runs(connection: Connection, *, now: datetime, silence: timedelta = SILENCE) -> int:
    """Mark runs failed whose lease has lapsed, or whose process has stopped reporting; how many."""
    instant = micros_from_datetime(now)
    limit = micros_from_datetime(now - silence)
    holders = sa.select(leases.c.run_id).where(leases.c.run_id.is_not(None))
    lapsed, holding = holders.where(leases.c.expires_at <= instant), holders.where(leases.c.expires_at > instant)
    dead = sa.or_(runs.c.id.in_(lapsed), sa.and_(runs.c.heartbeat_at < limit, runs.c.id.not_in(holding)))
    found = connection.execute(sa.select(runs.c.id).where(runs.c.status.in_(OPEN), dead).order_by(runs.c.id)).scalars()
    reason = "its process stopped reporting and its lease ended; it was killed, paused, or lost its machine"
    return sum(finish_run(connection, run_id, status="failed", reason=reason, now=now) for run_id in found.all())


def get_run(connection: Connection, run_id: int) -> Run:
    """The run of that id; RunNotFoundError when there is none."""
    row = connection.execute(select_runs().where(runs.c.id == run_id)).one_or_none()
    if row is None:
        raise RunNotFoundError(f"there is no run {run_id}")
    return run_from_row(row)


def list_runs(
    connection: Connection, *, funnel_id: int | None = None, among: Collection[str] | None = None, limit: int = 100
) -> tuple[Run, ...]:
    """The newest runs, newest first: of all funnels, of one, or of those among these names."""
    query = select_runs().order_by(runs.c.id.desc()).limit(limit)
    if funnel_id is not None:
        query = query.where(runs.c.funnel_id == funnel_id)
    if among is not None:
        query = query.where(funnels.c.name.in_(among))
    return tuple(run_from_row(row) for row in connection.execute(query))


def select_runs() -> sa.Select[Any]:
    """Runs with the name of their funnel."""
    return sa.select(runs, funnels.c.name.label("funnel")).join(funnels, funnels.c.id == runs.c.funnel_id)


def phase_fields(phase: Phase) -> dict[str, Any]:
    """A phase as JSON."""
    return {"name": phase.name, "seconds": round(phase.seconds, 3)}


def run_from_row(row: Row[Any]) -> Run:
    """A row of the tables as a run."""
    return Run(
        id=row.id,
        funnel_id=row.funnel_id,
        funnel=row.funnel,
        status=row.status,
        reason=row.reason,
        phases=tuple(Phase(**phase) for phase in row.phases),
        counts=row.counts,
        version_id=row.version_id,
        due_at=None if row.due_at is None else datetime_from_micros(row.due_at),
        created_at=datetime_from_micros(row.created_at),
        started_at=None if row.started_at is None else datetime_from_micros(row.started_at),
        finished_at=None if row.finished_at is None else datetime_from_micros(row.finished_at),
        heartbeat_at=datetime_from_micros(row.heartbeat_at),
    )
