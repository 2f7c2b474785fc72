"""What is asked for of a version: which series, how far ahead, and what is refused of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.errors import HorizonError, NearcastError
from models.forecast import LEVELS, Forecast, forecasts_of, quantiles_of_level
from models.funnel import DEFAULT_HORIZON, TOTAL, Funnel, Measure
from service.numbers import number

if TYPE_CHECKING:
    from service.serving import Served

DEFAULT_LEVELS = (80, 95)
LISTED = 20
"""How many names a sentence lists."""


class SeriesNotFoundError(NearcastError):
    """A stage or segment that the version does not have; `members` lists those it has."""

    slug = "series-not-found"

    def __init__(self, detail: str, *, stages: tuple[str, ...], segments: tuple[str, ...]) -> None:
        super().__init__(detail)
        self.members: dict[str, Any] = {"stages": list(stages), "segments": list(segments)}


class NoValueError(NearcastError):
    """Value is asked for, and none is forecast; `members` lists the stages that have one."""

    slug = "no-value"

    def __init__(self, detail: str, *, stages: tuple[str, ...]) -> None:
        super().__init__(detail)
        self.members: dict[str, Any] = {"stages": list(stages)}


class FarHorizonError(HorizonError):
    """A horizon past what is served; `members` hold what is, and how the measured error grows by step."""

    def __init__(self, detail: str, *, longest: int, growth: list[dict[str, Any]]) -> None:
        super().__init__(detail)
        self.members: dict[str, Any] = {"longest_horizon": longest, "error_growth": growth}


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a version is asked for; empty means all (of value: all that carry any), no horizon the funnel's default.

    measure: how many, or what they are worth.
    """

    stages: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    horizon: int | None = None
    levels: tuple[int, ...] = DEFAULT_LEVELS
    measure: Measure = "count"


def levels_from_text(text: str) -> tuple[int, ...]:
    """Levels from `80,95`, in the order given, each once.

    Raises HorizonError for what is not one of `models.forecast.LEVELS`.
    """
    levels = []
    for part in text.split(","):
        stripped = part.strip()
        if not (stripped.isascii() and stripped.isdigit() and len(stripped) < 4):
            raise HorizonError(f"level must be percents such as 80,95; choose from {list(LEVELS)}")
        quantiles_of_level(int(stripped))
        levels.append(int(stripped))
    return tuple(dict.fromkeys(levels))


def select(served: Served, selection: Selection) -> tuple[list[Forecast], int]:
    """The forecasts asked for, total first and stages in the funnel's order, and the horizon.

    Raises
    ------
    SeriesNotFoundError
        For an unknown stage or segment.
    NoValueError
        When value is asked for of stages without any.
    FarHorizonError
        For a horizon past the published one, or, where the funnel's gate refuses, past what is reliable.
    """
    forecasts = list(served.forecasts.values())
    stages = tuple(dict.fromkeys(forecast.stage for forecast in forecasts))
    segments = tuple(dict.fromkeys(forecast.segment for forecast in forecasts))
    for kind, wanted, known in (("stage", selection.stages, stages), ("segment", selection.segments, segments)):
        if unknown := [name for name in wanted if name not in known]:
            detail = f"no {kind} {shown(unknown)} is forecast; there are {shown(known)}"
            raise SeriesNotFoundError(detail, stages=stages, segments=segments)
    chosen = [
        forecast
        for forecast in forecasts
        if (not selection.stages or forecast.stage in selection.stages)
        and (not selection.segments or forecast.segment in selection.segments)
    ]
    if selection.measure == "value":
        chosen = valued(forecasts, chosen, stages=selection.stages)
    horizon = checked_horizon(served, selection.horizon)
    if selection.horizon is not None:
        check_reliable(served, chosen, horizon, measure=selection.measure)
    return chosen, horizon


def valued(every: Iterable[Forecast], chosen: Iterable[Forecast], *, stages: tuple[str, ...]) -> list[Forecast]:
    """The forecasts of value among the chosen; NoValueError when there are none, or a stage that is named has none."""
    carrying = tuple(dict.fromkeys(forecast.stage for forecast in forecasts_of(every, "value")))
    if not carrying:
        detail = "no forecast of value: the rows of this funnel carry no value; send a column `value`, then retrain"
        raise NoValueError(detail, stages=carrying)
    if without := [stage for stage in stages if stage not in carrying]:
        raise NoValueError(
            f"no row of {shown(without)} carries a value; those of {shown(carrying)} do", stages=carrying
        )
    return list(forecasts_of(chosen, "value"))


def checked_horizon(served: Served, horizon: int | None) -> int:
    """The horizon to answer with; FarHorizonError past what the version holds, HorizonError below 1."""
    published = max((forecast.horizon for forecast in served.forecasts.values()), default=0)
    longest = min(published, served.funnel.horizon_limit)
    if horizon is None:
        return min(DEFAULT_HORIZON[served.funnel.frequency], longest)
    if horizon < 1:
        raise HorizonError(f"horizon must be at least 1 step; up to {longest} are served")
    if horizon > longest:
        raise far_horizon(served, horizon, longest)
    return horizon


def scores_of(served: Served, measure: Measure) -> tuple[dict[str, Any], ...]:
    """The scorecard of counts, or of value."""
    return served.scorecard if measure == "count" else served.value_scorecard


def far_horizon(served: Served, horizon: int, longest: int) -> FarHorizonError:
    """The refusal of a far horizon, with the reason in measured figures."""
    unit = served.funnel.frequency
    growth = error_growth(served.scorecard)
    detail = f"a horizon of {horizon} {unit}s is not served; up to {longest} {unit}s are"
    bottom = served.funnel.stages[-1]
    rows = [row for row in growth if row["stage"] == bottom and row["wmape"] is not None]
    if len(rows) > 1:
        first, last = rows[0], rows[-1]
        detail += (
            f": the measured error of {bottom} {'grows from' if last['wmape'] > first['wmape'] else 'is'} "
            f"{first['wmape']:.0%} at steps {first['steps']} "
            f"{'to' if last['wmape'] > first['wmape'] else 'and'} {last['wmape']:.0%} at steps {last['steps']}"
        )
    return FarHorizonError(detail, longest=longest, growth=growth)


def check_reliable(served: Served, chosen: Iterable[Forecast], horizon: int, *, measure: Measure = "count") -> None:
    """Raise FarHorizonError when the funnel's gate refuses a horizon past what is reliable of any of these series."""
    short = [forecast for forecast in chosen if forecast.reliable_until < horizon]
    if not short or served.funnel.gate == "flag":
        return
    names = shown(dict.fromkeys(f"{forecast.stage} of {forecast.segment}" for forecast in short))
    detail = (
        f"a horizon of {horizon} {served.funnel.frequency}s is refused by the funnel's gate: the backtest does not "
        f"beat a seasonal naive forecast that far for {names}; leave the horizon out to get the steps that are reliable"
    )
    stages = {forecast.stage for forecast in short}
    growth = [row for row in error_growth(scores_of(served, measure)) if row["stage"] in stages]
    raise FarHorizonError(detail, longest=min(forecast.reliable_until for forecast in short), growth=growth)


def error_growth(scorecard: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Measured error by stage and steps, of the total; null where nothing could be measured."""
    return [
        {
            "stage": score["stage"],
            "steps": score["steps"],
            **{name: number(score.get(name)) for name in ("wmape", "wql", "skill")},
        }
        for score in scorecard
        if score["segment"] == TOTAL
    ]


def refused_from(forecast: Forecast, *, horizon: int, funnel: Funnel) -> tuple[str | None, int]:
    """Why steps of a series are left out, None when none are, and its last step."""
    last = min(horizon, forecast.horizon)
    if funnel.gate == "flag" or forecast.reliable_until >= last:
        return None, last
    steps = f"steps {forecast.reliable_until + 1} to {last}"
    reason = f"{steps} are left out: there the backtest does not beat a seasonal naive forecast"
    return reason, forecast.reliable_until


def shown(names: Iterable[str]) -> str:
    """Names for a sentence, the first LISTED of them."""
    listed = list(names)
    text = ", ".join(repr(name) for name in listed[:LISTED])
    return text if len(listed) <= LISTED else f"{text} and {len(listed) - LISTED} more"
