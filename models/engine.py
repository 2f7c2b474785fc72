"""From a clean history to the forecasts of all its series, their scorecard and the states behind them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from models.appearance import absences, hidden
from models.baseline import weekday_mean
from models.blocks import BlockResult, Wishes, divide, fit_block, in_order
from models.calendar import Calendar
from models.calibration import SeriesForecasts, unfitted
from models.cleaning import NEGATIVE_VALUE
from models.coherence import coherent
from models.declared_ahead import declared_ahead
from models.forecast import MEDIAN, DeclaredEffect, Forecast, check_forecasts, name_of_forecast
from models.funnel import SEASON_LENGTH, TOTAL, Measure
from models.history import History
from models.isolation import Isolated, Mapper, attempt, isolate
from models.kernel import load_compiler
from models.levers import pack
from models.plan import make_plan
from models.quantiles import settled
from models.repairs import Repair
from models.skill import Score, coverage_from_scores, reliable_until, scores_from_sums
from models.wording import worded

Array = npt.NDArray[np.float64]

LEAST_FITTED = 14
"""With fewer periods the weekday mean answers."""
MODELS: dict[Measure, tuple[str, str]] = {
    "count": ("univariate", "cascade+univariate"),
    "value": ("count*price", "cascade+count*price"),
}
"""What answers for a stage alone, and beside the cascade from the stage before."""
FALLBACK = "weekday_mean"
FEW = 0.25
"""Under this share of funnels to be fitted from the start, threads are quicker than moving states to processes."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """All series of a funnel, forecast at one cutoff.

    memory: what the next fit can start from, a payload a block, unless it was handed over meanwhile. calendar_note:
    whose holidays were found to be kept, when no country is declared, or not that one's. responses: by segment, for
    `models.levers.unpack`; empty unless asked for. appended, refitted: series continued from memory, and fitted from
    their first period on. anew: why nothing could be continued, though there was a memory. quarantined: segments whose
    fit failed, and how; their baseline answers, and nothing is remembered of them, so that the next fit tries again.
    """

    forecasts: tuple[Forecast, ...]
    scorecard: tuple[Score, ...]
    memory: tuple[bytes, ...]
    calendar_note: str | None = None
    responses: Mapping[str, Array] = field(default_factory=dict)
    appended: int = 0
    refitted: int = 0
    anew: str | None = None
    quarantined: Mapping[str, str] = field(default_factory=dict)


def fit(  # noqa: PLR0913 - each is said by its name
    history: History,
    *,
    calendar: Calendar,
    horizon: int,
    scored: bool = True,
    before: Iterable[bytes] = (),
    mapper: Mapper | None = None,
    responses: bool = False,
    apart: bool = False,
    remember: Callable[[bytes], None] | None = None,
) -> Fitted:
    """Fit, forecast and score every series of a clean history.

    Parameters
    ----------
    history
        From `models.cleaning.clean`.
    horizon
        Steps to forecast.
    scored
        Whether to score the forecasts of past origins; without, nothing is called reliable.
    before
        Memory of an earlier fit: series whose past is as it was then are continued from it. The result does not
        depend on it.
    mapper
        Where blocks are computed; None: in threads of this process. The result does not depend on it.
    responses
        Whether scenarios will be asked for.
    apart
        Whether the mapper gets even what is quicker computed here, as a series may take its process down.
    remember
        Given the memory, payload by payload, while what is left is fitted; None: it is in the result.
    """
    wishes = Wishes(scored, responses)
    threading.Thread(target=load_compiler, name="load-compiler", daemon=True).start()  # `before` may have to be read
    plan = make_plan(history, calendar=calendar, horizon=horizon, wishes=wishes, before=before)
    light = not apart and np.concatenate([block.changed for block in plan.blocks]).mean() < FEW
    chosen = in_threads if light or mapper is None else mapper
    memory: list[bytes] = []
    remember = remember or memory.append

    def take(result: BlockResult) -> BlockResult:
        remember(result.memory)
        return replace(result, memory=b"")

    isolated = isolate(fit_block, plan.blocks, mapper=chosen, divide=divide, take=take)
    names, stages = (TOTAL, *history.segments), len(history.stages)
    quarantined = {names[row]: reason for row, reason in sorted(isolated.lost.items())}
    declared = declared_ahead(history, calendar, isolated, horizon=horizon)
    forecasts, scorecard = _series(history, isolated, quarantined, declared, horizon=horizon, measure="count")
    if history.valued:
        valued, more = _series(history, isolated, quarantined, declared, horizon=horizon, measure="value")
        money = {(forecast.segment, forecast.stage): forecast for forecast in valued}
        forecasts = tuple(
            replace(each, value=money.get((each.segment, each.stage)), checked=True) for each in forecasts
        )
        scorecard += more
    refitted = int(sum(block.changed.sum() for block in isolated.chunks)) * stages
    return Fitted(
        forecasts,
        scorecard,
        tuple(memory),
        plan.note,
        _responses(history, isolated),
        len(forecasts) - refitted - len(quarantined) * stages,
        refitted,
        plan.anew,
        quarantined,
    )


def _series(
    history: History,
    isolated: Isolated,
    quarantined: Mapping[str, str],
    declared: Mapping[tuple[str, str], tuple[DeclaredEffect, ...]],
    *,
    horizon: int,
    measure: Measure,
) -> tuple[tuple[Forecast, ...], tuple[Score, ...]]:
    """Coherent forecasts of all series, and their scores; of value, those of stages that carry any."""
    told = [stage for stage in history.stages if measure == "count" or stage in history.valued]
    series = [(segment, stage) for segment, stage in history.series if stage in told]
    stages = [stage in told for stage in history.stages]
    made = _gathered(history, isolated, stages, horizon=horizon, measure=measure)
    reasons = _why_not_fitted(made) | {
        place: f"quarantined: {quarantined[segment]}; the next retrain tries again"
        for place, (segment, _) in enumerate(series)
        if segment in quarantined
    }
    answers = _answers(made, sorted(reasons), season_length=SEASON_LENGTH[history.frequency])
    by_funnel = (part.reshape(-1, len(told), *part.shape[1:]) for part in answers)
    mean, quantiles, in_flight = (part.reshape(len(series), *part.shape[2:]) for part in coherent(*by_funnel))
    whole = made.whole
    quantiles[whole] = settled(mean[whole], quantiles[whole])
    new, parts = np.maximum(mean - in_flight, 0.0), (~np.isnan(in_flight[:, 0])).tolist()
    steps, scale, cascaded = reliable_until(made.sums, horizon=horizon), made.scale.tolist(), made.cascaded.tolist()
    steps[list(reasons)] = 0
    of_segments = np.array([segment != TOTAL for segment, _ in series])
    ceiling = np.where(whole, np.ceil(made.ceiling), made.ceiling)  # as a settled median may lie on the next number
    ceilings = np.where(of_segments, np.maximum(ceiling, np.maximum(mean, quantiles[..., MEDIAN]).max(axis=1)), ceiling)
    repairs, cutoff = _repairs_by_stage(history, measure), history.cutoff
    check_forecasts(
        lambda place: name_of_forecast(*series[place], cutoff),
        mean,
        quantiles,
        ceiling=ceilings,
        reliable_until=steps,
        in_flight=in_flight,
        new=new,
    )
    forecasts: list[Forecast] = []
    scorecard: list[Score] = []
    for place, (segment, stage) in enumerate(series):
        scores = scores_from_sums(segment, stage, made.sums[place], scale=scale[place], measure=measure)
        scorecard.extend(scores)
        reason, parted = reasons.get(place), parts[place]
        forecasts.append(
            Forecast(
                segment=segment,
                stage=stage,
                cutoff=cutoff,
                model=FALLBACK if reason else MODELS[measure][cascaded[place]],
                mean=mean[place],
                quantiles=quantiles[place],
                in_flight=in_flight[place] if parted else None,
                new=new[place] if parted else None,
                reliable_until=int(steps[place]),
                frequency=history.frequency,
                ceiling=float(ceilings[place]),
                coverage=coverage_from_scores(scores),
                repairs=tuple(
                    f"{repair.start} to {repair.end}: {repair.text}"
                    for repair in repairs[stage]
                    if segment == TOTAL or repair.segment in (TOTAL, segment)
                ),
                fallback_reason=reason,
                declared=() if reason else declared.get((segment, stage), ()),
                checked=True,
            )
        )
    return tuple(forecasts), tuple(scorecard)


def _answers(made: SeriesForecasts, unanswered: Sequence[int], *, season_length: int) -> tuple[Array, Array, Array]:
    """Mean, quantiles and what is in flight of each series; the weekday mean, its parts not told apart, of those that
    the combination cannot answer.
    """
    if not unanswered:
        return made.mean, made.quantiles, made.in_flight
    mean, quantiles, in_flight = made.mean.copy(), made.quantiles.copy(), made.in_flight.copy()
    for place in unanswered:
        recent = made.recent[place : place + 1]
        means, spread = weekday_mean(recent, horizon=mean.shape[1], season_length=season_length)
        mean[place], quantiles[place], in_flight[place] = means[0], spread[0], np.nan
    return mean, quantiles, in_flight


def _gathered(
    history: History, isolated: Isolated, stages: Sequence[bool], *, horizon: int, measure: Measure
) -> SeriesForecasts:
    """The forecasts of all blocks, and of what was lost, in the order of the history's series; of these stages."""
    lost = sorted(isolated.lost)
    made = [result.now if measure == "count" else result.value for result in isolated.results]
    if lost:
        known = history.matrix if measure == "count" else history.money
        assert known is not None
        known = hidden(known.reshape(-1, len(stages), history.periods), absences(history))[lost]
        made.append(unfitted(known.reshape(-1, history.periods), horizon=horizon, counted=measure == "count"))
    rows = [row for block in isolated.chunks for row in block.rows] + lost
    return in_order(made, np.argsort(rows), stages=stages)


def _responses(history: History, isolated: Isolated) -> dict[str, Array]:
    """Responses by segment, of funnels that have a transition."""
    names = (TOTAL, *history.segments)
    results: list[BlockResult] = isolated.results
    answers = {
        row: pack(result.responses[funnel])
        for block, result in zip(isolated.chunks, results, strict=True)
        for funnel, row in enumerate(block.rows)
        if result.responses is not None and result.responses.shape[1]
    }
    return {names[row]: answers[row] for row in sorted(answers)}


def in_threads(function: Callable[[Any], Any], blocks: Sequence[Any]) -> Iterator[Any]:
    """Map over blocks in threads of this process: the kernels leave the interpreter's lock."""
    if len(blocks) == 1:
        yield attempt(function, blocks[0])
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(partial(attempt, function), blocks)


def _repairs_by_stage(history: History, measure: Measure) -> dict[str, list[Repair]]:
    """Repairs of each stage and of all stages, in their order; those of value with value only."""
    told = [repair for repair in history.repairs if measure == "value" or repair.kind != NEGATIVE_VALUE]
    return {stage: [repair for repair in told if repair.stage in ("", stage)] for stage in history.stages}


def _why_not_fitted(made: SeriesForecasts) -> dict[int, str]:
    """By place, why the combination cannot answer for a series; nothing of those that it can."""
    wild = np.asarray(~(np.isfinite(made.mean).all(axis=1) & np.isfinite(made.quantiles).all(axis=(1, 2))))
    above = (made.mean > made.ceiling[:, None]).any(axis=1)
    reasons = {}
    for place in np.flatnonzero((made.observed < LEAST_FITTED) | wild | above).tolist():
        observed = int(made.observed[place])
        if observed == 0:
            reasons[place] = "nothing was observed for this series"
        elif observed < LEAST_FITTED:
            text = "only {count} [period was|periods were] observed; the combination needs {least}"
            reasons[place] = worded(text, observed, least=LEAST_FITTED)
        elif wild[place]:
            reasons[place] = "the combination gave values that are not finite"
        else:
            reasons[place] = "the combination exceeded the explosion guard"
    return reasons
