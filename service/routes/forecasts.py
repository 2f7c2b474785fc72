"""Published forecasts, and how far they can be trusted."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Query, Response

from models.funnel import Measure
from service.columns import (
    Form,
    csv_from_columns,
    long_columns,
    long_document,
    parquet_from_columns,
    parquet_installed,
    step_columns,
)
from service.document import forecast_document, header_document, scorecard_document
from service.live import alerts_document, live_document
from service.routes.context import Context, Resources
from service.routes.negotiation import accepted_type, etag_matches, make_etag
from service.schemas.common import FunnelName, problem_responses
from service.schemas.forecasts import ForecastDocument, LongForecastDocument
from service.schemas.scores import AlertsDocument, QualityDocument, ScorecardDocument
from service.selection import Selection, levels_from_text
from service.serving import Served
from service.store.errors import VersionNotFoundError
from service.store.funnels import get_funnel
from service.store.uploads import list_uploads
from service.texts import instant_from_text

PARQUET = "application/vnd.apache.parquet"
MEDIA_TYPES = ("application/json", "text/csv", PARQUET)
FORM_HELP = "steps: one row a step; long: one row a quantile (segment, stage, ds, step, quantile, value, ...)."
LISTED_UPLOADS = 50

MeasureQuery = Annotated[Measure, Query(description="How many, or what they are worth: sums of `value`.")]

router = APIRouter(tags=["forecasts"])


def selection_from_query(
    stage: Annotated[list[str] | None, Query(max_length=100, description="Stages; all when left out.")] = None,
    segment: Annotated[list[str] | None, Query(max_length=100, description="Segments; all when left out.")] = None,
    horizon: Annotated[int | None, Query(description="Steps; 28 days or 4 weeks when left out.")] = None,
    level: Annotated[str, Query(max_length=40, description="Central percents, such as 80,95.")] = "80,95",
    measure: MeasureQuery = "count",
) -> Selection:
    """What is asked for, from the query string."""
    return Selection(tuple(stage or ()), tuple(segment or ()), horizon, levels_from_text(level), measure)


@router.get(
    "/v1/funnels/{funnel}/forecast",
    response_model=None,
    responses={
        200: {
            "model": ForecastDocument | LongForecastDocument,
            "description": "JSON, CSV or Parquet, by Accept.",
            "content": {"text/csv": {}, PARQUET: {}},
        },
        304: {"description": "The caller has this answer already."},
        **problem_responses(404, 406, 422, 503),
    },
)
def get_forecast(
    funnel: FunnelName,
    context: Context,
    selection: Annotated[Selection, Depends(selection_from_query)],
    as_of: Annotated[
        str | None,
        Query(max_length=40, description="The newest version published by this instant, whichever was active."),
    ] = None,
    form: Annotated[Form, Query(alias="format", description=FORM_HELP)] = "steps",
    accept: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The published forecast, from memory; as of a past instant, from the store."""
    kind = forecast_type(accept)
    served, stale = served_version(context, funnel, as_of)
    rules = served.funnel.gate, served.funnel.max_horizon  # they change what is answered without a new version
    etag = make_etag(served.version_id, rules, selection, stale, kind, form)
    headers = {"etag": etag, "vary": "Accept", "cache-control": "no-cache"}
    if etag_matches(etag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(
        forecast_body(served, selection, stale=stale, kind=kind, form=form), media_type=kind, headers=headers
    )


def forecast_type(accept: str | None) -> str:
    """The media type to answer in; 406, and what to install, when only Parquet would do and cannot be written."""
    if parquet_installed():
        return accepted_type(accept, MEDIA_TYPES)
    return accepted_type(accept, MEDIA_TYPES[:-1], absent="; Parquet needs the extra on the server: nearcast[parquet]")


def forecast_body(served: Served, selection: Selection, *, stale: bool, kind: str, form: Form) -> bytes:
    """The answer in one of the media types and forms. Raises as `service.document.select`."""
    if kind == "application/json":
        make = long_document if form == "long" else forecast_document
        return orjson.dumps(make(served, selection, stale=stale))
    columns = step_columns(served, selection, stale=stale)
    if form == "long":
        columns = long_columns(columns)
    if kind == "text/csv":
        return csv_from_columns(columns).encode()
    return parquet_from_columns(columns, header=header_document(served, selection, stale=stale))


@router.get(
    "/v1/funnels/{funnel}/scorecard", response_model=ScorecardDocument, responses=problem_responses(404, 422, 503)
)
def get_scorecard(funnel: FunnelName, context: Context, measure: MeasureQuery = "count") -> dict[str, Any]:
    """Accuracy, skill and coverage by stage and steps: backtest (`scores`), and counts as published (`live`)."""
    served, stale = served_version(context, funnel, None)
    return {**scorecard_document(served, stale=stale, measure=measure), "live": live_document(served)}


@router.get("/v1/funnels/{funnel}/alerts", response_model=AlertsDocument, responses=problem_responses(404, 422, 503))
def get_alerts(funnel: FunnelName, context: Context) -> dict[str, Any]:
    """Recent days on which an actual left the 95 % interval that had been published for it, newest first."""
    served, stale = served_version(context, funnel, None)
    return alerts_document(served, stale=stale)


@router.get("/v1/funnels/{funnel}/quality", response_model=QualityDocument, responses=problem_responses(404, 422, 503))
def get_quality(funnel: FunnelName, context: Context) -> dict[str, Any]:
    """What cleaning repaired behind the served version, and what the latest uploads reported."""
    with context.database.read() as connection:
        uploads = list_uploads(connection, get_funnel(connection, funnel).id, limit=LISTED_UPLOADS)
    served = context.serving.find(funnel)
    return {
        "funnel": funnel,
        "version": served and served.version,
        "published_at": served and served.published_at,
        "quality": served and served.quality,
        "uploads": [{"recorded_at": upload.recorded_at, **upload.report} for upload in uploads],
    }


def served_version(context: Resources, funnel: str, as_of: str | None) -> tuple[Served, bool]:
    """The version to answer from, and whether it may be out of date.

    Raises FunnelNotFoundError, or VersionNotFoundError when nothing had been published.
    """
    if as_of is not None:
        instant = instant_from_text(as_of, field="as_of")
        past = context.serving.as_of(funnel, instant)
        if past is None:
            raise VersionNotFoundError(f"nothing had been published for {funnel!r} as of {instant.isoformat()}")
        return past, False
    served = context.serving.find(funnel)
    if served is None:
        served = newly_published(context, funnel)
    return served, context.serving.stale


def newly_published(context: Resources, funnel: str) -> Served:
    """The version of a funnel not in memory: published this moment, or not at all."""
    with context.database.read() as connection:
        get_funnel(connection, funnel)
    context.serving.refresh()
    served = context.serving.find(funnel)
    if served is None:
        raise VersionNotFoundError(f"{funnel!r} has no published forecast yet; POST /v1/funnels/{funnel}/retrain")
    return served
