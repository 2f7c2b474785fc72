"""The dashboard's pages: what is served, made into HTML on the server; no address outside it is referred to."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from models.errors import NearcastError
from models.funnel import TOTAL
from service.dashboard.overview import last_day_note, overview
from service.dashboard.rendering import STATIC, link, page, static_file
from service.dashboard.scorecard import scorecard_page
from service.dashboard.stage import stage_page
from service.problems import ProblemError, document_from_problem, problem_from_error
from service.routes.context import Context, Resources
from service.routes.forecasts import get_quality, served_version
from service.routes.handlers import problem_from_validation, problems_from_validation
from service.routes.runs import get_runs, post_retrain
from service.serving import Served
from service.store.errors import VersionNotFoundError
from service.store.funnels import list_funnels
from service.store.runs import OPEN

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"content-security-policy": POLICY, "cache-control": "no-cache", "referrer-policy": "same-origin"}
LISTED = 50
"""Runs, repairs and fallbacks on a page."""
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
                problem = problem_from_error(error)
            except RequestValidationError as error:
                problem = problem_from_validation(problems_from_validation(error.errors()))
            values = {"here": "", "funnel": None, "funnels": (), "stale": False}
            text = await run_sync(lambda: page("error.html", problem=document_from_problem(problem), **values))
            return HTMLResponse(text, status_code=problem.status, headers={**HEADERS, **(problem.headers or {})})

        return answer_or_say_why


router = APIRouter(route_class=Page, include_in_schema=False)


def show(template: str, context: Resources, *, here: str, funnel: str | None, **values: Any) -> HTMLResponse:
    """A page with the frame that all have."""
    names = tuple(sorted(context.serving.names()))
    text = page(template, here=here, funnel=funnel, funnels=names, stale=context.serving.stale, **values)
    return HTMLResponse(text, headers=HEADERS)


def chosen(context: Resources, funnel: str | None) -> tuple[str | None, Served | None]:
    """The funnel that is asked for, else the first that is served, else the first there is; and what it serves.

    Raises FunnelNotFoundError for a funnel that is not there.
    """
    name = funnel or min(context.serving.names(), default=None)
    if name is None:
        with context.database.read() as connection:
            name = next((record.name for record in list_funnels(connection)), None)
    if name is None:
        return None, None
    try:
        return name, served_version(context, name, None)[0]
    except VersionNotFoundError:
        return name, None


@router.get("/")
def get_overview(context: Context, funnel: Text = None) -> HTMLResponse:
    """The funnel, and the next days' totals."""
    name, served = chosen(context, funnel)
    if served is None:
        return show("empty.html", context, here="/", funnel=name)
    values = {"served": served, "unit": served.funnel.frequency, "note": last_day_note(served)}
    return show("overview.html", context, here="/", funnel=name, **values, **overview(served))


@router.get("/stage")
def get_stage(
    context: Context,
    funnel: Text = None,
    stage: Text = None,
    segment: Text = None,
    horizon: Annotated[int | None, Query()] = None,
) -> HTMLResponse:
    """One series."""
    name, served = chosen(context, funnel)
    if served is None:
        return show("empty.html", context, here="/stage", funnel=name)
    values = {"served": served, "unit": served.funnel.frequency, "note": last_day_note(served)}
    stage, segment = stage or served.funnel.stages[-1], segment or TOTAL
    found = stage_page(served, stage=stage, segment=segment, horizon=horizon, stale=context.serving.stale)
    return show("stage.html", context, here="/stage", funnel=name, **values, **found)


@router.get("/scorecard")
def get_scorecard_page(context: Context, funnel: Text = None, segment: Text = None) -> HTMLResponse:
    """Skill and calibration."""
    name, served = chosen(context, funnel)
    if served is None:
        return show("empty.html", context, here="/scorecard", funnel=name)
    found = scorecard_page(served, segment=segment or TOTAL)
    return show("scorecard.html", context, here="/scorecard", funnel=name, served=served, **found)


@router.get("/runs")
def get_runs_page(context: Context, funnel: Text = None) -> HTMLResponse:
    """Retrains, and what was repaired, refused or late."""
    name, served = chosen(context, funnel)
    if name is None:
        return show("empty.html", context, here="/runs", funnel=name)
    runs = get_runs(context, name, LISTED)["runs"]
    values = {
        "runs": [{**run, "seconds": sum(phase["seconds"] for phase in run["phases"])} for run in runs],
        "running": any(run["status"] in OPEN for run in runs),
        "quality": served and served.quality,
        "uploads": get_quality(name, context)["uploads"],
        "refused": refused_uploads(context),
        "most": LISTED,
    }
    return show("runs.html", context, here="/runs", funnel=name, **values)


def refused_uploads(context: Resources) -> float:
    """Uploads that this process has refused."""
    samples = [sample for metric in context.metrics.refused_uploads.collect() for sample in metric.samples]
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


@router.post("/runs")
def post_run(request: Request, context: Context, funnel: Text = None) -> RedirectResponse:
    """Start a retrain, and show it."""
    check_origin(request)
    name, _ = chosen(context, funnel)
    if name is None:
        raise ProblemError(404, "funnel-not-found", "there is no funnel to retrain")
    post_retrain(name, context, Response())
    return RedirectResponse(link("/runs", funnel=name), status_code=303)


def check_origin(request: Request) -> None:
    """Raise ProblemError (403) for a form that another site has sent: browsers say where a form comes from."""
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site") == "cross-site" or (
        origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    ):
        raise ProblemError(403, "invalid-request", "this form was sent from another site; send it from the dashboard")


@router.get("/static/{name}")
def get_static(name: str) -> Response:
    """Style and script of the pages."""
    content = static_file(name)
    if content is None:
        raise ProblemError(404, "not-found", "there is no such file")
    return Response(content, media_type=STATIC[name], headers={"cache-control": "public, max-age=300"})
