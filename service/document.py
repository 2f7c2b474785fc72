"""Answers as people and programs get them: the one place where routes and command line shape a forecast and a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.forecast import QUANTILES, DeclaredEffect, Forecast, quantiles_of_level
from models.funnel import Frequency, Funnel, Measure, changed_settings
from models.parts import part_intervals
from models.wording import worded
from service.numbers import number
from service.selection import Selection, checked_horizon, refused_from, scores_of, select, valued

if TYPE_CHECKING:
    from service.serving import Served
    from service.store.runs import Run
    from service.store.versions import Version


def forecast_document(served: Served, selection: Selection, *, stale: bool = False) -> dict[str, Any]:
    """The JSON answer of `GET /v1/funnels/{funnel}/forecast` and of `nearcast forecast --json`."""
    chosen, horizon = select(served, selection)
    late = {each["stage"]: each["days"] for each in served.quality.get("completeness", ())}
    return {
        **header_document(served, selection, stale=stale),
        "forecasts": [
            {
                **series_document(forecast, horizon=horizon, levels=selection.levels, funnel=served.funnel),
                "completeness": late.get(forecast.stage, []),
            }
            for forecast in chosen
        ],
    }


def header_document(served: Served, selection: Selection, *, stale: bool) -> dict[str, Any]:
    """What is said once of an answer, whatever its form."""
    return {
        "funnel": served.name,
        "version": served.version,
        "cutoff": served.cutoff.isoformat(),
        "published_at": served.published_at.isoformat(),
        "stale": stale,
        "frequency": served.funnel.frequency,
        "measure": selection.measure,
        "horizon": checked_horizon(served, selection.horizon),
        "levels": list(selection.levels),
    }


def series_document(forecast: Forecast, *, horizon: int, levels: tuple[int, ...], funnel: Funnel) -> dict[str, Any]:
    """One series of the answer."""
    refused, last = refused_from(forecast, horizon=horizon, funnel=funnel)
    return {
        "segment": forecast.segment,
        "stage": forecast.stage,
        "model": forecast.model,
        "reliable_until": forecast.reliable_until,
        "fallback_reason": forecast.fallback_reason,
        "refused": refused,
        "coverage": {
            str(level): {"measured": number(coverage.measured), "samples": coverage.samples}
            for level, coverage in sorted(forecast.coverage.items())
        },
        "repairs": list(forecast.repairs),
        "declared": declared_documents(forecast, last=last),
        "steps": step_documents(forecast, last=last, levels=levels),
    }


def declared_documents(forecast: Forecast, *, last: int) -> list[dict[str, Any]]:
    """Declared days that steps 1..last hold, and what is known of their effect, in the order of their days."""
    if not (forecast.declared and last):
        return []
    found = [each for each in forecast.declared if each.start <= forecast.dates[last - 1]]
    return [
        {
            "name": each.name,
            "start": each.start.isoformat(),
            "end": each.end.isoformat(),
            "factor": number(each.factor),
            "evidence": each.evidence,
            "text": effect_text(each, unit=forecast.frequency),
        }
        for each in sorted(found, key=lambda each: (each.start, each.end, each.name))
    ]


def effect_text(effect: DeclaredEffect, *, unit: Frequency) -> str:
    """What a declared day does to a forecast, for people."""
    when = f"{effect.start}" if effect.end == effect.start else f"{effect.start} to {effect.end}"
    if not effect.evidence:
        return f"{effect.name}, {when}: no effect is known from earlier {unit}s of that name, or it is too usual"
    learnt = worded("learnt from {count} earlier [{unit}|{unit}s]", effect.evidence, unit=unit)
    return f"{effect.name}, {when}: the forecast times {effect.factor:.2f}, {learnt}"


def step_documents(forecast: Forecast, *, last: int, levels: tuple[int, ...]) -> list[dict[str, Any]]:
    """Steps 1..last of one series."""
    names = [f"{quantile:g}" for quantile in QUANTILES]
    columns = {str(level): [QUANTILES.index(bound) for bound in quantiles_of_level(level)] for level in levels}
    mean, rows = forecast.mean.tolist(), forecast.quantiles.tolist()
    in_flight = forecast.in_flight.tolist() if forecast.in_flight is not None else [None] * len(mean)
    new = forecast.new.tolist() if forecast.new is not None else [None] * len(mean)
    parts = part_documents(forecast, levels=levels)
    return [
        {
            "step": index + 1,
            "date": day.isoformat(),
            "mean": mean[index],
            "reliable": index < forecast.reliable_until,
            "in_flight": in_flight[index],
            "new": new[index],
            "in_flight_intervals": parts[index][0],
            "new_intervals": parts[index][1],
            "quantiles": dict(zip(names, rows[index], strict=True)),
            "intervals": {level: [rows[index][low], rows[index][high]] for level, (low, high) in columns.items()},
        }
        for index, day in enumerate(forecast.dates[:last])
    ]


def part_documents(forecast: Forecast, *, levels: tuple[int, ...]) -> list[tuple[dict[str, Any] | None, ...]]:
    """By step, the intervals of in flight and of new by level, as those of the mean; None where not told apart."""
    if forecast.in_flight is None:
        return [(None, None)] * forecast.horizon
    rows: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {}) for _ in range(forecast.horizon)]
    for level in levels:
        for part, bounds in enumerate(part_intervals(forecast, level) or ()):
            for row, low, high in zip(rows, *(bound.tolist() for bound in bounds), strict=True):
                row[part][str(level)] = [low, high]
    return list(rows)


def scorecard_document(served: Served, *, stale: bool, measure: Measure = "count") -> dict[str, Any]:
    """The JSON answer of `GET /v1/funnels/{funnel}/scorecard`; NoValueError when value is asked for without any."""
    if measure == "value":
        every = tuple(served.forecasts.values())
        valued(every, every, stages=())
    return {
        "funnel": served.name,
        "version": served.version,
        "published_at": served.published_at.isoformat(),
        "stale": stale,
        "measure": measure,
        "scores": list(scores_of(served, measure)),
    }


def note_on_activation(version: Version, present: Funnel) -> str | None:
    """What activating a version does not bring back: the declaration it was made under; None: that is the present."""
    if not (changed := changed_settings(version.funnel, present)):
        return None
    return (
        f"version {version.number} was made under another declaration of the funnel ({', '.join(changed)}): "
        "the next retrain uses the present one, unless the earlier one is PUT back before"
    )


def document_from_run(run: Run) -> dict[str, Any]:
    """A run as JSON."""
    return {
        "run": run.id,
        "funnel": run.funnel,
        "status": run.status,
        "reason": run.reason,
        "phases": [{"name": phase.name, "seconds": phase.seconds} for phase in run.phases],
        "counts": run.counts,
        "published": run.version_id is not None,
        "due_at": run.due_at,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "heartbeat_at": run.heartbeat_at,
    }
