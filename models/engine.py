"""From a clean history to the forecasts of all its series, their scorecard and the states behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.baseline import seasonal_naive, weekday_mean
from models.calendar import Calendar, number_from_day
from models.forecast import STEP_DAYS, Forecast
from models.funnel import SEASON_LENGTH, TOTAL
from models.history import History
from models.metrics import seasonal_scale
from models.observance import infer_observance
from models.skill import Evidence, Score, coverage_from_scores, reliable_until, scores_from_evidence
from models.univariate import SeriesForecasts, forecast_series

Array = npt.NDArray[np.float64]
Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""Applies a function to blocks, in order: in threads, processes or on other machines."""

BLOCK = 256
"""Series per block of work."""
SCORED_CUTOFFS = 12
"""Past cutoffs at which a fit is scored."""
SCORED_GAP = 15
"""Periods between them; a week and a day more than one, so that every weekday has its turn."""
LEAST_SCORED = 28
"""Periods of history before the first scored cutoff."""
LEAST_FITTED = 14
"""With fewer periods the weekday mean answers."""
MODEL = "combination"
FALLBACK = "weekday_mean"


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """All series of a funnel, forecast at one cutoff.

    state: arrays with one row per series in the order of `History.series`, named expert.field. calendar_note: whose
    holidays were found to be kept, when no country is known.
    """

    forecasts: tuple[Forecast, ...]
    scorecard: tuple[Score, ...]
    state: dict[str, Array]
    calendar_note: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Series that are worked on together; plain arrays, so that it can travel.

    counts (n, periods); cutoffs: periods up to each scored cutoff, exclusive; day_types: for each of those and for
    now, (periods up to it + horizon,), as they were known there.
    """

    counts: Array
    day_types: tuple[npt.NDArray[np.int64], ...]
    start_day: int
    horizon: int
    season_length: int
    cutoffs: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class BlockResult:
    """Forecasts of a block at its cutoff and at the scored ones, newest last: (cutoffs, n, horizon[, quantiles])."""

    now: SeriesForecasts
    past_mean: Array
    past_quantiles: Array
    past_naive: Array


def fit(
    history: History,
    *,
    calendar: Calendar,
    horizon: int,
    scored_cutoffs: int = SCORED_CUTOFFS,
    mapper: Mapper | None = None,
) -> Fitted:
    """Fit, forecast and score every series of a clean history.

    Parameters
    ----------
    history
        From `models.cleaning.clean`.
    horizon
        Steps to forecast.
    scored_cutoffs
        At how many past cutoffs to forecast again for the scorecard; 0: none, and nothing is called reliable.
    mapper
        Where blocks are computed; None: in threads of this process. The result does not depend on it.
    """
    season_length = SEASON_LENGTH[history.frequency]
    counts = history.matrix
    cutoffs = past_cutoffs(history.periods, most=scored_cutoffs)
    known = [_day_types(history, calendar=calendar, length=n, horizon=horizon) for n in (*cutoffs, history.periods)]
    day_types = tuple(types for types, _ in known)
    start_day = number_from_day(history.start) // STEP_DAYS[history.frequency]
    blocks = [
        Block(counts[first : first + BLOCK], day_types, start_day, horizon, season_length, cutoffs)
        for first in range(0, len(counts), BLOCK)
    ]
    results = (mapper or in_threads)(fit_block, blocks)
    forecasts: list[Forecast] = []
    scorecard: list[Score] = []
    for block, result in zip(blocks, results, strict=True):
        for row in range(len(block.counts)):
            segment, stage = history.series[len(forecasts)]
            evidence = _evidence(segment, stage, block, result, row)
            scorecard.extend(scores_from_evidence(evidence))
            forecasts.append(_forecast(history, evidence, block, result.now, row))
    names = results[0].now.states
    state = {name: np.concatenate([result.now.states[name] for result in results]) for name in names}
    return Fitted(tuple(forecasts), tuple(scorecard), state, known[-1][1])


def past_cutoffs(periods: int, *, most: int) -> tuple[int, ...]:
    """Lengths of history at which a fit is scored, ascending; each leaves at least a week of actuals."""
    lengths = range(periods - 8, LEAST_SCORED - 1, -SCORED_GAP)
    return tuple(reversed(lengths[:most]))


def fit_block(block: Block) -> BlockResult:
    """Forecast a block at its cutoff and at the scored ones, each from what was known there."""
    n, shape = len(block.counts), (len(block.cutoffs), len(block.counts), block.horizon)
    past = [
        _fit_counts(block, block.counts[:, :length], types)
        for length, types in zip(block.cutoffs, block.day_types, strict=False)
    ]
    naive = [
        seasonal_naive(block.counts[:, :length], horizon=block.horizon, season_length=block.season_length)[1]
        for length in block.cutoffs
    ]
    columns = () if n == 0 else (seasonal_naive(block.counts[:1], horizon=1, season_length=1)[1].shape[-1],)
    return BlockResult(
        now=_fit_counts(block, block.counts, block.day_types[-1]),
        past_mean=np.array([forecasts.mean for forecasts in past]).reshape(shape),
        past_quantiles=np.array([forecasts.quantiles for forecasts in past]).reshape(shape + columns),
        past_naive=np.array(naive).reshape(shape + columns),
    )


def _day_types(
    history: History, *, calendar: Calendar, length: int, horizon: int
) -> tuple[npt.NDArray[np.int64], str | None]:
    """Types of the first `length` periods and `horizon` more, and what was inferred about holidays, if anything."""
    if calendar.country is not None or history.frequency == "week":
        return calendar.day_types(history.start, length + horizon).astype(np.int64), None
    total = history.matrix[: len(history.stages), :length]
    observance = infer_observance(total, start=history.start, horizon=horizon)
    return observance.day_types.astype(np.int64), observance.note


def _fit_counts(block: Block, counts: Array, day_types: npt.NDArray[np.int64]) -> SeriesForecasts:
    return forecast_series(
        counts,
        day_types,
        start_day=block.start_day,
        horizon=block.horizon,
        season_length=block.season_length,
    )


def in_threads(function: Callable[[Any], Any], blocks: Sequence[Any]) -> list[Any]:
    """Map over blocks in threads of this process: the kernels leave the interpreter's lock."""
    if len(blocks) == 1:
        return [function(blocks[0])]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, blocks))


def _evidence(segment: str, stage: str, block: Block, result: BlockResult, row: int) -> Evidence:
    counts = block.counts[row]
    padded = np.append(counts, np.full(block.horizon, np.nan))
    actual = [padded[length : length + block.horizon] for length in block.cutoffs]
    return Evidence(
        segment=segment,
        stage=stage,
        mean=result.past_mean[:, row],
        quantiles=result.past_quantiles[:, row],
        naive=result.past_naive[:, row],
        actual=np.array(actual).reshape(-1, block.horizon),
        scale=seasonal_scale(counts, season_length=block.season_length),
    )


def _forecast(history: History, evidence: Evidence, block: Block, fitted: SeriesForecasts, row: int) -> Forecast:
    """The forecast of one series; the weekday mean where the combination cannot answer, and why."""
    reason = _why_not_fitted(block.counts[row], fitted, row)
    mean, quantiles = fitted.mean[row], fitted.quantiles[row]
    if reason is not None:
        means, spread = weekday_mean(
            block.counts[row : row + 1], horizon=block.horizon, season_length=block.season_length
        )
        mean, quantiles = means[0], spread[0]
    return Forecast(
        segment=evidence.segment,
        stage=evidence.stage,
        cutoff=history.cutoff,
        model=MODEL if reason is None else FALLBACK,
        mean=mean.copy(),
        quantiles=quantiles.copy(),
        reliable_until=0 if reason is not None else reliable_until(evidence),
        frequency=history.frequency,
        ceiling=float(fitted.ceiling[row]),
        coverage=coverage_from_scores(scores_from_evidence(evidence)),
        repairs=_repairs(history, evidence.segment, evidence.stage),
        fallback_reason=reason,
    )


def _repairs(history: History, segment: str, stage: str) -> tuple[str, ...]:
    """What was repaired in this series, in the total of its stage, or everywhere."""
    return tuple(
        f"{repair.start} to {repair.end}: {repair.text}"
        for repair in history.repairs
        if repair.stage in ("", stage) and (segment == TOTAL or repair.segment in (TOTAL, segment))
    )


def _why_not_fitted(counts: Array, fitted: SeriesForecasts, row: int) -> str | None:
    observed = int(np.isfinite(counts).sum())
    if observed == 0:
        return "nothing was observed for this series"
    if observed < LEAST_FITTED:
        return f"only {observed} periods were observed; the combination needs {LEAST_FITTED}"
    if not (np.isfinite(fitted.mean[row]).all() and np.isfinite(fitted.quantiles[row]).all()):
        return "the combination gave values that are not finite"
    if (fitted.mean[row] > fitted.ceiling[row]).any():
        return "the combination exceeded the explosion guard"
    return None
