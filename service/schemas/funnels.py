"""Declarations of funnels, and uploads to them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from models.funnel import COUNTRY_PATTERN, MAX_STAGES, Funnel
from service.schedule import LONGEST_SCHEDULE
from service.schemas.common import Name, Schema
from service.store.funnels import funnel_from_declaration


class DeclaredDaySchema(Schema):
    """A campaign, launch or closure; no stages or no segments mean all of them."""

    name: Name
    start: date
    end: date | None = Field(default=None, description="Last day; the day of the start when left out.")
    stages: list[Name] = Field(default=[], max_length=200)
    segments: list[Name] = Field(default=[], max_length=200)


class FunnelDeclaration(Schema):
    """What a funnel is; left-out fields take their defaults, so a PUT of the same body changes nothing."""

    stages: list[Name] = Field(
        min_length=1,
        max_length=MAX_STAGES,
        description="In the order in which entities reach them; with the exits at most 200.",
    )
    exits: list[Name] = Field(
        default=[], max_length=MAX_STAGES, description="Terminal side exits such as lost, cancelled."
    )
    segment_by: Name | None = Field(default=None, description="Column that holds the segment.")
    due_stage: Name | None = Field(default=None, description="Stage that `due_on` speaks of.")
    timezone: Name = Field(default="UTC", description="IANA zone in which days are cut.")
    frequency: Literal["day", "week"] = "day"
    week_start: int = Field(default=0, ge=0, le=6, description="0 is Monday.")
    country: str | None = Field(
        default=None, pattern=COUNTRY_PATTERN, description="Public holidays, NL or DE-BY; from the zone when null."
    )
    declared_days: list[DeclaredDaySchema] = Field(default=[], max_length=1000)
    max_horizon: int | None = Field(default=None, ge=1, le=56, description="Longest horizon served, steps.")
    gate: Literal["flag", "refuse"] = Field(default="flag", description="What happens to steps past reliable_until.")
    schedule: str | None = Field(
        default=None,
        max_length=LONGEST_SCHEDULE,
        description="When to retrain: minute, hour, day of month, month and weekday, in the funnel's time zone.",
        examples=["30 5 * * MON-FRI"],
    )

    def funnel(self) -> Funnel:
        """The declaration as models know it; FunnelError naming the field that cannot be."""
        return funnel_from_declaration(self.model_dump(mode="json", exclude={"schedule"}))


class DeclaredDayDocument(Schema):
    """A declared day as stored."""

    name: str
    start: date
    end: date
    stages: list[str]
    segments: list[str]


class DeclarationDocument(Schema):
    """A declaration as stored: without limits, as a store may hold what was declared under wider ones."""

    stages: list[str]
    exits: list[str]
    segment_by: str | None
    due_stage: str | None
    timezone: str
    frequency: Literal["day", "week"]
    week_start: int
    country: str | None
    declared_days: list[DeclaredDayDocument]
    max_horizon: int | None
    gate: Literal["flag", "refuse"]
    schedule: str | None


class FunnelDocument(Schema):
    """A funnel, how it came to be, and the version it serves."""

    funnel: str
    declaration: DeclarationDocument
    inferred: bool = Field(description="True until somebody declares it.")
    active_version: int | None
    next_due_at: datetime | None = Field(
        description="First due instant that no run was started for: overdue when it is past; null without a schedule."
    )
    created_at: datetime
    updated_at: datetime


class FunnelList(Schema):
    """All funnels by name."""

    funnels: list[FunnelDocument]


class IngestDocument(Schema):
    """What became of an upload; rows = inserted + revised + unchanged + duplicates."""

    funnel: str
    kind: Literal["events", "counts"]
    upload: int
    rows: int
    inserted: int
    revised: int
    unchanged: int
    duplicates: int
    retracted: int = Field(description="Stored rows whose cells are empty now, of entities that are in the table.")
    repairs: dict[str, int]
    ages: dict[str, int] = Field(description="New and revised rows by age in days; empty for the first upload.")
    unknown_stages: dict[str, int]
    inferred: dict[str, Any] | None = Field(description="The declaration proposed for an undeclared funnel.")
    notes: list[str]
