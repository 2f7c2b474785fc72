"""How every error becomes an HTTP answer: always a problem document, never an echo of what came in."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from models.errors import NearcastError, Problem
from service.problems import MEDIA_TYPE, ProblemError, document_from_problem, problem_from_error
from service.store.errors import StoreError

logger = logging.getLogger("nearcast.problems")


def response_from_problem(error: ProblemError) -> Response:
    """The HTTP answer of `error`."""
    body = orjson.dumps(document_from_problem(error))
    return Response(body, status_code=error.status, headers=error.headers, media_type=MEDIA_TYPE)


def problems_from_validation(errors: Iterable[Any]) -> tuple[Problem, ...]:
    """What pydantic found, by place and reason only: neither its `input` nor its `ctx` leaves the server."""
    return tuple(
        Problem(
            reason=str(error.get("msg", "is not valid")),
            field=".".join(str(part) for part in error.get("loc", ()) if part not in ("body", "query", "path")) or None,
        )
        for error in errors
    )[:20]


def problem_from_validation(places: Sequence[Problem]) -> ProblemError:
    """The problem of a request whose parts cannot be what they should be."""
    detail = str(places[0]) if len(places) == 1 else f"{len(places)} problems were found"
    return ProblemError(422, "invalid-request", detail, errors=places)


def problem_from_http(error: HTTPException) -> ProblemError:
    """The problem of an error the framework raised itself (404, 405, 413, unreadable body)."""
    slugs = {404: "not-found", 413: "too-large", 415: "unsupported-media-type"}
    slug = slugs.get(error.status_code, "invalid-request")
    return ProblemError(error.status_code, slug, str(error.detail), headers=error.headers)


def problem_logged(error: NearcastError) -> ProblemError:
    """The problem of `error`; what is no fault of the caller goes to the log, with what the answer leaves out."""
    problem = problem_from_error(error)
    if isinstance(error, StoreError) and problem.status >= 500:  # foreseen, and no fault of the code
        logger.warning("a request was refused", extra={"reason": error.in_full()})
    elif problem.status >= 500:
        logger.error("a request failed", exc_info=error)
    return problem


def add_problem_handlers(app: FastAPI) -> None:
    """Let `app` answer every error by a problem document; what nobody foresaw is left to the observing middleware."""

    async def answer_problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return response_from_problem(error)

    async def answer_nearcast(_: Request, error: Exception) -> Response:
        assert isinstance(error, NearcastError)
        return response_from_problem(problem_logged(error))

    async def answer_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return response_from_problem(problem_from_validation(problems_from_validation(error.errors())))

    async def answer_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return response_from_problem(problem_from_http(error))

    async def answer_disconnect(_: Request, __: Exception) -> Response:
        return Response(status_code=499)

    app.add_exception_handler(ProblemError, answer_problem)
    app.add_exception_handler(NearcastError, answer_nearcast)
    app.add_exception_handler(RequestValidationError, answer_validation)
    app.add_exception_handler(HTTPException, answer_http)
    app.add_exception_handler(ClientDisconnect, answer_disconnect)
