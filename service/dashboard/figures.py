"""The charts of the pages: which marks they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from models.forecast import STEP_DAYS, Forecast
from models.funnel import TOTAL, DeclaredDay, Frequency
from service.dashboard.plot import Plot

Array = npt.NDArray[np.float64]

SHOWN = 56
"""Observed periods in a chart."""
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def short(day: date) -> str:
    """A day on an axis: 3 Nov."""
    return f"{day.day} {day:%b}"


def spread(days: Sequence[date], *, most: int = 6) -> Iterable[tuple[float, str]]:
    """At most so many days for the axis, evenly over it."""
    every = max(1, -(-len(days) // most))
    return [(place, short(days[place])) for place in range(every // 2, len(days), every)]


def largest(*series: Array) -> float:
    """Largest finite value."""
    return max((float(np.nanmax(each)) for each in series if np.isfinite(each).any()), default=1.0)


def fan(
    forecast: Forecast,
    observed: Array,
    *,
    last: int,
    repairs: Iterable[Mapping[str, Any]] = (),
    declared: Iterable[DeclaredDay] = (),
    partial_until: date | None = None,
) -> str:
    """Observed periods, then steps 1..last: the median and its 80 % and 95 % intervals, and how far to rely on them."""
    past = observed[-SHOWN:]
    now, unit = len(past), STEP_DAYS[forecast.frequency]
    days = [forecast.cutoff + timedelta(days=unit * step) for step in range(1 - now, last + 1)]
    low, high = forecast.interval(95)
    text = f"Observed until {forecast.cutoff}, forecast for {last} {forecast.frequency}s; figures in the table below."
    plot = Plot(f"History and forecast of {forecast.stage}", text, now + last, largest(past, high[:last]))
    mark_declared(plot, days, forecast, declared)
    mark_partial(plot, days, forecast, partial_until)
    mark_repairs(plot, days[:now], forecast, repairs)
    plot.band(low[:last], high[:last], kind="wide", start=now)
    inner_low, inner_high = forecast.interval(80)
    plot.band(inner_low[:last], inner_high[:last], kind="narrow", start=now)
    plot.line(past, kind="observed")
    plot.line(forecast.quantiles[:last, forecast.quantiles.shape[1] // 2], kind="median", start=now)
    plot.upright(now - 0.5, kind="cutoff")
    if forecast.reliable_until >= last:
        plot.note(now + last - 0.5, f"reliable at all {last} steps")
    elif forecast.reliable_until > 0:
        plot.upright(
            now - 0.5 + forecast.reliable_until, kind="until", text=f"reliable until step {forecast.reliable_until}"
        )
    plot.labels(spread(days))
    return plot.svg()


def spark(forecast: Forecast, observed: Array, *, last: int) -> str:
    """The same as small as a word: as many periods observed as are forecast, and the 80 % interval."""
    past = observed[-last:] if last else observed[:0]
    low, high = (side[:last] for side in forecast.interval(80))
    text = f"The last {len(past)} and the next {last} {forecast.frequency}s"
    plot = Plot(forecast.stage, text, len(past) + last, largest(past, high), height=56, bare=True)
    plot.band(low, high, kind="narrow", start=len(past))
    plot.line(past, kind="observed")
    plot.line(forecast.quantiles[:last, forecast.quantiles.shape[1] // 2], kind="median", start=len(past))
    return plot.svg()


def mark_repairs(plot: Plot, days: Sequence[date], forecast: Forecast, repairs: Iterable[Mapping[str, Any]]) -> None:
    """Shade the periods that were repaired, if not all of them."""
    for repair in repairs:
        first, last = (date.fromisoformat(str(repair[side])) for side in ("start", "end"))
        inside = touched(days, first, last, frequency=forecast.frequency)
        if concerns(repair, forecast) and inside and len(inside) < len(days) / 2:
            plot.stretch(inside[0], inside[-1], kind="repaired", text=str(repair["text"]))


def mark_declared(plot: Plot, days: Sequence[date], forecast: Forecast, declared: Iterable[DeclaredDay]) -> None:
    """Shade the periods of campaigns, launches and closures, each with its name."""
    for each in declared_for(forecast, declared):
        if inside := touched(days, each.start, each.end, frequency=forecast.frequency):
            plot.stretch(inside[0], inside[-1], kind="declared", text=f"{each.name}, {each.start} to {each.end}")
            plot.note(inside[0] - 0.5, each.name, y=22)


def mark_partial(plot: Plot, days: Sequence[date], forecast: Forecast, until: date | None) -> None:
    """Shade what had begun when the data were told, and was not over: it is forecast, not read."""
    if until is not None:
        inside = touched(days, forecast.cutoff + timedelta(days=1), until, frequency=forecast.frequency)
        if inside:
            text = f"partial until it is over: what came in up to {until} is not read as a drop"
            plot.stretch(inside[0], inside[-1], kind="partial", text=text)


def declared_for(forecast: Forecast, declared: Iterable[DeclaredDay]) -> list[DeclaredDay]:
    """Those that concern a series."""
    return [each for each in declared if each.concerns(forecast.stage, forecast.segment)]


def touched(days: Sequence[date], first: date, last: date, *, frequency: Frequency) -> list[int]:
    """Places of the periods, told by their last days, that hold any day from first to last."""
    unit = timedelta(days=STEP_DAYS[frequency])
    return [place for place, day in enumerate(days) if first <= day and last > day - unit]


def concerns(repair: Mapping[str, Any], forecast: Forecast) -> bool:
    """Whether a repair is about a series."""
    return repair["stage"] in ("", forecast.stage) and (
        TOTAL in (forecast.segment, repair["segment"]) or repair["segment"] == forecast.segment
    )


def parts(forecast: Forecast, *, last: int) -> str | None:
    """In flight below, new above it, together the mean; None where the model does not tell them apart."""
    if forecast.in_flight is None:
        return None
    flying, mean = forecast.in_flight[:last], forecast.mean[:last]
    text = "What is in the funnel already, and what is still to enter it; figures in the table below."
    plot = Plot(f"In flight and new at {forecast.stage}", text, last, largest(mean), height=150)
    plot.band(np.zeros(last), flying, kind="flying")
    plot.band(flying, mean, kind="new")
    plot.line(mean, kind="median")
    plot.labels(spread(forecast.dates[:last]))
    return plot.svg()


def weekday_means(forecast: Forecast, observed: Array, *, last: int) -> list[tuple[str, float, float]]:
    """Per weekday from Monday: mean of the last eight weeks observed, and of the forecast; nan without any."""
    if forecast.frequency != "day":
        return []
    past = observed[-56:]
    before = [(forecast.cutoff - timedelta(days=len(past) - 1 - place)).weekday() for place in range(len(past))]
    after = [day.weekday() for day in forecast.dates[:last]]
    return [
        (name, mean_where(past, before, place), mean_where(forecast.mean[:last], after, place))
        for place, name in enumerate(WEEKDAYS)
    ]


def mean_where(values: Array, weekdays: Sequence[int], weekday: int) -> float:
    """Mean of what lies on a weekday; nan when nothing does."""
    chosen = values[np.array(weekdays, dtype=int) == weekday] if len(values) else values
    chosen = chosen[np.isfinite(chosen)]
    return float(chosen.mean()) if len(chosen) else float("nan")


def weekday_profile(rows: Sequence[tuple[str, float, float]]) -> str:
    """Two bars a weekday: observed, and forecast."""
    observed, expected = (np.array([row[side] for row in rows]) for side in (1, 2))
    text = "Mean of each weekday, observed and forecast; figures in the table below."
    plot = Plot("Weekday profile", text, 7, largest(observed, expected), height=150)
    plot.bars(observed, kind="bar-observed", shift=-0.2)
    plot.bars(expected, kind="bar-expected", shift=0.2)
    plot.labels((place, row[0]) for place, row in enumerate(rows))
    return plot.svg()
