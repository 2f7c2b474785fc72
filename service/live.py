"""How published forecasts fared: live scores, drift and days outside intervals, as people and programs get them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from models.alerts import ALERT_DAYS, LEVEL, severity
from models.forecast import STEP_DAYS
from models.live import BLOCKS, DRIFT, drift_ratio
from service.numbers import number
from service.serving import Served

Array = npt.NDArray[np.float64]


def live_document(served: Served) -> dict[str, Any] | None:
    """The `live` part of the scorecard; None for a version from before there was one."""
    if not served.live:
        return None
    series, live = list(served.forecasts), served.live
    sums, revised = live["sums"], live["revised"]
    by_stage = {stage: [row for row, (_, each) in enumerate(series) if each == stage] for _, stage in series}
    looked, outside = live["looked"].sum(axis=0).tolist()
    return {
        "pooled": [
            {"stage": stage, **score}
            for stage, rows in by_stage.items()
            for score in score_documents(sums[rows].sum(axis=0), revised[rows].sum(axis=0))
        ],
        "scores": [
            {"segment": segment, "stage": stage, **score}
            for row, (segment, stage) in enumerate(series)
            for score in score_documents(sums[row], revised[row])
        ],
        "drifting": [
            {"segment": series[row][0], "stage": series[row][1], "ratio": number(ratio)}
            for row, ratio in drifting(live)
        ],
        "looked_at": int(looked),
        "outside": int(outside),
    }


def score_documents(sums: Array, revised: Array) -> list[dict[str, Any]]:
    """One score a block of steps that has an actual, or a forecast that was revised."""
    scores = []
    for (first, last), row, (changed, expected) in zip(BLOCKS, sums.tolist(), revised.tolist(), strict=True):
        n, actual, loss, error, covered80, covered95 = row
        if n == 0 and expected == 0:
            continue
        scores.append(
            {
                "steps": f"{first}-{last}",
                "first": first,
                "last": last,
                "n": int(n),
                "wql": loss / actual if actual > 0 else None,
                "bias": error / actual if actual > 0 else None,
                "coverage80": covered80 / n if n else None,
                "coverage95": covered95 / n if n else None,
                "revision": changed / expected if expected > 0 else None,
            }
        )
    return scores


def drifting(live: Mapping[str, Array]) -> list[tuple[int, float]]:
    """Rows of the series whose recent live loss is far above the backtest's, and how many times it is."""
    ratios = drift_ratio(live["sums"], live["drift"])
    return [(int(row), float(ratios[row])) for row in np.flatnonzero(ratios > DRIFT)]


def alerts_document(served: Served, *, stale: bool) -> dict[str, Any]:
    """The JSON answer of `GET /v1/funnels/{funnel}/alerts`: the newest days first, the farthest outside first."""
    series, live = list(served.forecasts), served.live
    alerts = live.get("alerts", np.zeros((0, 5)))
    order = np.lexsort((-severity(alerts), alerts[:, 1]))
    days = STEP_DAYS[served.funnel.frequency]
    return {
        "funnel": served.name,
        "version": served.version,
        "published_at": served.published_at.isoformat(),
        "stale": stale,
        "level": LEVEL,
        "periods": ALERT_DAYS,
        "alerts": [
            {
                "segment": series[int(row)][0],
                "stage": series[int(row)][1],
                "date": (served.cutoff - timedelta(days=days * int(before))).isoformat(),
                "actual": actual,
                "lower": lower,
                "upper": upper,
                "level": LEVEL,
            }
            for row, before, actual, lower, upper in alerts[order].tolist()
        ],
    }


def live_summary(live: Mapping[str, Array]) -> dict[str, Any] | None:
    """A few figures over all series and steps; None for a version without live scores."""
    if "sums" not in live:
        return None
    n, _, _, _, covered80, covered95 = live["sums"].sum(axis=(0, 1)).tolist()
    return {
        "actuals": int(n),
        "coverage80": covered80 / n if n else None,
        "coverage95": covered95 / n if n else None,
        "drifting": len(drifting(live)),
        "alerts": len(live["alerts"]),
    }
