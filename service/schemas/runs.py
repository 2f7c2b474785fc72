"""Retrain runs, and the versions they publish."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from service.schemas.common import Schema


class PhaseDocument(Schema):
    """A part of a run, and how long it took."""

    name: str
    seconds: float


class RunDocument(Schema):
    """One run of the retrain job."""

    run: int
    funnel: str
    status: Literal["queued", "running", "succeeded", "failed"]
    reason: str | None = Field(description="Why it ended.")
    phases: list[PhaseDocument]
    counts: dict[str, int]
    published: bool
    due_at: datetime | None = Field(description="The due instant of the schedule that it answers; null: asked for.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime


class RunList(Schema):
    """Runs, newest first."""

    runs: list[RunDocument]


class VersionDocument(Schema):
    """A published version."""

    version: int
    active: bool
    published_at: datetime
    cutoff: date
    horizon: int
    model: str
    reason: str
    watermark: int = Field(description="Number of the last upload it has read.")


class ActivationDocument(VersionDocument):
    """A version that is served from now on."""

    changed_settings: list[str] = Field(
        description="Settings of the funnel's declaration that were others when the version was made."
    )
    note: str | None = Field(description="What the next retrain makes of that; null when no setting was another.")


class VersionList(Schema):
    """Versions of a funnel, newest first."""

    funnel: str
    versions: list[VersionDocument]
