"""RFC 9457 problem documents: what every request that cannot be answered gets, and never an echo of its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import ForecastError, FunnelError, HistoryError, HorizonError, InputError, NearcastError, Problem
from service.store import errors as store

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:nearcast:problem:"
"""`type` is this and the slug; it stays the same whatever the text says."""
LONGEST_TEXT = 2_000
"""Characters of one text in a problem."""
RETRY_AFTER = "5"
"""Seconds a client is asked to wait while the store is away or the server is full."""

TITLES = {
    "invalid-input": "The input cannot be used, and nothing was changed",
    "invalid-funnel": "The funnel declaration cannot be",
    "insufficient-history": "There is too little usable history",
    "horizon-not-served": "This horizon or level is not served",
    "invalid-lever": "This lever cannot be moved so",
    "no-responses": "The version cannot answer scenarios",
    "invalid-forecast": "A forecast broke its own invariants",
    "invalid-request": "The request cannot be understood",
    "unauthenticated": "A good key is needed",
    "forbidden": "The key does not allow this",
    "key-not-found": "No such key",
    "key-name-taken": "There was a key of this name before",
    "not-found": "There is nothing here",
    "funnel-not-found": "No such funnel",
    "version-not-found": "No such version, or none published yet",
    "run-not-found": "No such run",
    "series-not-found": "No such stage or segment",
    "no-value": "There is no value to forecast",
    "too-large": "The body is too large",
    "unsupported-media-type": "The media type is not supported",
    "not-acceptable": "None of the accepted media types is served",
    "idempotency-key-reused": "The idempotency key came with another body",
    "idempotency-key-in-use": "The first request with this idempotency key is still being answered",
    "store-unavailable": "The store cannot be reached",
    "source-unavailable": "The database that is pulled from cannot be reached",
    "store-busy": "The store is busy with another writer",
    "invalid-database-url": "The database URL cannot be used",
    "store-error": "The store cannot do this",
    "schema-mismatch": "The store has another schema than this release",
    "run-ended": "The run has ended or was taken by another process",
    "lease-lost": "The run lost its lease and published nothing",
    "workers-unavailable": "There is no worker to fit the series",
    "series-lost": "Most series could not be fitted",
    "damaged-payload": "What is stored is not what was written",
    "overloaded": "The server has more to do than it can take",
    "request-timeout": "The request took too long to arrive",
    "internal": "The server made a mistake",
    "error": "The request cannot be answered",
}
STATUSES: tuple[tuple[type[NearcastError], int], ...] = (
    (InputError, 422),
    (FunnelError, 422),
    (HistoryError, 409),
    (HorizonError, 422),
    (ForecastError, 500),
    (store.StoreUnavailableError, 503),
    (store.StoreBusyError, 503),
    (store.SchemaError, 503),
    (store.FunnelNotFoundError, 404),
    (store.VersionNotFoundError, 404),
    (store.RunNotFoundError, 404),
    (store.KeyNotFoundError, 404),
    (store.KeyNameTakenError, 409),
    (store.LeaseLostError, 503),
    (store.KeyInUseError, 409),
    (store.KeyReusedError, 422),
    (store.DatabaseUrlError, 400),
    (store.StoreError, 500),
)
STATUSES_BY_SLUG: dict[str, int] = {
    "unauthenticated": 401,
    "forbidden": 403,
    "not-found": 404,
    "series-not-found": 404,
    "invalid-lever": 422,
    "no-value": 422,
    "no-responses": 409,
    "damaged-payload": 500,
    "run-ended": 503,
    "workers-unavailable": 503,
    "series-lost": 500,
    "source-unavailable": 503,
}
"""Of errors whose modules a start does not load."""
HEADERS_BY_STATUS = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": RETRY_AFTER}}


class ProblemError(Exception):
    """A request that gets a problem document: `slug` is a key of TITLES, `extra` are further members of it."""

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        errors: Sequence[Problem] = (),
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.errors = tuple(errors)
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


def clean_text(text: str) -> str:
    """`text` without lone surrogates and control characters, of bounded length."""
    sound = text.encode("utf-8", "replace").decode("utf-8")
    sound = "".join(
        character if character >= " " or character in "\n\t" else "\N{REPLACEMENT CHARACTER}" for character in sound
    )
    return sound if len(sound) <= LONGEST_TEXT else sound[: LONGEST_TEXT - 1] + "…"


def document_from_problem(error: ProblemError) -> dict[str, Any]:
    """The members of the problem document of `error`."""
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + error.slug,
        "title": TITLES.get(error.slug, TITLES["error"]),
        "status": error.status,
        "detail": clean_text(error.detail),
    }
    if error.errors:
        document["errors"] = [document_from_place(place) for place in error.errors]
    return {**document, **error.extra}


def document_from_place(problem: Problem) -> dict[str, Any]:
    """One entry of `errors`: the place, the reason and what to do; unknown members are null."""
    return {
        "line": problem.line,
        "field": None if problem.field is None else clean_text(problem.field),
        "reason": clean_text(problem.reason),
        "remedy": None if problem.remedy is None else clean_text(problem.remedy),
    }


def problem_from_error(error: NearcastError) -> ProblemError:
    """The problem of an error of models or service, by its class and slug."""
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), None)
    status = STATUSES_BY_SLUG.get(error.slug, 400) if status is None else status
    if isinstance(error, InputError):
        detail = str(error.problems[0]) if len(error.problems) == 1 else f"{len(error.problems)} problems were found"
        return ProblemError(status, error.slug, detail, errors=error.problems)
    field = getattr(error, "field", None)
    if field is not None:
        place = Problem(getattr(error, "reason", str(error)), field=field)
        return ProblemError(status, error.slug, str(error), errors=[place])
    extra = getattr(error, "members", {})
    headers = HEADERS_BY_STATUS.get(status, {})
    return ProblemError(status, error.slug, str(error), extra=extra, headers=headers)


def statuses_by_slug() -> dict[str, int]:
    """The status of each kind of error that has a class; the others are answered where they arise."""
    return {kind.slug: status for kind, status in reversed(STATUSES)} | STATUSES_BY_SLUG
