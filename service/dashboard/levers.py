"""What the page of levers shows: the levers as they were set, and what they change at each later stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import InputError, Problem
from models.funnel import TOTAL
from service.dashboard.figures import largest, short, spread
from service.dashboard.plot import Plot
from service.dashboard.rendering import exact, more, signed
from service.scenario import AskedLever, Scenario, scenario_document
from service.serving import Served
from service.texts import day_from_text

Array = npt.NDArray[np.float64]

MOST = 12
"""Levers on the page."""
CHARTS = 12
"""Stages that are drawn; the table has all."""
KINDS = {
    "inflow": ("Inflow, by %", "%"),
    "add": ("Inflow, by a number", "each"),
    "conversion": ("Conversion, by %", "%"),
    "delay": ("Delay, by days", "later"),
}
"""What a lever can be, and in what its amount is."""


@dataclass(frozen=True, slots=True)
class LeverRow:
    """One lever as it stands in the form, texts as they were written."""

    kind: str
    stage: str
    amount: str
    start: str = ""
    end: str = ""

    def asked(self, place: int) -> AskedLever:
        """The lever that it says. Raises InputError naming lever `place` and its part."""
        if self.kind not in KINDS:
            raise unusable(place, "kind", f"{self.kind[:40]!r} is no kind of lever", f"choose {', '.join(KINDS)}")
        amount = self._amount(place)
        return AskedLever(
            kind="delay" if self.kind == "delay" else "conversion" if self.kind == "conversion" else "inflow",
            stage=self.stage,
            percent=amount if self.kind in ("inflow", "conversion") else None,
            add=amount if self.kind == "add" else None,
            days=int(amount) if self.kind == "delay" else None,
            start=day_from_text(self.start, field=f"lever {place + 1} from") if self.start else None,
            end=day_from_text(self.end, field=f"lever {place + 1} to") if self.end else None,
        )

    def _amount(self, place: int) -> float:
        try:
            amount = float(self.amount)
        except ValueError:
            amount = math.nan
        if not math.isfinite(amount):
            raise unusable(place, "amount", f"{self.amount[:40]!r} is not a number", "write a number such as 10 or -5")
        if self.kind == "delay" and not amount.is_integer():
            raise unusable(place, "amount", "a delay is a whole number of steps", "write a number such as 3 or -2")
        return amount


def unusable(place: int, part: str, reason: str, remedy: str) -> InputError:
    """What is wrong with a lever of the form; the first one is lever 1."""
    return InputError(Problem(reason, field=f"lever {place + 1} {part}", remedy=remedy))


def rows_from_lists(
    kinds: Sequence[str], stages: Sequence[str], amounts: Sequence[str], starts: Sequence[str], ends: Sequence[str]
) -> list[LeverRow]:
    """The rows of the form, which sends each part as a list. Raises InputError for more than MOST, or for gaps."""
    if not len(kinds) == len(stages) == len(amounts) or {len(starts), len(ends)} - {0, len(kinds)}:
        remedy = "give kind, stage and amount once a lever, and start and end for all or for none"
        raise InputError(Problem("the parts of the levers do not fit together", field="kind", remedy=remedy))
    if len(kinds) > MOST:
        raise InputError(Problem(f"{len(kinds)} levers are more than {MOST}", field="kind", remedy="ask the API"))
    blank = [""] * len(kinds)
    return [LeverRow(*row) for row in zip(kinds, stages, amounts, starts or blank, ends or blank, strict=True)]


def scenario_from_rows(rows: Sequence[LeverRow], *, segment: str, horizon: int | None) -> Scenario:
    """What the rows ask for; those without an amount ask for nothing. Raises InputError."""
    levers = []
    for place, row in enumerate(rows):
        if row.amount.strip():
            lever = row.asked(place)
            levers.append(
                AskedLever(
                    lever.kind, lever.stage, segment, lever.percent, lever.add, lever.days, lever.start, lever.end
                )
            )
    return Scenario(tuple(levers), horizon)


def response_page(
    served: Served, packed: Mapping[str, Array], scenario: Scenario, *, stale: bool = False
) -> dict[str, Any]:
    """What the levers change, as the API answers it, with a chart a stage: from the first stage touched down.

    Raises LeverError, HorizonError and NoResponsesError as the API does.
    """
    if not scenario.levers:
        return {"document": None, "shown": [], "total": [], "summary": "No lever is moved."}
    document = scenario_document(served, packed, scenario, stale=stale)
    segment = scenario.levers[0].segment
    stages = served.funnel.stages
    top = min(stages.index(lever.stage) for lever in scenario.levers)
    series = [each for each in document["series"] if each["segment"] == segment][top:]
    total = [each for each in document["series"] if each["segment"] == TOTAL][top:] if segment != TOTAL else []
    return {
        "document": document,
        "shown": [(each, response_chart(each) if place < CHARTS else "") for place, each in enumerate(series)],
        "total": total,
        "days": days_of(series),
        "summary": summary_of(series[-1]),
    }


def summary_of(series: Mapping[str, Any]) -> str:
    """What becomes of the last stage, in a sentence."""
    change, mean = series["change"], series["mean"]
    share = f" ({signed(change / mean)})" if mean > 0 else ""
    return f"{series['stage']}: {exact(series['scenario'])} instead of {exact(mean)}, {more(change)}{share}."


def days_of(series: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[float | None]]]:
    """By day what each stage would be; None past what a gate lets through."""
    longest = max((each["steps"] for each in series), key=len)
    return [
        (step["date"], [each["steps"][place]["scenario"] if place < len(each["steps"]) else None for each in series])
        for place, step in enumerate(longest)
    ]


def response_chart(series: Mapping[str, Any]) -> str:
    """The published mean, and what it would be, with what lies between them shaded."""
    steps = series["steps"]
    if not steps:
        return ""
    base, then = (np.array([step[name] for step in steps]) for name in ("mean", "scenario"))
    days = [day_of(step["date"]) for step in steps]
    text = f"{summary_of(series)} Figures in the table below."
    plot = Plot(f"Response of {series['stage']}", text, len(steps), largest(base, then), height=130)
    plot.band(base, np.maximum(base, then), kind="gained")
    plot.band(np.minimum(base, then), base, kind="missed")
    plot.line(base, kind="base")
    plot.line(then, kind="median")
    if half := series["half_arrived"]:
        plot.upright(half["step"] - 1, kind="half", text=f"half by {short(day_of(half['date']))}")
    plot.labels(spread(days))
    return plot.svg()


def day_of(text: str) -> Any:
    """The day of a step."""
    return day_from_text(text, field="date")


def amount_bounds(served: Served, segment: str) -> dict[str, int]:
    """By stage: how far a slider of further entrants goes, about twice a usual step."""
    return {
        stage: max(5, math.ceil(2 * float(served.forecasts[segment, stage].mean.mean())))
        for stage in served.funnel.stages
        if (segment, stage) in served.forecasts
    }
