"""What listens before the app is there: a start answers at once, and loads the app and its store meanwhile.

Most of a start is importing the framework, the routes and the store. Until that is done `/healthz` says that the
process lives, `/readyz` that it is not ready, and every other request waits for the app.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import orjson

from service.problems import MEDIA_TYPE, RETRY_AFTER, ProblemError, document_from_problem

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Message, Receive, Scope, Send

logger = logging.getLogger("nearcast.front")


class Front:
    """An ASGI app in front of another one that takes a while to load.

    Parameters
    ----------
    load
        Makes the app; called once, in a thread.
    """

    def __init__(self, load: Callable[[], FastAPI]) -> None:
        self._load = load
        self._app: FastAPI | None = None
        self._opened = asyncio.Event()
        self._closing = asyncio.Event()
        self.error: Exception | None = None
        """Why the app could not be loaded; None while all is well."""
        self.on_error: Callable[[], None] = lambda: None
        """Called when it could not."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, wait for the app, or hand on to it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        early = None if self._opened.is_set() or scope["method"] not in ("GET", "HEAD") else scope["path"]
        if early == "/healthz":
            await answer(send, 200, {"status": "ok", "detail": ""})
        elif early == "/readyz":
            await refuse(send, "the app is still being loaded")
        else:
            await self._opened.wait()
            if self._app is None:
                await refuse(send, "the app could not be started; the log says why")
            else:
                await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Say at once that we have started; open the app beside, and close it at the end."""
        await receive()
        opening = asyncio.create_task(self._open())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._closing.set()
        if not self._opened.is_set():
            opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening
        await send({"type": "lifespan.shutdown.complete"})

    async def _open(self) -> None:
        try:
            app = await asyncio.to_thread(self._load)
            async with app.router.lifespan_context(app):
                self._app = app
                self._opened.set()
                await self._closing.wait()
        except Exception as error:
            logger.exception("the app could not be started")
            self.error = error
            self.on_error()
        finally:
            self._opened.set()


async def answer(send: Send, status: int, document: object, *, media_type: str = "application/json") -> None:
    """A whole answer."""
    body = orjson.dumps(document)
    headers = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body))]
    if status == 503:
        headers.append((b"retry-after", RETRY_AFTER.encode()))
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, detail: str) -> None:
    """A problem document: not now."""
    await answer(
        send, 503, document_from_problem(ProblemError(503, "store-unavailable", detail)), media_type=MEDIA_TYPE
    )
