"""What the page of one series shows: its history, its forecast, and what that is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from models.forecast import STEP_DAYS, Forecast
from models.funnel import DEFAULT_HORIZON, LONGEST_HORIZON
from service.dashboard import figures
from service.document import forecast_document
from service.selection import Selection
from service.serving import Served


def stage_page(served: Served, *, stage: str, segment: str, horizon: int | None, stale: bool) -> dict[str, Any]:
    """The series as the API answers it, with its charts.

    Raises SeriesNotFoundError and HorizonError as the API does.
    """
    document = forecast_document(served, Selection((stage,), (segment,), horizon), stale=stale)
    series, forecast = document["forecasts"][0], served.forecasts[segment, stage]
    observed = np.asarray(served.observed.get((segment, stage), np.zeros(0)))
    last, unit = len(series["steps"]), STEP_DAYS[served.funnel.frequency]
    weekdays = figures.weekday_means(forecast, observed, last=last) if last else []
    ends = [served.cutoff - timedelta(days=unit * (len(observed) - 1 - place)) for place in range(len(observed))]
    return {
        "series": series,
        "horizon": document["horizon"],
        "horizons": horizons_of(served),
        "stages": list(dict.fromkeys(stage for _, stage in served.forecasts)),
        "segments": list(dict.fromkeys(segment for segment, _ in served.forecasts)),
        "fan": fan_of(served, forecast, observed, last=last) if last else "",
        "partial": partial_of(served),
        "declared": declared_texts(served, forecast, series["declared"]),
        "parts": figures.parts(forecast, last=last) if last else None,
        "weekdays": weekdays,
        "profile": figures.weekday_profile(weekdays) if weekdays else "",
        "observed": list(zip(ends, observed.tolist(), strict=True))[: -figures.SHOWN - 1 : -1],
    }


def declared_texts(served: Served, forecast: Forecast, ahead: Sequence[Mapping[str, Any]]) -> list[str]:
    """All declared days of a series; of those that the steps hold also what they do to the forecast."""
    known = {(each["name"], each["start"], each["end"]): each["text"] for each in ahead}
    return [
        known.get(
            (each.name, each.start.isoformat(), each.end.isoformat()),
            f"{each.name}, {each.start}" + (f" to {each.end}" if each.end != each.start else ""),
        )
        for each in figures.declared_for(forecast, served.funnel.declared_days)
    ]


def fan_of(served: Served, forecast: Forecast, observed: figures.Array, *, last: int) -> str:
    """History and forecast, with what was repaired and declared."""
    repairs = served.quality.get("repairs", ())
    partial = partial_of(served)
    declared = served.funnel.declared_days
    return figures.fan(forecast, observed, last=last, repairs=repairs, declared=declared, partial_until=partial)


def partial_of(served: Served) -> date | None:
    """The day that was not over when the version's data were told; None when there was none."""
    text = served.quality.get("partial_until")
    return date.fromisoformat(text) if text else None


def horizons_of(served: Served) -> list[int]:
    """Horizons to choose from: one season, the default, and the longest that is served."""
    frequency = served.funnel.frequency
    longest = min(served.horizon, served.funnel.horizon_limit)
    usual = {7 if frequency == "day" else 1, DEFAULT_HORIZON[frequency], LONGEST_HORIZON[frequency], longest}
    return sorted(steps for steps in usual if steps <= longest)
