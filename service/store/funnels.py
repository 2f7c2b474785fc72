"""Funnels: their declarations, and which version of each is served."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from models.errors import FunnelError
from models.funnel import DeclaredDay, Funnel
from service.schedule import Due, find_due, next_due
from service.store.errors import FunnelNotFoundError
from service.store.instants import datetime_from_micros, micros_from_datetime
from service.store.tables import funnels

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class FunnelRecord:
    """A funnel as stored.

    Parameters
    ----------
    inferred
        Whether the declaration was proposed from the data and not yet confirmed by a person.
    naive_times
        Whether the source writes times without a zone; None before the first upload.
    active_version_id
        The version that is served; None before the first retrain.
    activations
        How often somebody chose the version to serve; a retrain that sees it change publishes nothing.
    schedule
        Cron expression, in the funnel's zone, of its retrains; None: nothing is due.
    due_after
        Due instants up to here are dealt with, or from before there was a schedule.
    """

    id: int
    name: str
    funnel: Funnel
    inferred: bool
    naive_times: bool | None
    active_version_id: int | None
    activations: int
    schedule: str | None
    due_after: datetime | None
    created_at: datetime
    updated_at: datetime


def check_funnel_name(name: str) -> None:
    """Raise FunnelError unless the name can stand in an address and in a file name."""
    if not NAME_PATTERN.fullmatch(name):
        raise FunnelError(
            f"{name[:70]!r} is not 1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit",
            field="name",
        )


def declare_funnel(
    connection: Connection, name: str, funnel: Funnel, *, now: datetime, inferred: bool = False
) -> FunnelRecord:
    """Make a funnel, or change its declaration; forecasts stay as published until the next retrain."""
    check_funnel_name(name)
    instant = micros_from_datetime(now)
    changes = {"declaration": declaration_from_funnel(funnel), "inferred": inferred, "updated_at": instant}
    if find_funnel(connection, name) is None:
        connection.execute(sa.insert(funnels).values(name=name, created_at=instant, **changes))
    else:
        connection.execute(sa.update(funnels).where(funnels.c.name == name).values(**changes))
    return get_funnel(connection, name)


def find_funnel(connection: Connection, name: str) -> FunnelRecord | None:
    """The funnel of that name, or None."""
    row = connection.execute(sa.select(funnels).where(funnels.c.name == name)).one_or_none()
    return None if row is None else record_from_row(row)


def get_funnel(connection: Connection, name: str, *, lock: bool = False) -> FunnelRecord:
    """The funnel of that name; FunnelNotFoundError when there is none. `lock` it first, as `lock_funnel`."""
    if lock:
        connection.execute(sa.select(funnels.c.id).where(funnels.c.name == name).with_for_update())
    record = find_funnel(connection, name)
    if record is None:
        raise FunnelNotFoundError(name)
    return record


def list_funnels(connection: Connection) -> tuple[FunnelRecord, ...]:
    """All funnels, by name."""
    return tuple(record_from_row(row) for row in connection.execute(sa.select(funnels).order_by(funnels.c.name)))


def lock_funnel(connection: Connection, funnel_id: int) -> None:
    """Hold the funnel's row until the transaction ends: its writers then follow one another on PostgreSQL too."""
    connection.execute(sa.select(funnels.c.id).where(funnels.c.id == funnel_id).with_for_update())


def set_naive_times(connection: Connection, funnel_id: int, *, naive: bool) -> None:
    """Remember whether the source writes its times without a zone."""
    connection.execute(sa.update(funnels).where(funnels.c.id == funnel_id).values(naive_times=naive))


def set_active_version(connection: Connection, funnel_id: int, version_id: int) -> None:
    """Serve this version from now on."""
    connection.execute(sa.update(funnels).where(funnels.c.id == funnel_id).values(active_version_id=version_id))


def count_activation(connection: Connection, funnel_id: int) -> None:
    """Note that somebody chose what is served: retrains that are under way must not publish over it."""
    counted = {"activations": funnels.c.activations + 1}
    connection.execute(sa.update(funnels).where(funnels.c.id == funnel_id).values(**counted))


def set_schedule(connection: Connection, record: FunnelRecord, schedule: str | None, *, now: datetime) -> FunnelRecord:
    """Retrain at the due instants of `schedule` from now on; the same one again changes nothing."""
    if schedule == record.schedule:
        return record
    instant = micros_from_datetime(now)
    changes = {"schedule": schedule, "due_after": instant, "updated_at": instant}
    connection.execute(sa.update(funnels).where(funnels.c.id == record.id).values(**changes))
    return get_funnel(connection, record.name)


def take_due(connection: Connection, record: FunnelRecord, *, now: datetime) -> Due | None:
    """What is due of a funnel, dealt with from now on by whoever asks: in a transaction that has locked the funnel."""
    due = due_of(record, now=now)
    if due is not None:
        dealt = sa.update(funnels).where(funnels.c.id == record.id)
        connection.execute(dealt.values(due_after=micros_from_datetime(now)))
    return due


def due_of(record: FunnelRecord, *, now: datetime) -> Due | None:
    """The due instants of a funnel that no run has been started for; None when there are none, or no schedule."""
    if record.schedule is None or record.due_after is None:
        return None
    return find_due(record.schedule, record.funnel.timezone, after=record.due_after, now=now)


def next_due_of(record: FunnelRecord) -> datetime | None:
    """The first due instant that no run has been started for: overdue when it is past; None without a schedule."""
    if record.schedule is None or record.due_after is None:
        return None
    return next_due(record.schedule, record.funnel.timezone, after=record.due_after)


def declaration_from_funnel(funnel: Funnel) -> dict[str, Any]:
    """JSON-ready form of a funnel, with every setting."""
    declaration = asdict(funnel)
    for day in declaration["declared_days"]:
        day["start"], day["end"] = day["start"].isoformat(), day["end"].isoformat()
    return declaration


def funnel_from_declaration(declaration: Mapping[str, Any]) -> Funnel:
    """Inverse of `declaration_from_funnel`; settings left out take their defaults.

    Raises FunnelError naming an unknown or contradictory setting.
    """
    known = {field.name for field in fields(Funnel)}
    if unknown := sorted(set(declaration) - known):
        raise FunnelError(f"unknown; a funnel has {sorted(known)}", field=str(unknown[0]))
    if "stages" not in declaration:
        raise FunnelError("a funnel needs at least one stage", field="stages")
    settings = dict(declaration)
    for name in ("stages", "exits"):
        settings[name] = tuple(settings.get(name) or ())
    settings["declared_days"] = tuple(declared_day(day) for day in settings.get("declared_days") or ())
    return Funnel(**settings)


def declared_day(day: Mapping[str, Any]) -> DeclaredDay:
    """One declared day from its JSON form; without an end it is the day of its start."""
    try:
        name, start = day["name"], date.fromisoformat(day["start"])
        end = date.fromisoformat(day.get("end") or day["start"])
    except (KeyError, TypeError, ValueError) as error:
        detail = f"{dict(day)} needs name and start, and its days as YYYY-MM-DD"
        raise FunnelError(detail, field="declared_days") from error
    if not isinstance(name, str):
        raise FunnelError(
            f"the name {str(name)[:40]} of {start} is not text; write it in quotes", field="declared_days"
        )
    stages, segments = (_names_of(day, key) for key in ("stages", "segments"))
    return DeclaredDay(name=name, start=start, end=end, stages=stages, segments=segments)


def _names_of(day: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = day.get(key) or ()
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        detail = f"{key} of {day['name'][:40]!r} of {day['start']} is not a list of names"
        raise FunnelError(f'{detail}; write ["a name"], or leave it out for all', field="declared_days")
    return tuple(names)


def record_from_row(row: Row[Any]) -> FunnelRecord:
    """A row of the table as a record."""
    return FunnelRecord(
        id=row.id,
        name=row.name,
        funnel=funnel_from_declaration(row.declaration),
        inferred=row.inferred,
        naive_times=row.naive_times,
        active_version_id=row.active_version_id,
        activations=row.activations,
        schedule=row.schedule,
        due_after=None if row.due_after is None else datetime_from_micros(row.due_after),
        created_at=datetime_from_micros(row.created_at),
        updated_at=datetime_from_micros(row.updated_at),
    )
