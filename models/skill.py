"""Skill: how good forecasts were at past cutoffs, by step bucket, and how far ahead they can be relied on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models import metrics
from models.forecast import MEDIAN, Coverage
from models.origins import BUCKETS

Array = npt.NDArray[np.float64]

RELIABILITY: tuple[tuple[int, int], ...] = ((1, 7), (8, 14), (15, 28), (29, 56))
"""First and last steps over which reliability is judged: a single step has too few cutoffs to tell skill from luck."""
MEASURES: tuple[str, ...] = ("n", "actual", "loss", "naive", "absolute", "error", "covered80", "covered95")
"""Sums over the actuals of a bucket: their number and total, `metrics.quantile_loss` of the forecast and of seasonal
naive, absolute error of the median, error of the mean, and how many the intervals held."""
BUCKET_NAMES = {first: str(first) if first == last else f"{first}-{last}" for first, last in BUCKETS}
"""By first step."""
LEVEL_COLUMNS: dict[int, tuple[int, int]] = {80: (1, -2), 95: (0, -1)}
"""Columns of QUANTILES that bound a level."""


class Score(NamedTuple):
    """Accuracy of one series over the steps first..last of all cutoffs; NaN where nothing could be measured.

    n counts the actuals. skill is 1 - WQL / WQL of seasonal naive: positive = better than naive. bias is
    summed error over summed actuals, error = forecast - actual. measure: count or value. A tuple, since a retrain
    makes tens of thousands.
    """

    segment: str
    stage: str
    steps: str
    first: int
    last: int
    n: int
    wql: float
    wmape: float
    mase: float
    bias: float
    skill: float
    coverage80: float
    coverage95: float
    measure: str = "count"


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Forecasts of one series at past cutoffs beside what came.

    mean (cutoffs, horizon); quantiles, naive (cutoffs, horizon, len(QUANTILES)); actual (cutoffs, horizon), NaN
    where not known. scale: seasonal-naive error within the history.
    """

    segment: str
    stage: str
    mean: Array
    quantiles: Array
    naive: Array
    actual: Array
    scale: float
    measure: str = "count"


def scores_from_evidence(evidence: Evidence) -> tuple[Score, ...]:
    """One score per bucket that has an actual."""
    sums = sums_from_evidence(evidence)
    return scores_from_sums(evidence.segment, evidence.stage, sums, scale=evidence.scale, measure=evidence.measure)


def sums_from_evidence(evidence: Evidence) -> Array:
    """Sums by bucket, (buckets within the horizon, len(MEASURES))."""
    horizon = evidence.actual.shape[1]
    blocks = [slice(first - 1, min(last, horizon)) for first, last in BUCKETS if first <= horizon]
    return np.array([_sums(evidence, steps) for steps in blocks])


def _sums(evidence: Evidence, steps: slice) -> list[float]:
    known = np.isfinite(evidence.actual[:, steps])
    actual = evidence.actual[:, steps][known]
    quantiles = evidence.quantiles[:, steps][known]
    inside = [
        ((actual >= quantiles[:, low]) & (actual <= quantiles[:, high])).sum() for low, high in LEVEL_COLUMNS.values()
    ]
    return [
        len(actual),
        actual.sum(),
        metrics.quantile_loss(actual, quantiles).sum(),
        metrics.quantile_loss(actual, evidence.naive[:, steps][known]).sum(),
        np.abs(quantiles[:, MEDIAN] - actual).sum(),
        (evidence.mean[:, steps][known] - actual).sum(),
        *inside,
    ]


def scores_from_sums(
    segment: str, stage: str, sums: Array, *, scale: float, measure: str = "count"
) -> tuple[Score, ...]:
    """One score per bucket that has an actual; `sums` is (buckets within the horizon, len(MEASURES)).

    `scale`: mean absolute seasonal-naive error within the history. `measure`: what was forecast, count or value.
    """
    scores = []
    for (first, last), row in zip(BUCKETS, sums.tolist(), strict=False):
        n, actual, ours, naive, absolute, signed, covered80, covered95 = row
        if n == 0:
            continue
        scores.append(
            Score(
                segment=segment,
                stage=stage,
                steps=BUCKET_NAMES[first],
                first=first,
                last=last,
                n=int(n),
                wql=_ratio(ours, actual),
                wmape=_ratio(absolute, actual),
                mase=_ratio(absolute / n, scale),
                bias=_ratio(signed, actual),
                skill=1 - ours / naive if naive > 0 and actual > 0 else np.nan,
                coverage80=covered80 / n,
                coverage95=covered95 / n,
                measure=measure,
            )
        )
    return tuple(scores)


def reliable_until(sums: Array, *, horizon: int) -> npt.NDArray[np.int64]:
    """Last step of the unbroken run of RELIABILITY blocks, from step 1 on, with positive skill, of each series, (n,).

    0: nowhere shown. `sums` is (n, buckets within the horizon, len(MEASURES)).
    """
    until, unbroken = np.zeros(len(sums), dtype=np.int64), np.ones(len(sums), dtype=np.bool_)
    for first, last in RELIABILITY:
        within = [first <= low and high <= last for low, high in BUCKETS[: sums.shape[1]]]
        _, actual, ours, naive, *_ = sums[:, within].sum(axis=1).T
        unbroken &= (actual > 0) & (ours < naive)
        until[unbroken] = min(last, horizon)
    return until


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else np.nan


def coverage_from_scores(scores: tuple[Score, ...]) -> dict[int, Coverage]:
    """Measured coverage of each level over all buckets, with the number of actuals behind it."""
    n = sum(score.n for score in scores)
    if n == 0:
        return {}
    return {
        80: Coverage(sum(score.coverage80 * score.n for score in scores) / n, n),
        95: Coverage(sum(score.coverage95 * score.n for score in scores) / n, n),
    }
