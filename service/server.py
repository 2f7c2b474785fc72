"""The HTTP server: uvicorn with deadlines, so that slow or silent clients cannot hold connections for ever.

uvicorn has no deadline for the head or the body of a request (Kludex/uvicorn#157). Here the head must be
complete in `header_seconds`; a body may pause for `body_seconds` at most and must keep a minimum rate, so that
one byte a second does not count as progress; and a client must read its answer in `send_seconds`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

import h11
import orjson
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.problems import MEDIA_TYPE, ProblemError, document_from_problem
from service.settings import Settings

REASONS = {400: "Bad Request", 408: "Request Timeout"}


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a client may take, seconds, and the least rate of a body, bytes a second."""

    header_seconds: float = 10.0
    body_seconds: float = 30.0
    body_rate: float = 1024.0
    send_seconds: float = 60.0


class DeadlineProtocol(H11Protocol):
    """One connection; the timer follows what the client still owes: a head, a body, or nothing."""

    deadlines = Deadlines()
    _phase: Literal["head", "body", "none"] = "none"
    _due: float = 0.0
    _timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request's head."""
        super().connection_made(transport)
        self._enter("head")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._enter("none")
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in `data` and see what the client owes now."""
        super().data_received(data)
        self._follow(len(data))

    def on_response_complete(self) -> None:
        """See what the client owes now: the answer may have come before its whole body."""
        super().on_response_complete()
        self._follow(0)

    def pause_writing(self) -> None:
        """Give the client `send_seconds` to read what fills the buffer."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(self.deadlines.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP by a problem document."""
        self._refuse(ProblemError(400, "invalid-request", msg))

    def _follow(self, received: int) -> None:
        if self.transport.is_closing():
            self._enter("none")
        elif self.conn.their_state is h11.SEND_BODY:
            if self._phase == "body":
                latest = self.loop.time() + self.deadlines.body_seconds
                self._due = min(self._due + received / self.deadlines.body_rate, latest)
            else:
                self._enter("body")
        elif self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            if self._phase != "head":
                self._enter("head")
        elif self.conn.their_state is not h11.IDLE or self.cycle is not None:
            self._enter("none")

    def _enter(self, phase: Literal["head", "body", "none"]) -> None:
        self._phase = phase
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if phase != "none":
            allowed = self.deadlines.header_seconds if phase == "head" else self.deadlines.body_seconds
            self._due = self.loop.time() + allowed
            self._timer = self.loop.call_at(self._due, self._check)

    def _check(self) -> None:
        now = self.loop.time()
        if self._phase == "body" and self.flow.read_paused:
            self._due = now + self.deadlines.body_seconds  # it is us who do not read
        if now < self._due:
            self._timer = self.loop.call_at(self._due, self._check)
            return
        self._timer = None
        what = "head" if self._phase == "head" else "body"
        self._refuse(ProblemError(408, "request-timeout", f"the {what} of the request did not arrive in time"))

    def _refuse(self, error: ProblemError) -> None:
        """Answer in raw bytes, unless an answer has begun, and close."""
        cycle = self.cycle
        pending = cycle is not None and not cycle.response_complete
        if not (pending and cycle.response_started) and not self.transport.is_closing():
            body = orjson.dumps(document_from_problem(error))
            head = (
                f"HTTP/1.1 {error.status} {REASONS[error.status]}\r\ncontent-type: {MEDIA_TYPE}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self._enter("none")
        self.transport.close()


def make_protocol(deadlines: Deadlines) -> type[DeadlineProtocol]:
    """A protocol class with these deadlines, for `uvicorn.Config(http=...)`."""
    return type("Protocol", (DeadlineProtocol,), {"deadlines": deadlines})


def make_server(app: Any, *, settings: Settings) -> uvicorn.Server:
    """A server of `app`; `server.run()` blocks until it is told to stop."""
    deadlines = Deadlines(header_seconds=settings.header_timeout, body_seconds=settings.body_timeout)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=make_protocol(deadlines),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=max(1, round(settings.keep_alive)),
        timeout_graceful_shutdown=10,
    )
    return uvicorn.Server(config)
