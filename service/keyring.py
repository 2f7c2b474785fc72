"""API keys and the sessions made with them, in memory, whether the store is there or not.

A background thread looks for keys that were made or revoked, as `service.serving` does for versions. When a key was
last used is noted in memory, and written by a thread of its own: no request waits for it.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from anyio.to_thread import run_sync

from models.errors import NearcastError
from service.auth import SESSION_PREFIX, UnauthenticatedError, digest_of, make_secret
from service.store.database import Database
from service.store.errors import StoreError, StoreUnavailableError
from service.store.keys import (
    Key,
    Session,
    add_session,
    drop_session,
    list_keys,
    list_sessions,
    note_uses,
)
from service.watching import Watcher

SESSION = timedelta(hours=12)
"""How long somebody stays signed in."""
COARSE = timedelta(hours=1)
"""How exactly the last use is known: a key is written to the store no more often."""
LOOK_PAUSE = 0.1
"""Seconds before a look into the store for a secret that is not known: whoever guesses causes no more of them."""

Held = TypeVar("Held", Key, Session)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """All that was in the store when last looked at: keys and sessions by digest, keys by id."""

    keys: Mapping[str, Key]
    sessions: Mapping[str, Session]
    by_id: Mapping[int, Key]


class Keyring:
    """Keys and sessions of one store; every method may be called from any thread.

    Parameters
    ----------
    every
        Seconds between two looks: for so long a key may still be good after it was revoked.
    """

    def __init__(self, database: Database, *, every: float = 1.0) -> None:
        self._database = database
        self._known = Known({}, {}, {})
        self._used: dict[int, datetime] = {}
        self._refreshing = threading.Lock()
        self._one_look = asyncio.Lock()
        self._next_look: asyncio.Task[None] | None = None
        self._watchers = (
            Watcher(self.refresh, every=every, name="keys"),
            Watcher(self.write_uses, every=every, name="keys-used"),
        )
        self.loaded = False
        """Whether the store has been read since the start."""
        self.stale = False
        """Whether the store was away when last looked at: what was known goes on being good until it expires."""

    def start(self) -> None:
        """Load now, then look again and again in the background."""
        self.refresh()
        now = datetime.now(UTC)
        if self.loaded and not any(
            key.scope == "admin" and key.state(now=now) == "good" for key in self._known.keys.values()
        ):
            logger.warning("there is no key that may do everything; make one: nearcast keys create NAME --scope admin")
        for watcher in self._watchers:
            watcher.start()

    def stop(self) -> None:
        """Stop looking. A last use that waits for another writer is given up."""
        for watcher in self._watchers:
            watcher.stop(patience=5.0)

    def refresh(self) -> None:
        """Load what is in the store now. Never raises: it marks stale."""
        with self._refreshing:
            try:
                with self._database.read() as connection:
                    keys, sessions = list_keys(connection), list_sessions(connection)
            except StoreError as error:
                if not self.stale:
                    logger.warning("the store is away, going by the keys last known: %s", error.in_full())
                self.stale = True
            except Exception:
                if not self.stale:
                    logger.exception("the keys cannot be loaded; going by those last known")
                self.stale = True
            else:
                self._known = Known(
                    {key.sha256: key for key in keys},
                    {session.sha256: session for session in sessions},
                    {key.id: key for key in keys},
                )
                self.loaded, self.stale = True, False

    async def look(self) -> None:
        """Wait for a look into the store that begins from now on; the same for all who wait, and few in a second."""
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look())
        await asyncio.shield(self._next_look)

    async def _look(self) -> None:
        async with self._one_look:
            await asyncio.sleep(LOOK_PAUSE)
            self._next_look = None  # whoever comes from here on needs another: what is read now may be from before
            await run_sync(self.refresh)

    def knows(self, secret: str) -> bool:
        """Whether it is the secret of a key or a session, good or not."""
        digest = digest_of(secret)
        return digest in self._known.keys or digest in self._known.sessions

    def key_of(self, secret: str, *, now: datetime) -> Key:
        """The key with this secret.

        Raises UnauthenticatedError, and StoreUnavailableError while it is not known which keys there are.
        """
        key = found_by(digest_of(secret), self._known.keys)
        if key is None:
            raise self._unknown("this key is not known")
        return self._good(key, now=now)

    def key_of_session(self, token: str, *, now: datetime) -> Key:
        """The key that somebody has signed in with, by the token of the session. Raises as `key_of`."""
        session = found_by(digest_of(token), self._known.sessions)
        key = None if session is None else self._known.by_id.get(session.key_id)
        if session is None or key is None or session.expires_at <= now:
            raise self._unknown("nobody is signed in, or not any more; sign in again")
        return self._good(key, now=now)

    def open_session(self, key: Key, *, now: datetime) -> str:
        """Sign in with a key: the token, which this server knows at once. Raises StoreError."""
        token = make_secret(SESSION_PREFIX)
        with self._database.write() as connection:
            add_session(connection, Session(digest_of(token), key.id, now + SESSION), now=now)
        self.refresh()
        return token

    def close_session(self, token: str) -> None:
        """Sign out, at this server at once. Raises StoreError."""
        with self._database.write() as connection:
            drop_session(connection, digest_of(token))
        self.refresh()

    def write_uses(self) -> None:
        """Write last uses that are not in the store within the hour. Never raises: what fails is tried again."""
        due = {
            key_id: instant
            for key_id, instant in list(self._used.items())
            if (key := self._known.by_id.get(key_id)) and (not key.last_used_at or instant - key.last_used_at >= COARSE)
        }
        if not due or self.stale:
            return
        try:
            with self._database.write() as connection:
                note_uses(connection, due)
        except StoreError as error:
            logger.debug("last uses of keys wait: %s", error.in_full())
        except Exception:
            logger.exception("last uses of keys cannot be written")
        else:
            self.refresh()  # else they would be due again

    def _good(self, key: Key, *, now: datetime) -> Key:
        """The key, noted as used. Raises UnauthenticatedError when it has ended."""
        if (state := key.state(now=now)) != "good":
            raise UnauthenticatedError(f"the key {key.name!r} is {state}; ask for a new one", key=key.name)
        self._used[key.id] = now
        return key

    def _unknown(self, text: str) -> NearcastError:
        if not self.loaded:
            return StoreUnavailableError(
                "the store has not been read since the start: which keys are good is not known"
            )
        return UnauthenticatedError(text)


def found_by(digest: str, known: Mapping[str, Held]) -> Held | None:
    """What has this digest; None without.

    How long the look-up takes can tell of digests only, and nobody can steer the digest of a guess; what it finds is
    compared in constant time all the same.
    """
    found = known.get(digest)
    return found if found is not None and hmac.compare_digest(found.sha256, digest) else None
