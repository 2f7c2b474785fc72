"""Retraining: start a run, look at runs and at the versions they published."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from models.funnel import changed_settings
from service.document import document_from_run, note_on_activation
from service.jobs import TooManyJobsError
from service.problems import RETRY_AFTER, ProblemError
from service.routes.context import Context
from service.schemas.common import FunnelName, problem_responses
from service.schemas.runs import ActivationDocument, RunDocument, RunList, VersionList
from service.store.funnels import get_funnel
from service.store.runs import get_run, list_runs
from service.store.versions import Version, activate_version, list_versions

LARGEST_ID = 2**31 - 1
Limit = Annotated[int, Query(ge=1, le=1000, description="Most entries.")]

router = APIRouter(tags=["retraining"])


def document_from_version(version: Version, *, active: bool) -> dict[str, Any]:
    """A version as JSON, without its scorecard."""
    return {
        "version": version.number,
        "active": active,
        "published_at": version.created_at,
        "cutoff": version.cutoff,
        "horizon": version.horizon,
        "model": version.model,
        "reason": version.reason,
        "watermark": version.watermark,
    }


@router.post(
    "/v1/funnels/{funnel}/retrain",
    status_code=202,
    response_model=RunDocument,
    responses=problem_responses(404, 422, 503),
)
def post_retrain(funnel: FunnelName, context: Context, response: Response) -> dict[str, Any]:
    """Start a retrain in a process of its own; while one is going on, that one is answered."""
    try:
        run = context.jobs.start(funnel)
    except TooManyJobsError as error:
        raise ProblemError(503, "overloaded", str(error), headers={"retry-after": RETRY_AFTER}) from error
    response.headers["location"] = f"/v1/runs/{run.id}"
    return document_from_run(run)


@router.get("/v1/runs", response_model=RunList, responses=problem_responses(404, 422, 503))
def get_runs(
    context: Context,
    funnel: Annotated[str | None, Query(max_length=64, description="Of one funnel; all when left out.")] = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """The newest runs, newest first."""
    if funnel is not None:
        context.caller.check_funnel(funnel)
    with context.database.read() as connection:
        funnel_id = None if funnel is None else get_funnel(connection, funnel).id
        runs = list_runs(connection, funnel_id=funnel_id, among=context.caller.funnels, limit=limit)
    return {"runs": [document_from_run(run) for run in runs]}


@router.get("/v1/runs/{run}", response_model=RunDocument, responses=problem_responses(404, 422, 503))
def get_one_run(
    run: Annotated[int, Path(ge=1, le=LARGEST_ID, description="Number of the run.")], context: Context
) -> dict[str, Any]:
    """One run, with its phases and the reason it ended; what it published is served when it is answered as ended."""
    with context.database.read() as connection:
        found = get_run(connection, run)
    context.caller.check_funnel(found.funnel)
    if found.version_id is not None:
        context.serving.catch_up(found.funnel, found.version_id)
    return document_from_run(found)


@router.get("/v1/funnels/{funnel}/versions", response_model=VersionList, responses=problem_responses(404, 422, 503))
def get_versions(funnel: FunnelName, context: Context, limit: Limit = 100) -> dict[str, Any]:
    """Published versions, newest first; the active one is served."""
    with context.database.read() as connection:
        record = get_funnel(connection, funnel)
        versions = list_versions(connection, record.id, limit=limit)
    active = record.active_version_id
    return {
        "funnel": funnel,
        "versions": [document_from_version(version, active=version.id == active) for version in versions],
    }


@router.post(
    "/v1/funnels/{funnel}/versions/{version}/activate",
    response_model=ActivationDocument,
    responses=problem_responses(404, 422, 503),
)
def post_activation(
    funnel: FunnelName,
    version: Annotated[int, Path(ge=1, le=LARGEST_ID, description="Number of the version.")],
    context: Context,
) -> dict[str, Any]:
    """Serve this version instead, at once; other servers of the store follow in moments.

    The next retrain continues from it, and takes in again what was uploaded since. It uses the declaration that the
    funnel has then: activating a version made under another one does not bring that back.
    """
    with context.database.write() as connection:
        record = get_funnel(connection, funnel)
        activated = activate_version(connection, record.id, version)
    context.serving.refresh()
    return {
        **document_from_version(activated, active=True),
        "changed_settings": changed_settings(activated.funnel, record.funnel),
        "note": note_on_activation(activated, record.funnel),
    }
