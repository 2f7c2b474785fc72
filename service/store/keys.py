"""API keys: who may ask for what, until when, and who has signed in with which.

Of a secret only its SHA-256 is kept: 32 random bytes cannot be guessed, and need no slow hash.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import IntegrityError

from models.errors import InputError, Problem
from service.store.errors import KeyNameTakenError, KeyNotFoundError
from service.store.funnels import NAME_PATTERN, check_funnel_name
from service.store.instants import datetime_from_micros, micros_from_datetime
from service.store.tables import keys, sessions

Scope = Literal["read", "write", "admin"]
State = Literal["good", "revoked", "expired"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
"""Each includes those before it."""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key.

    Parameters
    ----------
    sha256
        Of its secret, hexadecimal.
    funnels
        Names of the funnels that it is for, which need not exist; None: all.
    expires_at, revoked_at
        From when on it is refused; None: never, and not revoked.
    last_used_at
        To the hour; None: never.
    """

    id: int
    name: str
    sha256: str
    scope: Scope
    funnels: frozenset[str] | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def state(self, *, now: datetime) -> State:
        """Whether it is good."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "good"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has signed in with a key: `sha256` is of the token in their cookie."""

    sha256: str
    key_id: int
    expires_at: datetime


def create_key(
    connection: Connection,
    name: str,
    *,
    sha256: str,
    scope: Scope,
    funnels: Collection[str] = (),
    expires_at: datetime | None = None,
    now: datetime,
) -> Key:
    """Make a key; no funnels mean all.

    Raises
    ------
    KeyNameTakenError
        Also when the one of that name was revoked: what a log says of a name must not change its meaning.
    InputError, FunnelError
        For a name of a key or a funnel that cannot be.
    """
    if not NAME_PATTERN.fullmatch(name):
        reason = f"{name[:70]!r} is not 1 to 64 letters, digits, dots, dashes or underscores"
        raise InputError(Problem(reason, field="name", remedy="name what will use the key: crm-import"))
    for funnel in funnels:
        check_funnel_name(funnel)
    values = {
        "name": name,
        "sha256": sha256,
        "scope": scope,
        "funnels": sorted(funnels) or None,
        "created_at": micros_from_datetime(now),
        "expires_at": None if expires_at is None else micros_from_datetime(expires_at),
    }
    try:
        row = connection.execute(sa.insert(keys).values(**values).returning(keys)).one()
    except IntegrityError:
        raise KeyNameTakenError(name) from None
    return key_from_row(row)


def list_keys(connection: Connection) -> tuple[Key, ...]:
    """All keys, also those that have ended, by name."""
    return tuple(key_from_row(row) for row in connection.execute(sa.select(keys).order_by(keys.c.name)))


def revoke_key(connection: Connection, name: str, *, now: datetime) -> Key:
    """Let a key be refused from now on, and whoever signed in with it; once revoked it stays as it is.

    Raises KeyNotFoundError.
    """
    here = keys.c.name == name
    connection.execute(
        sa.update(keys).where(here, keys.c.revoked_at.is_(None)).values(revoked_at=micros_from_datetime(now))
    )
    row = connection.execute(sa.select(keys).where(here)).one_or_none()
    if row is None:
        raise KeyNotFoundError(name)
    connection.execute(sa.delete(sessions).where(sessions.c.key_id == row.id))
    return key_from_row(row)


def note_uses(connection: Connection, uses: Mapping[int, datetime]) -> None:
    """Remember when keys, by their id, were last used; a later use that is known already stays."""
    for key_id, instant in uses.items():
        micros = micros_from_datetime(instant)
        earlier = keys.c.last_used_at.is_(None) | (keys.c.last_used_at < micros)
        connection.execute(sa.update(keys).where(keys.c.id == key_id, earlier).values(last_used_at=micros))


def add_session(connection: Connection, session: Session, *, now: datetime) -> None:
    """Remember a session; forget those that have ended."""
    connection.execute(sa.delete(sessions).where(sessions.c.expires_at <= micros_from_datetime(now)))
    values = {"sha256": session.sha256, "key_id": session.key_id}
    connection.execute(sa.insert(sessions).values(**values, expires_at=micros_from_datetime(session.expires_at)))


def list_sessions(connection: Connection) -> tuple[Session, ...]:
    """All sessions, also those that have ended."""
    return tuple(
        Session(row.sha256, row.key_id, datetime_from_micros(row.expires_at))
        for row in connection.execute(sa.select(sessions))
    )


def drop_session(connection: Connection, sha256: str) -> None:
    """Forget a session; one that is not there is fine."""
    connection.execute(sa.delete(sessions).where(sessions.c.sha256 == sha256))


def key_from_row(row: Row[Any]) -> Key:
    """A row of the table as a key."""
    return Key(
        id=row.id,
        name=row.name,
        sha256=row.sha256,
        scope=row.scope,
        funnels=None if row.funnels is None else frozenset(row.funnels),
        created_at=datetime_from_micros(row.created_at),
        expires_at=instant_or_none(row.expires_at),
        last_used_at=instant_or_none(row.last_used_at),
        revoked_at=instant_or_none(row.revoked_at),
    )


def instant_or_none(micros: int | None) -> datetime | None:
    """The instant; None when there is none."""
    return None if micros is None else datetime_from_micros(micros)
