"""From a clean history to the forecasts of all its series, their scorecard and the states behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from models.baseline import weekday_mean
from models.blocks import SCORED_CUTOFFS, Block, BlockResult, fit_block, make_blocks
from models.calendar import Calendar
from models.coherence import coherent
from models.forecast import Forecast
from models.funnel import TOTAL
from models.history import History
from models.levers import pack
from models.metrics import seasonal_scale
from models.skill import Evidence, Score, coverage_from_scores, reliable_until, scores_from_evidence
from models.univariate import SeriesForecasts

Array = npt.NDArray[np.float64]
Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""Applies a function to blocks, in order: in threads, processes or on other machines."""

LEAST_FITTED = 14
"""With fewer periods the weekday mean answers."""
UNIVARIATE, CASCADED = "univariate", "cascade+univariate"
FALLBACK = "weekday_mean"


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """All series of a funnel, forecast at one cutoff.

    state: arrays with one row per series in the order of `History.series`, named expert.field. calendar_note: whose
    holidays were found to be kept, when no country is known. responses: by segment, for `models.levers.unpack`; empty
    unless asked for.
    """

    forecasts: tuple[Forecast, ...]
    scorecard: tuple[Score, ...]
    state: dict[str, Array]
    calendar_note: str | None = None
    responses: Mapping[str, Array] = field(default_factory=dict)


def fit(
    history: History,
    *,
    calendar: Calendar,
    horizon: int,
    scored_cutoffs: int = SCORED_CUTOFFS,
    mapper: Mapper | None = None,
    responses: bool = False,
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
    responses
        Whether scenarios will be asked for.
    """
    blocks, note = make_blocks(
        history, calendar=calendar, horizon=horizon, scored_cutoffs=scored_cutoffs, responses=responses
    )
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
    answers = [pack(each) for result in results if result.responses is not None for each in result.responses]
    segments = dict.fromkeys(segment for segment, _ in history.series) if answers else ()
    return Fitted(coherent(forecasts), tuple(scorecard), state, note, dict(zip(segments, answers, strict=True)))


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


def _forecast(history: History, evidence: Evidence, block: Block, fitted: SeriesForecasts, row: int) -> Forecast:
    """The forecast of one series; the weekday mean where the combination cannot answer, and why."""
    reason = _why_not_fitted(block.counts[row], fitted, row)
    mean, quantiles = fitted.mean[row], fitted.quantiles[row]
    in_flight = fitted.in_flight[row].copy() if reason is None else None
    if reason is not None:
        means, spread = weekday_mean(
            block.counts[row : row + 1], horizon=block.horizon, season_length=block.panel.season_length
        )
        mean, quantiles = means[0], spread[0]
    return Forecast(
        segment=evidence.segment,
        stage=evidence.stage,
        cutoff=history.cutoff,
        model=FALLBACK if reason else CASCADED if fitted.cascaded[row] else UNIVARIATE,
        mean=mean.copy(),
        quantiles=quantiles.copy(),
        in_flight=in_flight,
        new=None if in_flight is None else mean - in_flight,
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
