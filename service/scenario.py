"""Scenarios as people and programs get them: levers with dates in, the change of every stage and day out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import NearcastError
from models.forecast import STEP_DAYS, Forecast
from models.funnel import TOTAL
from models.levers import Kind, Lever, LeverError, changes, check_lever, half_arrived, unpack
from service.numbers import number
from service.selection import check_reliable, checked_horizon, refused_from, shown
from service.serving import Served

Array = npt.NDArray[np.float64]

BASIS = (
    "exact arithmetic on the rates estimated from the past, not a claim about causes; the change is the cascade's, "
    "added to the published mean"
)


class NoResponsesError(NearcastError):
    """The version was published without what scenarios are reckoned from."""

    slug = "no-responses"


@dataclass(frozen=True, slots=True)
class AskedLever:
    """A lever with days instead of steps, see `models.levers.Lever`; no start: from the first step on."""

    kind: Kind
    stage: str
    segment: str = TOTAL
    percent: float | None = None
    add: float | None = None
    days: int | None = None
    start: date | None = None
    end: date | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Levers that are moved together, and how far to look; no horizon: the funnel's default."""

    levers: tuple[AskedLever, ...]
    horizon: int | None = None

    @property
    def segments(self) -> tuple[str, ...]:
        """Segments that have a lever, each once."""
        return tuple(dict.fromkeys(lever.segment for lever in self.levers))


def scenario_document(
    served: Served, packed: Mapping[str, Array], scenario: Scenario, *, stale: bool = False
) -> dict[str, Any]:
    """The JSON answer of `POST /v1/funnels/{funnel}/scenario` and of `nearcast scenario --json`.

    Parameters
    ----------
    packed
        Responses of `scenario.segments`, from the store.

    Raises
    ------
    LeverError
        Naming the lever and its part that cannot be.
    HorizonError
        For a horizon that is not served, or that the funnel's gate refuses.
    NoResponsesError
        For a version published before there were scenarios.
    """
    horizon = checked_horizon(served, scenario.horizon)
    stages = served.funnel.stages
    levers = [checked_lever(served, asked, place, horizon) for place, asked in enumerate(scenario.levers)]
    if missing := [segment for segment in scenario.segments if segment not in packed]:
        detail = f"version {served.version} carries no rates for {shown(missing)}; the next retrain's version will"
        raise NoResponsesError(detail)
    means = {segment: means_of(served, segment) for segment in scenario.segments}
    responses = {segment: unpack(packed[segment], horizon=served.horizon) for segment in scenario.segments}
    found = changes(means, responses, levers, stages=stages)
    if scenario.horizon is not None:
        check_reliable(served, [served.forecasts[segment, stage] for segment in found for stage in stages], horizon)
    return {
        "funnel": served.name,
        "version": served.version,
        "cutoff": served.cutoff.isoformat(),
        "published_at": served.published_at.isoformat(),
        "stale": stale,
        "frequency": served.funnel.frequency,
        "horizon": horizon,
        "basis": BASIS,
        "levers": [
            {**asdict(asked), "start": first_day(served, lever.first).isoformat(), "end": asked.end}
            for asked, lever in zip(scenario.levers, levers, strict=True)
        ],
        "series": [
            series_document(served, served.forecasts[segment, stage], change[place], horizon=horizon)
            for segment, change in found.items()
            for place, stage in enumerate(stages)
        ],
    }


def checked_lever(served: Served, asked: AskedLever, place: int, horizon: int) -> Lever:
    """A lever by steps; LeverError naming its place in the request."""
    try:
        lever = lever_from_asked(served, asked)
        check_lever(lever, stages=served.funnel.stages, horizon=horizon)
        check_known(served, lever, horizon)
    except LeverError as error:
        raise LeverError(error.reason, field=f"levers.{place}.{error.field}") from None
    return lever


def lever_from_asked(served: Served, asked: AskedLever) -> Lever:
    """The same lever with steps for its days."""
    length = STEP_DAYS[served.funnel.frequency]
    return Lever(
        kind=asked.kind,
        stage=asked.stage,
        segment=asked.segment,
        percent=asked.percent,
        add=asked.add,
        days=asked.days,
        first=1 if asked.start is None else step_of(served, asked.start, length=length),
        last=None if asked.end is None else step_of(served, asked.end, length=length),
    )


def check_known(served: Served, lever: Lever, horizon: int) -> None:
    """Raise LeverError for an unknown segment, and for a time that is not forecast."""
    segments = tuple(dict.fromkeys(segment for segment, _ in served.forecasts))
    if lever.segment not in segments:
        raise LeverError(f"there is no segment {lever.segment!r}; there are {shown(segments)}", field="segment")
    longest = served.horizon + min(lever.days or 0, 0)
    if horizon > longest:
        reason = f"what arrives earlier comes from after step {served.horizon}, which is not forecast"
        raise LeverError(f"{reason}; ask for a horizon of at most {longest}", field="days")


def step_of(served: Served, day: date, *, length: int) -> int:
    """Step that holds a day: 1 is the first after the cutoff."""
    return -(-(day - served.cutoff).days // length)


def first_day(served: Served, step: int) -> date:
    """First day of a step."""
    return served.cutoff + timedelta(days=STEP_DAYS[served.funnel.frequency] * (step - 1) + 1)


def means_of(served: Served, segment: str) -> Array:
    """Published means of all stages of a segment, (stages, horizon)."""
    return np.array([served.forecasts[segment, stage].mean for stage in served.funnel.stages])


def series_document(served: Served, forecast: Forecast, change: Array, *, horizon: int) -> dict[str, Any]:
    """One stage of the answer."""
    refused, last = refused_from(forecast, horizon=horizon, funnel=served.funnel)
    mean, change = forecast.mean[:last], change[:last]
    scenario = np.maximum(mean + change, 0.0)
    in_flight = None if forecast.in_flight is None else float(forecast.in_flight[:last].sum())
    half = half_arrived(change)
    days = [day.isoformat() for day in forecast.dates[:last]]
    return {
        "segment": forecast.segment,
        "stage": forecast.stage,
        "reliable_until": forecast.reliable_until,
        "refused": refused,
        "mean": float(mean.sum()),
        "change": float(change.sum()),
        "scenario": float(scenario.sum()),
        "in_flight": in_flight,
        "decided": None if in_flight is None or mean.sum() <= 0 else number(in_flight / mean.sum()),
        "half_arrived": None if half is None else {"step": half, "date": days[half - 1]},
        "steps": step_documents(days, mean, change, scenario),
    }


def step_documents(days: Sequence[str], mean: Array, change: Array, scenario: Array) -> list[dict[str, Any]]:
    """Steps 1.. of one stage."""
    rows = zip(days, mean.tolist(), change.tolist(), scenario.tolist(), strict=True)
    return [
        {"step": step, "date": day, "mean": expected, "change": more, "scenario": then}
        for step, (day, expected, more, then) in enumerate(rows, start=1)
    ]
