"""What the page of one series shows: its history, its forecast, and what that is made of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from models.forecast import STEP_DAYS
from models.funnel import DEFAULT_HORIZON, LONGEST_HORIZON
from service.dashboard import figures
from service.document import Selection, forecast_document
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
        "fan": figures.fan(forecast, observed, last=last, repairs=served.quality.get("repairs", ())) if last else "",
        "parts": figures.parts(forecast, last=last) if last else None,
        "weekdays": weekdays,
        "profile": figures.weekday_profile(weekdays) if weekdays else "",
        "observed": list(zip(ends, observed.tolist(), strict=True))[: -figures.SHOWN - 1 : -1],
    }


def horizons_of(served: Served) -> list[int]:
    """Horizons to choose from: one season, the default, and the longest that is served."""
    frequency = served.funnel.frequency
    longest = min(served.horizon, served.funnel.horizon_limit)
    usual = {7 if frequency == "day" else 1, DEFAULT_HORIZON[frequency], LONGEST_HORIZON[frequency], longest}
    return sorted(steps for steps in usual if steps <= longest)
