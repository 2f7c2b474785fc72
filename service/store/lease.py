"""The lease of a funnel's retrain: one run at a time holds it, and only its holder publishes.

A lease ends at an instant unless its holder renews it. Each holder gets the next token; a holder that was paused
past its end finds another token, another run or the end behind it, and publishes nothing. So it stays even where the
clocks of two machines differ by more than the lease: the token decides, in the publishing transaction itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.store.errors import LeaseLostError
from service.store.funnels import lock_funnel
from service.store.instants import datetime_from_micros, micros_from_datetime
from service.store.tables import leases


@dataclass(frozen=True, slots=True)
class Lease:
    """Held by a run; `token` is greater than that of every holder before it."""

    funnel_id: int
    run_id: int
    token: int


@dataclass(frozen=True, slots=True)
class Held:
    """The lease is another run's until an instant, which it may still put off."""

    run_id: int
    until: datetime


def acquire_lease(
    connection: Connection, funnel_id: int, run_id: int, *, now: datetime, length: timedelta
) -> Lease | Held:
    """Take the lease, unless another run holds it; in the caller's write transaction."""
    lock_funnel(connection, funnel_id)
    row = connection.execute(sa.select(leases).where(leases.c.funnel_id == funnel_id)).one_or_none()
    instant, end = micros_from_datetime(now), micros_from_datetime(now + length)
    if row is None:
        first = {"funnel_id": funnel_id, "run_id": run_id, "token": 1, "expires_at": end}
        connection.execute(sa.insert(leases).values(**first))
        return Lease(funnel_id, run_id, 1)
    if row.run_id is not None and row.expires_at > instant:
        return Held(row.run_id, datetime_from_micros(row.expires_at))
    taken = sa.update(leases).where(leases.c.funnel_id == funnel_id)
    connection.execute(taken.values(run_id=run_id, token=row.token + 1, expires_at=end))
    return Lease(funnel_id, run_id, row.token + 1)


def renew_lease(connection: Connection, lease: Lease, *, now: datetime, length: timedelta) -> bool:
    """Put off the end of a lease; False when it is lost: a lapsed one is not taken up again."""
    renewed = sa.update(leases).where(held(lease), leases.c.expires_at > micros_from_datetime(now))
    return connection.execute(renewed.values(expires_at=micros_from_datetime(now + length))).rowcount == 1


def check_lease(connection: Connection, lease: Lease, *, now: datetime) -> None:
    """Raise LeaseLostError unless the lease is held still; no other run takes it while the funnel is locked."""
    row = connection.execute(sa.select(leases.c.expires_at).where(held(lease))).one_or_none()
    if row is None:
        raise LeaseLostError(f"run {lease.run_id} lost its lease to another; it publishes nothing")
    if row.expires_at <= micros_from_datetime(now):
        end = datetime_from_micros(row.expires_at)
        raise LeaseLostError(f"the lease of run {lease.run_id} lapsed at {end:%H:%M:%S}Z; it publishes nothing")


def held(lease: Lease) -> sa.ColumnElement[bool]:
    """Condition: this holder's row."""
    return sa.and_(
        leases.c.funnel_id == lease.funnel_id, leases.c.run_id == lease.run_id, leases.c.token == lease.token
    )
