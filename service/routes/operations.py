"""What operators and their machines ask: is it alive, is it ready, how is it doing."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.problems import RETRY_AFTER, ProblemError
from service.routes.context import Context
from service.schemas.common import Health, problem_responses

router = APIRouter(tags=["operations"])


@router.get("/healthz", response_model=Health)
async def get_health() -> dict[str, str]:
    """Whether the process lives; asks nothing of the store."""
    return {"status": "ok"}


@router.get("/readyz", response_model=Health, responses=problem_responses(503))
def get_readiness(context: Context) -> dict[str, str]:
    """Whether requests can be answered: published forecasts are loaded, if only from before the store went away."""
    if not context.serving.loaded:
        detail = "the store has not been read since the start"
        raise ProblemError(503, "store-unavailable", detail, headers={"retry-after": RETRY_AFTER})
    if context.keyring is not None and not context.keyring.loaded:
        detail = "which keys are good is not known: the store has not been read since the start"
        raise ProblemError(503, "store-unavailable", detail, headers={"retry-after": RETRY_AFTER})
    stale = context.serving.stale
    return {"status": "ready", "detail": "the store is away; what is served is stale" if stale else ""}


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def get_metrics(context: Context) -> Response:
    """Prometheus metrics."""
    return Response(generate_latest(context.metrics.registry), media_type=CONTENT_TYPE_LATEST)
