"""Scenarios: levers moved, and what that changes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from models.funnel import TOTAL
from service.scenario import AskedLever
from service.schemas.common import Name, Schema


class LeverSchema(Schema):
    """One change; of an inflow give `percent` or `add`, of a conversion `percent`, of a delay `days`."""

    kind: Literal["inflow", "conversion", "delay"]
    stage: Name = Field(description="Stage that is reached: by more entities, by a larger share, later.")
    segment: Name = Field(default=TOTAL, description="Segment; levers on segments change the total by their sum.")
    percent: float | None = Field(default=None, description="-100 to 1000.")
    add: float | None = Field(default=None, description="Entities more per step; negative: fewer.")
    days: int | None = Field(default=None, description="Steps later; negative: earlier.")
    start: date | None = Field(default=None, description="First day; the one after the cutoff when null.")
    end: date | None = Field(default=None, description="Last day, inclusive; without end when null.")

    def asked(self) -> AskedLever:
        """The lever as the scenario knows it."""
        return AskedLever(**self.model_dump())


class ScenarioRequest(Schema):
    """What is to change; all levers work together."""

    levers: list[LeverSchema] = Field(min_length=1, max_length=100)
    horizon: int | None = Field(default=None, description="Steps; 28 days or 4 weeks when null.")


class LeverDocument(Schema):
    """A lever as it was understood."""

    kind: Literal["inflow", "conversion", "delay"]
    stage: str
    segment: str
    percent: float | None
    add: float | None
    days: int | None
    start: date
    end: date | None


class ScenarioStep(Schema):
    """One step: the published mean, the change, and both together, never below 0."""

    step: int
    date: date
    mean: float
    change: float
    scenario: float


class ArrivalDocument(Schema):
    """A step and its day."""

    step: int
    date: date


class ScenarioSeries(Schema):
    """One stage of one segment; sums are over `steps`."""

    segment: str
    stage: str
    reliable_until: int
    refused: str | None = Field(description="Why steps past reliable_until are left out; null when none are.")
    mean: float
    change: float
    scenario: float
    in_flight: float | None = Field(description="The part of `mean` from entities in the funnel at the cutoff.")
    decided: float | None = Field(description="in_flight / mean: what no inflow can change any more.")
    half_arrived: ArrivalDocument | None = Field(description="When half of the change has arrived; null without any.")
    steps: list[ScenarioStep]


class ScenarioDocument(Schema):
    """What would change at each stage: arithmetic on the estimated rates, not a causal claim."""

    funnel: str
    version: int
    cutoff: date
    published_at: datetime
    stale: bool
    frequency: Literal["day", "week"]
    horizon: int
    basis: str = Field(description="How the answer was reckoned, and what it does not claim.")
    levers: list[LeverDocument]
    series: list[ScenarioSeries] = Field(description="Every stage of the total, then of each segment with a lever.")
