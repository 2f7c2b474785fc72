"""Skill: how good forecasts were at past cutoffs, by step bucket, and how far ahead they can be relied on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models import metrics
from models.combination import BUCKETS
from models.forecast import QUANTILES, Coverage

Array = npt.NDArray[np.float64]

MEDIAN = QUANTILES.index(0.5)
RELIABILITY: tuple[tuple[int, int], ...] = ((1, 7), (8, 14), (15, 28), (29, 56))
"""First and last steps over which reliability is judged: a single step has too few cutoffs to tell skill from luck."""
LEVEL_COLUMNS: dict[int, tuple[int, int]] = {80: (1, -2), 95: (0, -1)}
"""Columns of QUANTILES that bound a level."""


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy of one series over the steps first..last of all cutoffs; NaN where nothing could be measured.

    n counts the actuals. skill is 1 - WQL / WQL of seasonal naive: positive = better than naive. bias is
    summed error over summed actuals, error = forecast - actual.
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


def scores_from_evidence(evidence: Evidence) -> tuple[Score, ...]:
    """One score per bucket that has an actual."""
    horizon = evidence.actual.shape[1]
    return tuple(
        _score(evidence, first=first, last=min(last, horizon))
        for first, last in BUCKETS
        if first <= horizon and np.isfinite(evidence.actual[:, first - 1 : last]).any()
    )


def _score(evidence: Evidence, *, first: int, last: int) -> Score:
    steps = slice(first - 1, last)
    known = np.isfinite(evidence.actual[:, steps])
    actual = evidence.actual[:, steps][known]
    quantiles = evidence.quantiles[:, steps][known]
    median = quantiles[:, MEDIAN]
    ours, naive = metrics.wql(actual, quantiles), metrics.wql(actual, evidence.naive[:, steps][known])
    covered = {
        level: metrics.coverage(actual, quantiles[:, low], quantiles[:, high])
        for level, (low, high) in LEVEL_COLUMNS.items()
    }
    return Score(
        segment=evidence.segment,
        stage=evidence.stage,
        steps=str(first) if first == last else f"{first}-{last}",
        first=first,
        last=last,
        n=len(actual),
        wql=ours,
        wmape=metrics.wmape(actual, median),
        mase=metrics.mase(actual, median, scale=evidence.scale),
        bias=metrics.bias(actual, evidence.mean[:, steps][known]),
        skill=1 - ours / naive if naive > 0 else np.nan,
        coverage80=covered[80],
        coverage95=covered[95],
    )


def reliable_until(evidence: Evidence) -> int:
    """Last step of the unbroken run of RELIABILITY blocks, from step 1 on, with positive skill; 0: nowhere shown."""
    until = 0
    for first, last in RELIABILITY:
        steps = slice(first - 1, min(last, evidence.actual.shape[1]))
        known = np.isfinite(evidence.actual[:, steps])
        actual = evidence.actual[:, steps][known]
        ours = metrics.wql(actual, evidence.quantiles[:, steps][known])
        if not ours < metrics.wql(actual, evidence.naive[:, steps][known]):
            break
        until = steps.stop
    return int(until)


def coverage_from_scores(scores: tuple[Score, ...]) -> dict[int, Coverage]:
    """Measured coverage of each level over all buckets, with the number of actuals behind it."""
    n = sum(score.n for score in scores)
    if n == 0:
        return {}
    return {
        80: Coverage(sum(score.coverage80 * score.n for score in scores) / n, n),
        95: Coverage(sum(score.coverage95 * score.n for score in scores) / n, n),
    }
