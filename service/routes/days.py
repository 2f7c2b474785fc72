"""Campaigns, launches and closures from a calendar."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request

from service.problems import ProblemError
from service.routes.bodies import SpooledBody
from service.routes.context import Context, Resources
from service.routes.funnels import document_from_funnel
from service.schemas.common import FunnelName, problem_responses
from service.schemas.funnels import FunnelDocument

MEDIA_TYPES = ("text/calendar", "application/json")
LARGEST = 4 * 1024 * 1024
"""Bytes of a calendar."""

router = APIRouter(tags=["funnels"])


@router.put(
    "/v1/funnels/{funnel}/days",
    response_model=FunnelDocument,
    openapi_extra={"requestBody": {"required": True, "content": {kind: {} for kind in MEDIA_TYPES}}},
    responses=problem_responses(404, 413, 415, 422, 503),
)
async def put_days(request: Request, funnel: FunnelName, context: Context) -> dict[str, Any]:
    """Declare the days of a calendar in place of those declared before.

    The next retrain tries them on past days, and uses them unless they forecast worse, as its reason tells; till then,
    and if they do, the days before go on being used, those that were withdrawn as well.

    iCalendar as calendars export it, or a JSON list of {name, start, end, stages, segments}.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in MEDIA_TYPES:
        raise ProblemError(415, "unsupported-media-type", f"the body is {' or '.join(MEDIA_TYPES)}")
    with SpooledBody(limit=LARGEST) as body:
        await body.fill(request.stream())
        return await run_sync(declare, context, funnel, body.file.read())


def declare(context: Resources, name: str, content: bytes) -> dict[str, Any]:
    """Store the days; the funnel as it now is. Raises as `service.ingest.declaring.declare_days`."""
    from service.ingest.declaring import declare_days  # noqa: PLC0415 - slow to import

    record = declare_days(context.database, name, content, now=datetime.now(UTC))
    with context.database.read() as connection:
        return document_from_funnel(connection, record)
