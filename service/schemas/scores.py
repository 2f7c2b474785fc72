"""How far forecasts can be trusted, and what they were made from."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import Field

from models.funnel import Measure
from service.schemas.common import Schema


class LiveScore(Schema):
    """What became of published forecasts of some steps; null where nothing has arrived."""

    stage: str
    steps: str
    first: int
    last: int
    n: int = Field(description="Actuals that have arrived, each as first known.")
    wql: float | None
    bias: float | None = Field(description="Summed error over summed actuals; positive: too much was forecast.")
    coverage80: float | None
    coverage95: float | None
    revision: float | None = Field(description="Absolute change of the mean from version to version, relative to it.")


class SeriesLiveScore(LiveScore):
    """The same of one series."""

    segment: str


class DriftingSeries(Schema):
    """A series whose recent live loss is far above the backtest's."""

    segment: str
    stage: str
    ratio: float = Field(description="Recent live loss of steps 1-7 over the backtest's.")


class LiveDocument(Schema):
    """Published forecasts against the actuals that have arrived since."""

    pooled: list[LiveScore] = Field(description="By stage and steps, over all series.")
    scores: list[SeriesLiveScore]
    drifting: list[DriftingSeries]
    looked_at: int = Field(description="Days and series compared with the interval published just before.")
    outside: int = Field(description="Of these, how many were outside the 95 % interval; 5 % by chance.")


class AlertDocument(Schema):
    """An actual outside its interval."""

    segment: str
    stage: str
    date: date
    actual: float
    lower: float
    upper: float
    level: int


class AlertsDocument(Schema):
    """Days on which an actual left its interval, newest first."""

    funnel: str
    version: int
    published_at: datetime
    stale: bool
    level: int = Field(description="Of the interval, percent.")
    periods: int = Field(description="Days or weeks before the cutoff that are listed.")
    alerts: list[AlertDocument]


class ScorecardDocument(Schema):
    """Accuracy, skill and coverage by stage and step: backtest (`scores`) and live, when the version was published."""

    funnel: str
    version: int
    published_at: datetime
    stale: bool
    measure: Measure
    scores: list[dict[str, Any]]
    live: LiveDocument | None = Field(description="Null for a version from before there were live scores.")


class QualityDocument(Schema):
    """What was repaired, refused, late or missing."""

    funnel: str
    version: int | None
    published_at: datetime | None
    quality: Any = Field(description="The repairs behind the served version.")
    uploads: list[dict[str, Any]] = Field(description="Reports of the latest uploads, newest first.")
