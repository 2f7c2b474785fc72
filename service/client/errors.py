"""What can go wrong, for the person who reads the traceback: the server's own words, the place, what to do.

ClientError
├── NoAnswerError          nobody answered, or not in time
├── WaitError              a run is still going on
├── RunFailedError         a run ended without a version
└── ProblemError           the server answered with a problem document (RFC 9457)
    ├── UnauthenticatedError   401: no key, or one that is not good
    ├── ForbiddenError     403: the key does not allow this, or not with this funnel
    ├── NotFoundError      404: no such funnel, version, run, stage or segment
    ├── ConflictError      409: not in the state that things are in
    ├── UnavailableError   503: the store is away or busy, or the server is full; retried already
    ├── RefusedError       any other 4xx: what was sent cannot be used, and nothing was changed
    └── ServerError        any other 5xx
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class ClientError(Exception):
    """Base of all errors of the client."""


class NoAnswerError(ClientError):
    """No answer: the address, the network or the time-out. Whether the request was carried out is not known."""


class WaitError(ClientError):
    """The run was still going on when the time to wait for it was over; `run` is its document."""

    def __init__(self, run: Mapping[str, Any], *, seconds: float) -> None:
        self.run = dict(run)
        super().__init__(
            f"run {run['run']} is still {run['status']} after {seconds:g} s; Client.run({run['run']}) looks"
        )


class RunFailedError(ClientError):
    """The run ended without publishing because it failed; what is served is as before. `run` is its document."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        self.run = dict(run)
        super().__init__(f"run {run['run']} of {run['funnel']!r} failed: {run['reason']}")


@dataclass(frozen=True, slots=True)
class Place:
    """One thing wrong: `line` of the file (the header is line 1) or `field`, why, and what to do."""

    reason: str
    line: int | None = None
    field: str | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        parts = [f"line {self.line}" if self.line is not None else "", f"field {self.field}" if self.field else ""]
        place = ", ".join(part for part in parts if part)
        text = f"{place}: {self.reason}" if place else self.reason
        return f"{text} ({self.remedy})" if self.remedy else text


class ProblemError(ClientError):
    """A problem document.

    Attributes
    ----------
    type
        Stable name of the kind of problem, `urn:nearcast:problem:...`; `slug` is its last part.
    title, status, detail
        As in RFC 9457.
    places
        Where, why, and what to do; may be empty.
    members
        Further members of the document, such as `longest_horizon` and `error_growth` of a refused horizon.
    """

    def __init__(self, document: Mapping[str, Any], *, status: int) -> None:
        self.type = str(document.get("type", "about:blank"))
        self.title = str(document.get("title", ""))
        self.status = status
        self.detail = str(document.get("detail", ""))
        self.places = tuple(
            Place(str(place.get("reason", "")), place.get("line"), place.get("field"), place.get("remedy"))
            for place in document.get("errors", ())
        )
        known = {"type", "title", "status", "detail", "errors"}
        self.members = {name: value for name, value in document.items() if name not in known}
        super().__init__(self._text())

    @property
    def slug(self) -> str:
        """Short name of the kind of problem: `invalid-input`."""
        return self.type.rpartition(":")[2]

    def _text(self) -> str:
        """Title, detail and places, each thing once."""
        places = [str(place) for place in self.places]
        detail = [] if self.detail in places else [self.detail]
        return "\n  ".join([f"{self.title} ({self.status})", *detail, *places])


class UnauthenticatedError(ProblemError):
    """The server asks for a key, and was sent none that is good: see `key` of Client."""


class ForbiddenError(ProblemError):
    """The key is good, but its scope or its funnels do not allow this."""


class NotFoundError(ProblemError):
    """There is no such funnel, version, run, stage or segment, or nothing is published yet."""


class ConflictError(ProblemError):
    """It does not fit the state that things are in: too little history, or no rates for a scenario."""


class UnavailableError(ProblemError):
    """The store is away or busy, or the server is full. It was tried again before this was raised."""


class RefusedError(ProblemError):
    """What was sent cannot be used; nothing was changed."""


class ServerError(ProblemError):
    """The server made a mistake."""


def error_from_problem(document: Mapping[str, Any], *, status: int) -> ProblemError:
    """The error of a problem document, by its status."""
    kinds: dict[int, type[ProblemError]] = {
        401: UnauthenticatedError,
        403: ForbiddenError,
        404: NotFoundError,
        409: ConflictError,
        503: UnavailableError,
    }
    kind = kinds.get(status, RefusedError if status < 500 else ServerError)
    return kind(document, status=status)
