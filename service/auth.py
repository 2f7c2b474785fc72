"""Who may ask for what: callers with their scope and funnels, and the secrets by which they say who they are."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256

from models.errors import NearcastError
from service.store.keys import SCOPES, Scope

PREFIX = "nc_"
"""Of a key's secret, by which people and scanners of repositories tell what it is."""
SESSION_PREFIX = "ncs_"


class UnauthenticatedError(NearcastError):
    """No key, or none that is good."""

    slug = "unauthenticated"

    def __init__(self, text: str, *, key: str | None = None) -> None:
        super().__init__(text)
        self.key = key
        """Name of a key that is known, but not good any more."""


class ForbiddenError(NearcastError):
    """A good key that does not allow this."""

    slug = "forbidden"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Parameters
    ----------
    name
        Of the key; None: nobody had to say.
    scope
        What may be done.
    funnels
        With which funnels; None: all.
    """

    name: str | None
    scope: Scope
    funnels: frozenset[str] | None

    def may(self, needed: Scope) -> bool:
        """Whether the scope suffices."""
        return SCOPES.index(self.scope) >= SCOPES.index(needed)

    def sees(self, funnel: str) -> bool:
        """Whether the key is for this funnel."""
        return self.funnels is None or funnel in self.funnels

    def check_scope(self, needed: Scope) -> None:
        """Raise ForbiddenError unless the scope suffices."""
        if not self.may(needed):
            raise ForbiddenError(f"this needs a key of scope {needed}; {self.name!r} has scope {self.scope}")

    def check_funnel(self, funnel: str) -> None:
        """Raise ForbiddenError unless the key is for this funnel, whether there is one of that name or not."""
        if not self.sees(funnel):
            raise ForbiddenError(f"the key {self.name!r} is not for this funnel; ask for one that is")

    def check_all_funnels(self) -> None:
        """Raise ForbiddenError for a key that is for some funnels only."""
        if self.funnels is not None:
            raise ForbiddenError(f"this tells of all funnels, and the key {self.name!r} is for some only")


ANYBODY = Caller(None, "admin", None)
"""Where no keys are asked for."""
NOBODY = Caller(None, "read", frozenset())
"""Who has not said yet who they are, on what is open to all."""


def make_secret(prefix: str = PREFIX) -> str:
    """A new secret: 32 random bytes."""
    return prefix + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What is kept of a secret: its SHA-256, hexadecimal."""
    return sha256(secret.encode("utf-8", "replace")).hexdigest()
