"""Declaring funnels, and looking at them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.engine import Connection

from service.routes.context import Context
from service.schemas import FunnelDeclaration, FunnelDocument, FunnelList, FunnelName, problem_responses
from service.store.funnels import (
    FunnelRecord,
    declaration_from_funnel,
    declare_funnel,
    find_funnel,
    get_funnel,
    list_funnels,
)
from service.store.versions import get_version

LARGEST_DECLARATION = 1024 * 1024
"""Bytes of a funnel declaration."""

router = APIRouter(tags=["funnels"])


def document_from_funnel(connection: Connection, record: FunnelRecord) -> dict[str, Any]:
    """A stored funnel as JSON."""
    active = record.active_version_id
    return {
        "funnel": record.name,
        "declaration": declaration_from_funnel(record.funnel),
        "inferred": record.inferred,
        "active_version": None if active is None else get_version(connection, active).number,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


@router.put(
    "/v1/funnels/{funnel}",
    response_model=FunnelDocument,
    max_body_size=LARGEST_DECLARATION,
    responses={201: {"model": FunnelDocument, "description": "Made."}, **problem_responses(400, 413, 422, 503)},
)
def put_funnel(
    funnel: FunnelName, declaration: FunnelDeclaration, context: Context, response: Response
) -> dict[str, Any]:
    """Declare a funnel, or change it; what is served stays as it is until the next retrain."""
    with context.database.write() as connection:
        if find_funnel(connection, funnel) is None:
            response.status_code = 201
        record = declare_funnel(connection, funnel, declaration.funnel(), now=datetime.now(UTC))
        return document_from_funnel(connection, record)


@router.get("/v1/funnels/{funnel}", response_model=FunnelDocument, responses=problem_responses(404, 422, 503))
def get_one_funnel(funnel: FunnelName, context: Context) -> dict[str, Any]:
    """One funnel's declaration, whether it was inferred, and the version it serves."""
    with context.database.read() as connection:
        return document_from_funnel(connection, get_funnel(connection, funnel))


@router.get("/v1/funnels", response_model=FunnelList, responses=problem_responses(503))
def get_funnels(context: Context) -> dict[str, Any]:
    """All funnels, by name."""
    with context.database.read() as connection:
        return {"funnels": [document_from_funnel(connection, record) for record in list_funnels(connection)]}
