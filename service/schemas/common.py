"""What all requests and answers share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from models.funnel import MAX_NAME
from service.store.funnels import NAME_PATTERN

FunnelName = Annotated[str, Path(pattern=f"^{NAME_PATTERN.pattern}$", description="Name of the funnel.")]


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00]+$")]


class Schema(BaseModel):
    """What every answer is: fields in the documentation, nothing else."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class ProblemPlace(Schema):
    """One thing wrong: where, why, and what to do."""

    line: int | None = None
    field: str | None = None
    reason: str
    remedy: str | None = None


class ProblemDocument(BaseModel):
    """RFC 9457; some types carry further members."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemPlace] = []


Responses = dict[int | str, dict[str, Any]]


def problem_responses(*statuses: int) -> Responses:
    """The `responses` of a route that may answer these problems."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    content = {"application/problem+json": {"schema": schema}}
    return {
        status: {"description": "What is wrong and what to do (RFC 9457).", "content": content} for status in statuses
    }


class Health(Schema):
    """Whether the process lives, and whether it can answer."""

    status: Literal["ok", "ready", "unready"]
    detail: str = ""
