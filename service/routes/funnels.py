"""Declaring funnels, and looking at them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from sqlalchemy.engine import Connection

from service.routes.bodies import read_json
from service.routes.context import Context, Resources
from service.schedule import check_schedule
from service.schemas.common import FunnelName, problem_responses
from service.schemas.funnels import FunnelDeclaration, FunnelDocument, FunnelList
from service.store.funnels import (
    FunnelRecord,
    declaration_from_funnel,
    declare_funnel,
    find_funnel,
    get_funnel,
    list_funnels,
    next_due_of,
    set_schedule,
)
from service.store.versions import get_version

DECLARATION = {"$ref": "#/components/schemas/FunnelDeclaration"}
LARGEST_DECLARATION = 1024 * 1024
"""Bytes of a funnel declaration."""

router = APIRouter(tags=["funnels"])


def document_from_funnel(connection: Connection, record: FunnelRecord) -> dict[str, Any]:
    """A stored funnel as JSON."""
    active = record.active_version_id
    return {
        "funnel": record.name,
        "declaration": declaration_from_funnel(record.funnel) | {"schedule": record.schedule},
        "inferred": record.inferred,
        "active_version": None if active is None else get_version(connection, active).number,
        "next_due_at": next_due_of(record),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


@router.put(
    "/v1/funnels/{funnel}",
    response_model=FunnelDocument,
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": DECLARATION}}}},
    responses={201: {"model": FunnelDocument, "description": "Made."}, **problem_responses(413, 415, 422, 503)},
)
async def put_funnel(request: Request, funnel: FunnelName, context: Context, response: Response) -> dict[str, Any]:
    """Declare a funnel, or change it.

    `gate` and `max_horizon` rule what is served at once, `schedule` when it is retrained; all else takes effect with
    the next retrain: `country`, `declared_days` and `due_stage`, changed alone, unless they forecast past days worse.
    """
    declaration = await read_json(request, FunnelDeclaration, limit=LARGEST_DECLARATION)
    document, made = await run_sync(declare, context, funnel, declaration)
    response.status_code = 201 if made else 200
    return document


def declare(context: Resources, name: str, declaration: FunnelDeclaration) -> tuple[dict[str, Any], bool]:
    """Store a declaration; the funnel as it now is, and whether it is new.

    Raises FunnelError for what an upload may not declare either.
    """
    from service.ingest.declaring import check_declaration, check_timezone_stays  # noqa: PLC0415 - slow to import

    funnel = declaration.funnel()
    check_declaration(funnel)
    if declaration.schedule is not None:
        check_schedule(declaration.schedule)
    now = datetime.now(UTC)
    with context.database.write() as connection:
        known = find_funnel(connection, name)
        if known is not None:
            check_timezone_stays(known, funnel.timezone)
        record = declare_funnel(connection, name, funnel, now=now)
        record = set_schedule(connection, record, declaration.schedule, now=now)
        return document_from_funnel(connection, record), known is None


@router.get("/v1/funnels/{funnel}", response_model=FunnelDocument, responses=problem_responses(404, 422, 503))
def get_one_funnel(funnel: FunnelName, context: Context) -> dict[str, Any]:
    """One funnel's declaration, whether it was inferred, and the version it serves."""
    with context.database.read() as connection:
        return document_from_funnel(connection, get_funnel(connection, funnel))


@router.get("/v1/funnels", response_model=FunnelList, responses=problem_responses(503))
def get_funnels(context: Context) -> dict[str, Any]:
    """All funnels that the key is for, by name."""
    with context.database.read() as connection:
        seen = [record for record in list_funnels(connection) if context.caller.sees(record.name)]
        return {"funnels": [document_from_funnel(connection, record) for record in seen]}
