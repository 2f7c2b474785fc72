"""Idempotency keys: a request sent twice is answered once, and replayed after that.

The key is claimed when the request begins and settled with the answer; the body's hash, known only once
the body has been read, tells a repetition from a key used by mistake for something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.store.errors import KeyInUseError, KeyReusedError
from service.store.instants import micros_from_datetime
from service.store.tables import idempotency_keys

CLAIM = sa.text(
    "INSERT INTO idempotency_keys (scope, key, created_at) VALUES (:scope, :key, :now) "
    "ON CONFLICT DO NOTHING RETURNING key"
)
"""Both engines' SQL; SQLAlchemy's own form would load both dialects at every start."""
ABANDONED = timedelta(minutes=15)
"""A claim this old belongs to a request whose process has died; merging rows again does no harm."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer given to the first request with a key."""

    body_sha256: str
    status: int
    response: dict[str, Any]

    def check_body(self, body_sha256: str) -> None:
        """Raise KeyReusedError unless the repeated request has the first one's body."""
        if body_sha256 != self.body_sha256:
            raise KeyReusedError("this Idempotency-Key was used with another body; use a new key for a new upload")


def claim_key(connection: Connection, *, scope: str, key: str, now: datetime) -> Answer | None:
    """Claim a key for a request, or find the answer that an earlier one was given.

    Parameters
    ----------
    scope
        What the key is unique in: method and path.

    Raises
    ------
    KeyInUseError
        When a request with this key is still being answered.
    """
    instant = micros_from_datetime(now)
    if connection.execute(CLAIM, {"scope": scope, "key": key, "now": instant}).first() is not None:
        return None
    found = connection.execute(sa.select(idempotency_keys).where(same(scope, key))).one()
    if found.status is not None:
        return Answer(found.body_sha256, found.status, found.response)
    old = sa.update(idempotency_keys).where(
        same(scope, key),
        idempotency_keys.c.status.is_(None),
        idempotency_keys.c.created_at < micros_from_datetime(now - ABANDONED),
    )
    if connection.execute(old.values(created_at=instant)).rowcount == 1:
        return None
    raise KeyInUseError("a request with this Idempotency-Key is still being answered; ask again in a moment")


def settle_key(connection: Connection, *, scope: str, key: str, answer: Answer) -> None:
    """Remember the answer."""
    values = {"body_sha256": answer.body_sha256, "status": answer.status, "response": answer.response}
    connection.execute(sa.update(idempotency_keys).where(same(scope, key)).values(**values))


def release_key(connection: Connection, *, scope: str, key: str) -> None:
    """Give up a claim whose request failed: the same key may be tried again."""
    gone = sa.delete(idempotency_keys).where(same(scope, key), idempotency_keys.c.status.is_(None))
    connection.execute(gone)


def forget_keys(connection: Connection, *, before: datetime) -> int:
    """Forget the keys claimed before an instant; how many."""
    old = sa.delete(idempotency_keys).where(idempotency_keys.c.created_at < micros_from_datetime(before))
    return connection.execute(old).rowcount


def same(scope: str, key: str) -> sa.ColumnElement[bool]:
    """Condition: this key."""
    return sa.and_(idempotency_keys.c.scope == scope, idempotency_keys.c.key == key)
