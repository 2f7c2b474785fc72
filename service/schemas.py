"""The JSON that goes in and out over HTTP, as it stands in the OpenAPI document."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from models.funnel import COUNTRY_PATTERN, MAX_NAME, MAX_STAGES, TOTAL, Funnel, Measure
from service.scenario import AskedLever
from service.schedule import LONGEST_SCHEDULE
from service.store.funnels import NAME_PATTERN, funnel_from_declaration

FunnelName = Annotated[str, Path(pattern=f"^{NAME_PATTERN.pattern}$", description="Name of the funnel.")]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00]+$")]


class Schema(BaseModel):
    """What every answer is: fields in the documentation, nothing else."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class DeclaredDaySchema(Schema):
    """A campaign, launch or closure; no stages or no segments mean all of them."""

    name: Name
    start: date
    end: date
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
    retracted: int
    repairs: dict[str, int]
    ages: dict[str, int] = Field(description="New and revised rows by age in days; empty for the first upload.")
    unknown_stages: dict[str, int]
    inferred: dict[str, Any] | None = Field(description="The declaration proposed for an undeclared funnel.")
    notes: list[str]


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


class VersionList(Schema):
    """Versions of a funnel, newest first."""

    funnel: str
    versions: list[VersionDocument]


class Health(Schema):
    """Whether the process lives, and whether it can answer."""

    status: Literal["ok", "ready", "unready"]
    detail: str = ""


Responses = dict[int | str, dict[str, Any]]


def problem_responses(*statuses: int) -> Responses:
    """The `responses` of a route that may answer these problems."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    content = {"application/problem+json": {"schema": schema}}
    return {
        status: {"description": "What is wrong and what to do (RFC 9457).", "content": content} for status in statuses
    }
