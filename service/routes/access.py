"""What each route needs of who asks, and how they say who they are: a key as bearer, or the cookie of a session."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from service.auth import ANYBODY, NOBODY, Caller, UnauthenticatedError
from service.keyring import Keyring
from service.problems import ProblemError
from service.store.keys import Key, Scope

COOKIE = "nearcast_session"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
OPEN = frozenset({"/healthz", "/readyz", "/docs", "/static/{name}", "/signin"})
"""Routes that ask nobody who they are: they tell nothing of any funnel."""
OTHERS: dict[tuple[str, str], Scope] = {
    ("POST", "/v1/funnels/{funnel}/scenario"): "read",
    ("POST", "/v1/funnels/{funnel}/versions/{version}/activate"): "admin",
    ("POST", "/signout"): "read",
}
"""Routes whose scope their method does not tell."""


def scope_needed(method: str, path: str) -> Scope | None:
    """The scope that a route needs, by its template; None where it is open to all."""
    if path in OPEN:
        return None
    return OTHERS.get((method, path), "read" if method in SAFE else "write")


async def authorize(request: Request) -> Caller:
    """Who asks.

    Raises UnauthenticatedError (401), ForbiddenError (403), and StoreUnavailableError (503) as long as it is not known
    which keys there are.
    """
    keyring, path = keyring_of(request), request.scope["route"].path
    needed = scope_needed(request.method, path)
    request.state.caller = ANYBODY if keyring is None else None
    if keyring is None or needed is None:
        return ANYBODY if keyring is None else NOBODY
    try:
        key = await key_of(request, keyring)
    except UnauthenticatedError as error:
        request.state.key = error.key  # the log names it, as the answer does
        raise
    caller = Caller(key.name, key.scope, key.funnels)
    request.state.caller, request.state.key = caller, key.name
    caller.check_scope(needed)
    if path == "/metrics":
        caller.check_all_funnels()
    if (funnel := request.path_params.get("funnel")) is not None:
        caller.check_funnel(funnel)
    return caller


CallerOf = Annotated[Caller, Depends(authorize)]


def keyring_of(request: Request) -> Keyring | None:
    """The keys of the app that answers; None where none are asked for."""
    keyring: Keyring | None = request.app.state.keyring
    return keyring


async def key_of(request: Request, keyring: Keyring) -> Key:
    """The key that the request comes with, as bearer or through a session. Raises as `authorize`."""
    now = datetime.now(UTC)
    if (header := request.headers.get("authorization")) is not None:
        kind, _, secret = header.partition(" ")
        if kind.lower() != "bearer":
            raise UnauthenticatedError("the header Authorization is read as `Bearer` and a key")
        await look_for(keyring, secret.strip())
        return keyring.key_of(secret.strip(), now=now)
    if (token := request.cookies.get(COOKIE)) is not None:
        await look_for(keyring, token)
        key = keyring.key_of_session(token, now=now)
        if request.method not in SAFE:
            check_origin(request, strictly=True)
        return key
    raise UnauthenticatedError("send a key: the header `Authorization: Bearer nc_…`; `nearcast keys create` makes one")


async def look_for(keyring: Keyring, secret: str) -> None:
    """Ask the store about a secret that is not known: it may have been made a moment ago, or at another server."""
    if not keyring.knows(secret) and not keyring.stale:
        await keyring.look()


def check_origin(request: Request, *, strictly: bool = False) -> None:
    """Raise ProblemError (403) for a form that another site has sent: browsers say where a form comes from.

    `strictly`: also for one of which nothing says where it comes from.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    elsewhere = site in ("cross-site", "same-site") or (
        origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    )
    if elsewhere or (strictly and origin is None and site is None):
        raise ProblemError(403, "invalid-request", "this form was sent from another site; send it from the dashboard")
