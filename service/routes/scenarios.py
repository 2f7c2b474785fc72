"""What if: levers moved on the served version."""

from __future__ import annotations

import orjson
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from service.routes.bodies import read_json
from service.routes.context import Context, Resources
from service.routes.forecasts import served_version
from service.scenario import Scenario, scenario_document
from service.schemas.common import FunnelName, problem_responses
from service.schemas.levers import ScenarioDocument, ScenarioRequest
from service.store.versions import read_responses

SCENARIO = {"$ref": "#/components/schemas/ScenarioRequest"}
LARGEST_SCENARIO = 256 * 1024
"""Bytes of a request."""

router = APIRouter(tags=["forecasts"])


@router.post(
    "/v1/funnels/{funnel}/scenario",
    response_model=None,
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": SCENARIO}}}},
    responses={200: {"model": ScenarioDocument}, **problem_responses(404, 409, 413, 415, 422, 503)},
)
async def post_scenario(request: Request, funnel: FunnelName, context: Context) -> Response:
    """What would change at each stage and day if inflow, conversion or delay changed.

    Exact arithmetic on the estimated rates, not a causal claim; nothing is stored.
    """
    asked = await read_json(request, ScenarioRequest, limit=LARGEST_SCENARIO)
    scenario = Scenario(tuple(lever.asked() for lever in asked.levers), asked.horizon)
    return Response(await run_sync(answer, context, funnel, scenario), media_type="application/json")


def answer(context: Resources, funnel: str, scenario: Scenario) -> bytes:
    """The forecasts are in memory, the responses of the segments that are asked for come from the store."""
    served, stale = served_version(context, funnel, None)
    with context.database.read() as connection:
        packed = read_responses(connection, served.version_id, scenario.segments)
    return orjson.dumps(scenario_document(served, packed, scenario, stale=stale))
