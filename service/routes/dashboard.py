"""The dashboard's pages: what is served, made into HTML on the server; no address outside it is referred to."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from models.funnel import TOTAL
from service.dashboard.lateness import late_by_age
from service.dashboard.live import live_page
from service.dashboard.lookback import look_back
from service.dashboard.overview import last_day_note, overview
from service.dashboard.rendering import STATIC, link, static_file
from service.dashboard.scorecard import scorecard_page
from service.dashboard.stage import stage_page
from service.problems import ProblemError
from service.routes.access import check_origin
from service.routes.context import Context, Resources
from service.routes.forecasts import get_quality
from service.routes.pages import Page, Text, chosen, show
from service.routes.runs import get_runs, post_retrain
from service.serving import Served
from service.store.errors import StoreUnavailableError
from service.store.funnels import get_funnel
from service.store.runs import OPEN
from service.store.versions import list_versions

RECENT = 10
"""Versions among which an earlier cutoff is looked for."""
LISTED = 50
"""Runs, repairs and fallbacks on a page."""

router = APIRouter(route_class=Page, include_in_schema=False)


@router.get("/")
def get_overview(context: Context, funnel: Text = None) -> HTMLResponse:
    """The funnel, and the next days' totals."""
    name, served = chosen(context, funnel)
    if served is None:
        return show("empty.html", context, here="/", funnel=name)
    values: dict[str, Any] = {"served": served, "unit": served.funnel.frequency, "note": last_day_note(served)}
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
    values: dict[str, Any] = {"served": served, "unit": served.funnel.frequency, "note": last_day_note(served)}
    stage, segment = stage or served.funnel.stages[-1], segment or TOTAL
    found = stage_page(served, stage=stage, segment=segment, horizon=horizon, stale=context.serving.stale)
    return show("stage.html", context, here="/stage", funnel=name, **values, **found)


@router.get("/scorecard")
def get_scorecard_page(context: Context, funnel: Text = None, segment: Text = None) -> HTMLResponse:
    """How published forecasts fared, and the backtest's skill and calibration."""
    name, served = chosen(context, funnel)
    if served is None:
        return show("empty.html", context, here="/scorecard", funnel=name)
    segment = segment or TOTAL
    found = {**scorecard_page(served, segment=segment), "live": live_page(served, segment=segment)}
    earlier = earlier_version(context, served)
    if earlier is not None:
        found |= {"earlier": earlier, "lookback": look_back(earlier, served, segment=segment)}
    return show("scorecard.html", context, here="/scorecard", funnel=name, served=served, **found)


def earlier_version(context: Resources, served: Served) -> Served | None:
    """The last version published with an earlier cutoff; None without one, and while the store is away."""
    try:
        with context.database.read() as connection:
            versions = list_versions(connection, get_funnel(connection, served.name).id, limit=RECENT)
        earlier = (each for each in versions if each.number < served.version and each.cutoff < served.cutoff)
        found = next(earlier, None)
        return None if found is None else context.serving.as_of(served.name, found.created_at)
    except StoreUnavailableError:
        return None


@router.get("/runs")
def get_runs_page(context: Context, funnel: Text = None) -> HTMLResponse:
    """Retrains, and what was repaired, refused or late."""
    name, served = chosen(context, funnel)
    if name is None:
        return show("empty.html", context, here="/runs", funnel=name)
    runs = get_runs(context, name, LISTED)["runs"]
    uploads = get_quality(name, context)["uploads"]
    late = late_by_age(uploads)
    values = {
        "runs": [{**run, "seconds": sum(phase["seconds"] for phase in run["phases"])} for run in runs],
        "running": any(run["status"] in OPEN for run in runs),
        "quality": served and served.quality,
        "uploads": uploads,
        "late": late,
        "late_rows": sum(rows for _, rows, _ in late),
        "refused": refused_uploads(context),
        "refusals": context.refusals.of(name),
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


@router.get("/static/{name}")
def get_static(name: str) -> Response:
    """Style and script of the pages."""
    content = static_file(name)
    if content is None:
        raise ProblemError(404, "not-found", "there is no such file")
    return Response(content, media_type=STATIC[name], headers={"cache-control": "public, max-age=300"})
