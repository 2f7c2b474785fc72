"""Signing in on the dashboard with a key, and out again: plain forms, and a cookie that no script can read."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from service.auth import UnauthenticatedError
from service.dashboard.rendering import page
from service.keyring import SESSION, Keyring
from service.routes.access import COOKIE, check_origin, look_for
from service.routes.context import Context
from service.routes.forms import LARGEST_FORM, form_of, text_of
from service.routes.pages import HEADERS, Page, Text

HERE = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")
"""An address on this server; browsers read `//` and `/\\` as the beginning of another's."""

router = APIRouter(route_class=Page, include_in_schema=False)


@router.get("/signin", response_model=None)
def get_signin(request: Request, context: Context, then: Text = None) -> Response:
    """Ask for a key."""
    if context.keyring is None:
        return RedirectResponse("/", status_code=303)
    return signin_page(then=address_here(then), from_elsewhere=request.headers.get("sec-fetch-site") == "cross-site")


@router.post("/signin", response_model=None)
async def post_signin(request: Request, context: Context) -> Response:
    """Take the key, and go on to what was asked for."""
    check_origin(request)
    form = await form_of(request, limit=LARGEST_FORM)
    secret, then = text_of(form, "key"), address_here(text_of(form, "then"))
    if context.keyring is None:
        return RedirectResponse(then, status_code=303)
    await look_for(context.keyring, secret)
    return await run_sync(enter, request, context.keyring, secret, then)


def enter(request: Request, keyring: Keyring, secret: str, then: str) -> Response:
    """Open a session and go on, or say why not."""
    now = datetime.now(UTC)
    try:
        token = keyring.open_session(keyring.key_of(secret, now=now), now=now)
    except UnauthenticatedError as error:
        return signin_page(then=then, problem=str(error))
    answer = RedirectResponse(then, status_code=303)
    set_cookie(answer, request, token, seconds=int(SESSION.total_seconds()))
    return answer


@router.post("/signout")
def post_signout(request: Request, context: Context) -> RedirectResponse:
    """Forget the session, here and at every server."""
    check_origin(request)
    answer = RedirectResponse("/signin", status_code=303)
    if context.keyring is not None and (token := request.cookies.get(COOKIE)) is not None:
        context.keyring.close_session(token)
        set_cookie(answer, request, "", seconds=0)
    return answer


def set_cookie(answer: Response, request: Request, token: str, *, seconds: int) -> None:
    """Keep the token from scripts, from other sites, and, where the pages come over TLS, from the open net."""
    over_tls = request.url.scheme == "https"
    answer.set_cookie(COOKIE, token, max_age=seconds, httponly=True, samesite="strict", secure=over_tls)


def signin_page(*, then: str, problem: str | None = None, from_elsewhere: bool = False) -> HTMLResponse:
    """The form; nothing on it tells what there is to see."""
    frame = {"here": "/signin", "funnel": None, "funnels": (), "stale": False, "caller": None}
    text = page("signin.html", then=then, problem=problem, from_elsewhere=from_elsewhere, **frame)
    refused = {"www-authenticate": "Bearer"} if problem else {}
    return HTMLResponse(text, status_code=401 if problem else 200, headers={**HEADERS, **refused})


def address_here(text: str | None) -> str:
    """Where to go on, if it is on this server; else the overview."""
    return text if text and HERE.fullmatch(text) else "/"
