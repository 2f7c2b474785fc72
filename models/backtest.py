"""Backtest: forecasts at past cutoffs, each from the rows up to it, scored against what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from models.baseline import seasonal_naive
from models.calendar import make_calendar
from models.cleaning import clean
from models.engine import fit
from models.errors import HistoryError, HorizonError
from models.forecast import STEP_DAYS, Forecast, forecasts_of
from models.freshness import SILENT_DAYS, last_complete_day
from models.funnel import LONGEST_HORIZON, SEASON_LENGTH, Funnel, Measure
from models.history import History, make_history
from models.metrics import seasonal_scale
from models.records import Counts, Events
from models.skill import Evidence, Score, scores_from_evidence

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """Forecasts of all series at all cutoffs, in that order, and their scores by series and step bucket."""

    forecasts: tuple[Forecast, ...]
    scorecard: tuple[Score, ...]


def backtest(
    events: Events | None,
    counts: Counts | None,
    funnel: Funnel,
    *,
    cutoffs: Sequence[date],
    horizon: int,
    measure: Measure = "count",
    start: date | None = None,
    progress: Callable[[int], None] | None = None,
) -> Backtest:
    """Forecast `horizon` steps at each cutoff.

    Parameters
    ----------
    cutoffs
        Last observed days, inclusive; of weekly funnels the last day of a week.
    measure
        What is forecast and scored: how many, or what they are worth; of value, the stages whose rows carry any.
    start
        First day used; None: the first with data.
    progress
        Called with the number of cutoffs done.

    Raises
    ------
    HistoryError
        When there is no history at a cutoff, the data ends before it, or no row carries the value asked for.
    HorizonError
        When the horizon is beyond what is ever served.
    """
    longest = LONGEST_HORIZON[funnel.frequency]
    if not 1 <= horizon <= longest:
        raise HorizonError(f"a horizon of {horizon} is not within 1..{longest} {funnel.frequency}s")
    last = last_complete_day(events, counts, funnel, fresh_until=None)
    for cutoff in cutoffs:
        if cutoff > last and not _reaches(events, counts, funnel, last=last, cutoff=cutoff):
            raise HistoryError(f"the cutoff {cutoff} is later than {last}, the last complete day of the data")
    calendar = make_calendar(funnel)
    forecasts: list[Forecast] = []
    histories: list[History] = []
    for done, cutoff in enumerate(sorted(cutoffs), start=1):
        raw = make_history(funnel, events=events, counts=counts, cutoff=cutoff, start=start)
        if raw.cutoff != cutoff:
            raise HistoryError(f"the cutoff {cutoff} is not the last day of a {funnel.frequency}; {raw.cutoff} is")
        history, _ = clean(raw, calendar=calendar)
        histories.append(history)
        made = fit(history, calendar=calendar, horizon=horizon, scored=False).forecasts
        forecasts.extend(forecasts_of(made, measure))
        if progress is not None:
            progress(done)
    truth = make_history(funnel, events=events, counts=counts, cutoff=last, start=start)
    if not forecasts:
        raise HistoryError(f"no row up to {max(cutoffs)} carries a value, so there is none to forecast")
    scores = _scorecard(forecasts, histories, clean(truth, calendar=calendar)[0], horizon, measure=measure)
    return Backtest(tuple(forecasts), scores)


def _reaches(events: Events | None, counts: Counts | None, funnel: Funnel, *, last: date, cutoff: date) -> bool:
    """Whether the data is told up to a cutoff past `last`, the last complete day as the rows alone tell it.

    Whoever names a cutoff says that its day is over: data cut there ends on it, or a usual silence before it.
    """
    if (cutoff - last).days > SILENT_DAYS:
        return False
    day_after = datetime.combine(cutoff + timedelta(days=1), time(12), ZoneInfo(funnel.timezone))
    told = last_complete_day(events, counts, funnel, fresh_until=round(day_after.timestamp() * 1_000_000))
    return told >= cutoff


def _matrix(history: History, measure: Measure) -> Array:
    """Counts or value of all series, (len(history.series), periods)."""
    if measure == "count":
        return history.matrix
    return np.full_like(history.matrix, np.nan) if history.money is None else history.money


def _scorecard(
    forecasts: Sequence[Forecast],
    histories: Sequence[History],
    truth: History,
    horizon: int,
    *,
    measure: Measure,
) -> tuple[Score, ...]:
    """Scores of every series that the truth knows."""
    season_length = SEASON_LENGTH[truth.frequency]
    by_series: dict[tuple[str, str], list[Forecast]] = {}
    for forecast in forecasts:
        by_series.setdefault((forecast.segment, forecast.stage), []).append(forecast)
    came, *before = (_matrix(history, measure) for history in (truth, *histories))
    scores: list[Score] = []
    for row, (segment, stage) in enumerate(truth.series):
        made = by_series.get((segment, stage), [])
        if not made:
            continue
        actuals = np.append(came[row], np.full(horizon, np.nan))
        past = {
            history.cutoff: known[history.series.index((segment, stage))][None]
            for history, known in zip(histories, before, strict=True)
            if (segment, stage) in history.series
        }
        naive = [seasonal_naive(past[f.cutoff], horizon=horizon, season_length=season_length)[1][0] for f in made]
        ends = [(f.cutoff - truth.start).days // STEP_DAYS[truth.frequency] + 1 for f in made]
        evidence = Evidence(
            segment=segment,
            stage=stage,
            mean=np.array([f.mean for f in made]),
            quantiles=np.array([f.quantiles for f in made]),
            naive=np.array(naive),
            actual=np.array(
                [np.append(actuals[end : end + horizon], np.full(horizon, np.nan))[:horizon] for end in ends]
            ),
            scale=seasonal_scale(came[row], season_length=season_length),
            measure=measure,
        )
        scores.extend(scores_from_evidence(evidence))
    return tuple(scores)
