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
from models.cascade import Panel, forecast_funnels, until
from models.forecast import QUANTILES, STEP_DAYS, Forecast
from models.funnel import SEASON_LENGTH
from models.history import History
from models.metrics import seasonal_scale
from models.skill import Evidence, Score, coverage_from_scores, reliable_until, scores_from_evidence
from models.spells import moves_of_history
from models.univariate import SeriesForecasts

Array = npt.NDArray[np.float64]
Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""Applies a function to blocks, in order: in threads, processes or on other machines."""

BLOCK = 256
"""Series per block of work, as far as whole funnels make it up."""
SCORED_CUTOFFS = 12
"""Past cutoffs at which a fit is scored."""
SCORED_GAP = 15
"""Periods between them; a week and a day more than one, so that every weekday has its turn."""
LEAST_SCORED = 28
"""Periods of history before the first scored cutoff."""
LEAST_FITTED = 14
"""With fewer periods the weekday mean answers."""
UNIVARIATE, CASCADED = "univariate", "cascade+univariate"
FALLBACK = "weekday_mean"


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """All series of a funnel, forecast at one cutoff.

    state: arrays with one row per series in the order of `History.series`, named expert.field.
    """

    forecasts: tuple[Forecast, ...]
    scorecard: tuple[Score, ...]
    state: dict[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Funnels that are worked on together; plain arrays, so that it can travel.

    cutoffs: periods up to each scored cutoff, exclusive.
    """

    panel: Panel
    horizon: int
    cutoffs: tuple[int, ...]

    @property
    def counts(self) -> Array:
        """(n, periods), one row per series."""
        return self.panel.counts.reshape(-1, self.panel.periods)


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
    day_types = calendar.day_types(history.start, history.periods + horizon).astype(np.int64)
    cutoffs = past_cutoffs(history.periods, most=scored_cutoffs)
    blocks = [Block(panel, horizon, cutoffs) for panel in _panels(history, day_types)]
    results = (mapper or in_threads)(fit_block, blocks)
    forecasts: list[Forecast] = []
    scorecard: list[Score] = []
    for block, result in zip(blocks, results, strict=True):
        for row in range(len(block.counts)):
            segment, stage = history.series[len(forecasts)]
            scores = scores_from_evidence(_evidence(segment, stage, block, result, row))
            scorecard.extend(scores)
            forecasts.append(_forecast(history, segment, stage, block, result.now, row, scores))
    names = results[0].now.states
    state = {name: np.concatenate([result.now.states[name] for result in results]) for name in names}
    return Fitted(tuple(forecasts), tuple(scorecard), state)


def _panels(history: History, day_types: npt.NDArray[np.int64]) -> list[Panel]:
    """The total and the segments, cut into panels of about BLOCK series."""
    counts = history.matrix.reshape(-1, len(history.stages), history.periods)
    moves = moves_of_history(history)
    start_day = number_from_day(history.start) // STEP_DAYS[history.frequency]
    size = max(1, BLOCK // len(history.stages))
    return [
        Panel(
            counts[first : first + size],
            moves[first : first + size],
            day_types,
            start_day,
            SEASON_LENGTH[history.frequency],
        )
        for first in range(0, len(counts), size)
    ]


def past_cutoffs(periods: int, *, most: int) -> tuple[int, ...]:
    """Lengths of history at which a fit is scored, ascending; each leaves at least a week of actuals."""
    lengths = range(periods - 8, LEAST_SCORED - 1, -SCORED_GAP)
    return tuple(reversed(lengths[:most]))


def fit_block(block: Block) -> BlockResult:
    """Forecast a block at its cutoff and at the scored ones, each from what was known there."""
    counts, season_length = block.counts, block.panel.season_length
    shape = (len(block.cutoffs), len(counts), block.horizon)
    past = [_fit_until(block, length) for length in block.cutoffs]
    naive = [
        seasonal_naive(counts[:, :length], horizon=block.horizon, season_length=season_length)[1]
        for length in block.cutoffs
    ]
    columns = (len(QUANTILES),)
    return BlockResult(
        now=forecast_funnels(block.panel, horizon=block.horizon),
        past_mean=np.array([forecasts.mean for forecasts in past]).reshape(shape),
        past_quantiles=np.array([forecasts.quantiles for forecasts in past]).reshape(shape + columns),
        past_naive=np.array(naive).reshape(shape + columns),
    )


def _fit_until(block: Block, length: int) -> SeriesForecasts:
    known = until(block.panel, periods=length, day_types=block.panel.day_types[: length + block.horizon])
    return forecast_funnels(known, horizon=block.horizon)


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
        scale=seasonal_scale(counts, season_length=block.panel.season_length),
    )


def _forecast(
    history: History,
    segment: str,
    stage: str,
    block: Block,
    fitted: SeriesForecasts,
    row: int,
    scores: tuple[Score, ...],
) -> Forecast:
    """The forecast of one series; the weekday mean where the combination cannot answer, and why."""
    reason = _why_not_fitted(block.counts[row], fitted, row)
    mean, quantiles = fitted.mean[row], fitted.quantiles[row]
    in_flight = None if reason else fitted.in_flight[row].copy()
    if reason is not None:
        means, spread = weekday_mean(
            block.counts[row : row + 1], horizon=block.horizon, season_length=block.panel.season_length
        )
        mean, quantiles = means[0], spread[0]
    return Forecast(
        segment=segment,
        stage=stage,
        cutoff=history.cutoff,
        model=FALLBACK if reason else CASCADED if fitted.cascaded[row] else UNIVARIATE,
        mean=mean.copy(),
        quantiles=quantiles.copy(),
        in_flight=in_flight,
        new=None if in_flight is None else mean - in_flight,
        reliable_until=0 if reason is not None else reliable_until(scores),
        frequency=history.frequency,
        ceiling=float(fitted.ceiling[row]),
        coverage=coverage_from_scores(scores),
        repairs=tuple(
            repair.text
            for repair in history.repairs
            if repair.stage in ("", stage) and segment in (repair.segment, segment)
        ),
        fallback_reason=reason,
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
