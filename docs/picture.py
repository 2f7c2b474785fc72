"""The fan chart of the README, drawn from what a store serves: python docs/picture.py [--help]."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

from models.calendar import make_calendar
from models.cleaning import clean
from models.forecast import QUANTILES, Forecast
from models.funnel import DEFAULT_HORIZON, TOTAL
from models.history import make_history
from service.serving import Serving
from service.store.database import Database
from service.store.funnels import get_funnel
from service.store.observations import read_counts, read_events

Array = npt.NDArray[np.float64]
WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 860, 170, 56, 16, 58, 34
INK, PALE, LINE, WIDE, NARROW = "#1f2937", "#6b7280", "#1d4ed8", "#dbeafe", "#93c5fd"
FONT = "font-family='system-ui, sans-serif'"


@dataclass(frozen=True, slots=True)
class Panel:
    """One stage: `actual` counts of the days up to the cutoff, and the first `horizon` steps after it."""

    stage: str
    actual: Array
    forecast: Forecast
    horizon: int


def svg_from_panels(panels: list[Panel], *, title: str) -> str:
    """Small multiples under each other, one time axis: actual days, the median, the 80 % and 95 % intervals."""
    height = TOP + len(panels) * (PANEL + GAP) + 6
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' "
        f"role='img' {FONT}>",
        f"<title>{escape(title)}</title><rect width='100%' height='100%' fill='white'/>",
        f"<text x='{LEFT}' y='24' font-size='15' font-weight='600' fill='{INK}'>{escape(title)}</text>",
        f"<g font-size='11' fill='{PALE}'><rect x='{LEFT}' y='36' width='14' height='9' fill='{NARROW}'/>"
        f"<text x='{LEFT + 20}' y='45'>80 % interval</text><rect x='{LEFT + 110}' y='36' width='14' height='9' "
        f"fill='{WIDE}'/><text x='{LEFT + 130}' y='45'>95 % interval</text><path d='M{LEFT + 220} 41h14' "
        f"stroke='{LINE}' stroke-width='2'/><text x='{LEFT + 240}' y='45'>median</text>"
        f"<path d='M{LEFT + 300} 41h14' stroke='{INK}' stroke-width='1.5'/>"
        f"<text x='{LEFT + 320}' y='45'>observed</text></g>",
    ]
    parts += [drawn(panel, top=TOP + index * (PANEL + GAP)) for index, panel in enumerate(panels)]
    return "\n".join([*parts, "</svg>", ""])


def drawn(panel: Panel, *, top: int) -> str:
    """One panel, its axis from zero."""
    observed, horizon = len(panel.actual), panel.horizon
    intervals = {level: panel.forecast.interval(level) for level in (95, 80)}
    bounds = {level: (low[:horizon], high[:horizon]) for level, (low, high) in intervals.items()}
    highest = max(np.nanmax(panel.actual), bounds[95][1].max(), 1.0) * 1.05
    step = (WIDTH - LEFT - RIGHT) / (observed + horizon - 1)

    def path(start: int, values: Array) -> str:
        points = [
            f"{LEFT + (start + index) * step:.1f} {top + PANEL * (1 - value / highest):.1f}"
            for index, value in enumerate(values)
            if np.isfinite(value)
        ]
        return "L".join(points)

    bands = "".join(
        f"<path d='M{path(observed, high)}L{'L'.join(reversed(path(observed, low).split('L')))}Z' fill='{colour}'/>"
        for (low, high), colour in zip(bounds.values(), (WIDE, NARROW), strict=True)
    )
    median = path(observed, panel.forecast.quantiles[:horizon, QUANTILES.index(0.5)])
    ticks = "".join(
        f"<text x='{LEFT - 8}' y='{top + PANEL * (1 - value / highest) + 4:.1f}' text-anchor='end'>{value:g}</text>"
        f"<path d='M{LEFT} {top + PANEL * (1 - value / highest):.1f}H{WIDTH - RIGHT}' stroke='#e5e7eb'/>"
        for value in nice_ticks(highest)
    )
    cutoff = LEFT + (observed - 1) * step
    return (
        f"<g font-size='11' fill='{PALE}'>{ticks}{days(panel, step=step, bottom=top + PANEL + 14)}</g>{bands}"
        f"<path d='M{cutoff:.1f} {top}V{top + PANEL}' stroke='{PALE}' stroke-dasharray='3 3'/>"
        f"<path d='M{path(0, panel.actual)}' fill='none' stroke='{INK}' stroke-width='1.5'/>"
        f"<path d='M{median}' fill='none' stroke='{LINE}' stroke-width='2'/>"
        f"<text x='{LEFT + 6}' y='{top + 14}' font-size='13' font-weight='600' fill='{INK}'>"
        f"{escape(panel.stage)}</text>"
    )


def days(panel: Panel, *, step: float, bottom: int) -> str:
    """Every second Monday's date under the axis."""
    observed = len(panel.actual)
    first = panel.forecast.cutoff - timedelta(days=observed - 1)
    labels = []
    for index in range(observed + panel.horizon):
        day: date = first + timedelta(days=index)
        if day.weekday() == 0 and day.toordinal() // 7 % 2 == 0:
            labels.append(f"<text x='{LEFT + index * step:.1f}' y='{bottom}'>{day:%d %b}</text>")
    return "".join(labels)


def nice_ticks(highest: float) -> list[float]:
    """Three to six round numbers from zero to below `highest`."""
    size = 10.0 ** np.floor(np.log10(highest))
    size = next(size * share for share in (1.0, 0.5, 0.25, 0.2, 0.1) if highest / (size * share) >= 3)
    return [float(size * index) for index in range(int(highest / size) + 1)]


def panels_from_store(database: Database, name: str, *, stages: list[str], observed: int) -> list[Panel]:
    """The total of `stages`, as served, behind its last `observed` days as cleaned for training."""
    serving = Serving(database)
    serving.refresh()
    served = serving.find(name)
    if served is None:
        raise SystemExit(f"{name} has no served version in {database.engine.url!r}; retrain it first")
    with database.read() as connection:
        record = get_funnel(connection, name)
        events, counts = read_events(connection, record.id), read_counts(connection, record.id)
    history = make_history(served.funnel, events=events, counts=counts, cutoff=served.cutoff)
    cleaned, _ = clean(history, calendar=make_calendar(served.funnel))
    rows = dict(zip(cleaned.series, cleaned.matrix, strict=True))
    horizon = min(DEFAULT_HORIZON[served.funnel.frequency], served.horizon)
    return [
        Panel(stage, rows[TOTAL, stage][-observed:], served.forecasts[TOTAL, stage], horizon)
        for stage in stages or served.funnel.stages
    ]


def main() -> None:
    """Draw what the store serves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", required=True, help="sqlite:///file.db or postgresql://…")
    parser.add_argument("--funnel", default="demo")
    parser.add_argument("--stages", default="", help="a,b,c; none: all")
    parser.add_argument("--observed", type=int, default=56, help="days before the cutoff")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "forecast.svg")
    arguments = parser.parse_args()
    stages = [stage for stage in arguments.stages.split(",") if stage]
    with Database(arguments.database) as database:
        panels = panels_from_store(database, arguments.funnel, stages=stages, observed=arguments.observed)
    cutoff = f"{panels[0].forecast.cutoff:%d %B %Y}"
    title = f"{arguments.funnel}: the next {panels[0].horizon} days, from what was known on {cutoff}"
    arguments.out.write_text(svg_from_panels(panels, title=title), encoding="utf-8")


if __name__ == "__main__":
    main()
