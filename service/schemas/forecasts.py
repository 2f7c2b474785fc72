"""Forecasts, step by step or quantile by quantile."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from models.funnel import Measure
from service.schemas.common import Schema


class StepDocument(Schema):
    """One step of a forecast: counts, or money where value is asked for."""

    step: int = Field(ge=1)
    date: date
    mean: float
    reliable: bool
    in_flight: float | None = Field(description="From entities in the funnel at the cutoff.")
    new: float | None = Field(description="From entities still to enter.")
    in_flight_intervals: dict[str, tuple[float, float]] | None
    new_intervals: dict[str, tuple[float, float]] | None
    quantiles: dict[str, float]
    intervals: dict[str, tuple[float, float]]


class CoverageDocument(Schema):
    """Share of backtest actuals inside the interval, and of how many."""

    measured: float | None
    samples: int


class CompletenessDocument(Schema):
    """How much of a young day is told of, as learnt from the uploads: median of the weeks, and their quartiles."""

    ds: date
    share: float = Field(ge=0, le=1)
    low: float
    high: float


class DeclaredEffectDocument(Schema):
    """A declared day or range ahead, and what the same name did to this series before."""

    name: str
    start: date
    end: date
    factor: float = Field(description="By which the forecast is multiplied; 1 while none is known.")
    evidence: int = Field(description="Earlier days (weeks) of that name that the factor is learnt from.")
    text: str = Field(description="The same for people.")


class SeriesForecast(Schema):
    """The forecast of one stage and segment."""

    segment: str
    stage: str
    model: str
    reliable_until: int
    fallback_reason: str | None
    refused: str | None = Field(description="Why steps past reliable_until are left out; null when none are.")
    coverage: dict[str, CoverageDocument]
    repairs: list[str]
    declared: list[DeclaredEffectDocument] = Field(
        description="Declared days that the steps hold: campaigns, launches, closures."
    )
    completeness: list[CompletenessDocument] = Field(
        description="Days that are told of late and not complete at the cutoff, newest first: the forecast starts from "
        "what they are likely to come to."
    )
    steps: list[StepDocument]


class ForecastDocument(Schema):
    """Published forecasts of one funnel at one version."""

    funnel: str
    version: int
    cutoff: date
    published_at: datetime
    stale: bool = Field(description="True while the store is away and the last known version answers.")
    frequency: Literal["day", "week"]
    measure: Measure
    horizon: int
    levels: list[int]
    forecasts: list[SeriesForecast]


class QuantileRow(Schema):
    """One quantile of one step of one series."""

    segment: str
    stage: str
    ds: date = Field(description="Last day of the step.")
    step: int
    quantile: float
    value: float
    mean: float
    in_flight: float | None
    new: float | None
    reliable: bool
    model: str


class LongForecastDocument(Schema):
    """The same with one row per quantile: `format=long`."""

    funnel: str
    version: int
    cutoff: date
    published_at: datetime
    stale: bool
    frequency: Literal["day", "week"]
    measure: Measure
    horizon: int
    levels: list[int]
    rows: list[QuantileRow]
