"""What all pages share: the policy they are sent under, their frame, and errors that are pages too."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlencode

from anyio.to_thread import run_sync
from fastapi import Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from models.errors import NearcastError
from service.dashboard.rendering import page
from service.problems import ProblemError, document_from_problem
from service.routes.context import Resources
from service.routes.forecasts import served_version
from service.routes.handlers import problem_from_validation, problem_logged, problems_from_validation
from service.serving import Served
from service.store.errors import VersionNotFoundError
from service.store.funnels import list_funnels

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"content-security-policy": POLICY, "cache-control": "no-cache", "referrer-policy": "same-origin"}
Text = Annotated[str | None, Query(max_length=200)]


class Page(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of the route, with problems shown to people."""
        answer = super().get_route_handler()

        async def answer_or_say_why(request: Request) -> Response:
            try:
                return await answer(request)
            except ProblemError as error:
                problem = error
            except NearcastError as error:
                problem = problem_logged(error)
            except RequestValidationError as error:
                problem = problem_from_validation(problems_from_validation(error.errors()))
            if problem.status == 401 and "text/html" in request.headers.get("accept", ""):
                return RedirectResponse(signin_address(request), status_code=303)
            caller = getattr(request.state, "caller", None)
            values = {"here": "", "funnel": None, "funnels": (), "stale": False, "caller": caller}
            text = await run_sync(lambda: page("error.html", problem=document_from_problem(problem), **values))
            return HTMLResponse(text, status_code=problem.status, headers={**HEADERS, **(problem.headers or {})})

        return answer_or_say_why


def show(
    template: str, context: Resources, *, here: str, funnel: str | None, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page with the frame that all have."""
    names = tuple(sorted(context.served_names()))
    frame = {"here": here, "funnel": funnel, "funnels": names, "caller": context.caller}
    text = page(template, stale=context.serving.stale, **frame, **values)
    return HTMLResponse(text, status_code=status, headers=HEADERS)


def chosen(context: Resources, funnel: str | None) -> tuple[str | None, Served | None]:
    """The funnel that is asked for, else the first that is served, else the first there is; and what it serves.

    Raises FunnelNotFoundError for a funnel that is not there, ForbiddenError for one that the key is not for.
    """
    name = funnel or min(context.served_names(), default=None)
    if name is None:
        with context.database.read() as connection:
            names = (record.name for record in list_funnels(connection))
            name = next((each for each in names if context.caller.sees(each)), None)
    if name is None:
        return None, None
    context.caller.check_funnel(name)
    try:
        return name, served_version(context, name, None)[0]
    except VersionNotFoundError:
        return name, None


def signin_address(request: Request) -> str:
    """Where to sign in, and go on from there to what was asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"/signin?{urlencode({'then': asked if request.method == 'GET' else '/'})}"
