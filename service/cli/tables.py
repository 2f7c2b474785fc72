"""Forecasts, scorecards and runs as tables for people; the figures are those of the JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.cli.output import print_lines, print_table

BAR = 40
"""Characters of the longest bar."""


def print_forecast(document: Mapping[str, Any]) -> None:
    """One row per step when one series is asked for, one row per series otherwise."""
    stale = ", stale: the store is away" if document["stale"] else ""
    print_lines(
        [
            f"{document['funnel']}: version {document['version']}, "
            f"observed up to and including {document['cutoff']}{stale}"
        ]
    )
    if len(document["forecasts"]) == 1:
        print_steps(document, document["forecasts"][0])
    else:
        print_series(document)


def print_steps(document: Mapping[str, Any], series: Mapping[str, Any]) -> None:
    """Each step of one series."""
    levels = [str(level) for level in document["levels"]]
    title = f"{series['stage']} of {series['segment']}, by {series['model']}"
    columns = ["step", "date", "mean", *(f"{level}%" for level in levels), "in flight", "new", "reliable"]
    rows = [
        [
            str(step["step"]),
            step["date"],
            amount(step["mean"]),
            *(interval(step["intervals"][level]) for level in levels),
            amount(step["in_flight"]),
            amount(step["new"]),
            "yes" if step["reliable"] else "no",
        ]
        for step in series["steps"]
    ]
    print_table(title, columns, rows)
    print_lines(notes(series))


def print_series(document: Mapping[str, Any]) -> None:
    """The first step of each series with its interval, and sums over the next 7 days and the horizon."""
    unit, horizon = document["frequency"], document["horizon"]
    sums = [steps for steps in ((7, horizon) if unit == "day" and horizon > 7 else (horizon,)) if steps > 1]
    level = str(document["levels"][0])
    columns = [
        "segment", "stage", f"next {unit}", f"{level}% of it", *(f"next {steps} {unit}s" for steps in sums),
        "reliable until", "model",
    ]  # fmt: skip
    rows = []
    for series in document["forecasts"]:
        steps = series["steps"]
        means = [step["mean"] for step in steps]
        rows.append(
            [
                series["segment"],
                series["stage"],
                amount(means[0] if means else None),
                interval(steps[0]["intervals"][level]) if steps else "",
                *(amount(sum(means[:count]) if len(means) >= count else None) for count in sums),
                f"step {series['reliable_until']}" if series["reliable_until"] else "nowhere",
                series["model"],
            ]
        )
    print_table("Forecast", columns, rows)
    noted: dict[str, list[tuple[str, str]]] = {}
    for series in document["forecasts"]:
        for note in notes(series):
            noted.setdefault(note, []).append((series["stage"], series["segment"]))
    print_lines(f"{whose(found)}: {note}" for note, found in noted.items())


def whose(found: Sequence[tuple[str, str]]) -> str:
    """What a note is about, in few words: `won of total`, `won, 5 series`, `25 series`."""
    stage, segment = found[0]
    if len(found) == 1:
        return f"{stage} of {segment}"
    return f"{stage}, {len(found)} series" if {stage} == {each for each, _ in found} else f"{len(found)} series"


def print_scenario(document: Mapping[str, Any]) -> None:
    """One row per stage and segment; what was reckoned, and what it does not claim, above."""
    print_lines(
        [
            f"{document['funnel']}: version {document['version']}, sums of {document['horizon']} "
            f"{document['frequency']}s after {document['cutoff']}",
            f"{document['basis']}",
        ]
    )
    columns = ["segment", "stage", "mean", "change", "scenario", "half arrived", "decided"]
    rows = [
        [
            series["segment"],
            series["stage"],
            amount(series["mean"]),
            f"{series['change']:+,.1f}",
            amount(series["scenario"]),
            series["half_arrived"]["date"] if series["half_arrived"] else "",
            percent(series["decided"]),
        ]
        for series in document["series"]
    ]
    print_table("Scenario", columns, rows)
    print_lines(
        f"{each['stage']} of {each['segment']}: {each['refused']}" for each in document["series"] if each["refused"]
    )


def print_scorecard(scores: Iterable[Mapping[str, Any]], *, segment: str = "total") -> None:
    """Backtest accuracy of one segment by stage and steps."""
    columns = ["stage", "steps", "wMAPE", "bias", "skill", "80% held", "95% held", "samples"]
    rows = [
        [
            score["stage"],
            f"{score['steps']}",
            percent(score["wmape"]),
            percent(score["bias"], sign=True),
            "" if score["skill"] is None else f"{score['skill']:+.2f}",
            percent(score["coverage80"]),
            percent(score["coverage95"]),
            str(score["n"]),
        ]
        for score in scores
        if score["segment"] == segment
    ]
    print_table(f"Scorecard of {segment}: rolling-origin backtest, skill against seasonal naive", columns, rows)


def print_growth(growth: Iterable[Mapping[str, Any]]) -> None:
    """How the measured error of each stage grows with the steps, as bars beside a seasonal naive forecast's."""
    rows = [(row, naive_wql(row)) for row in growth if row["wql"] is not None]
    scale = max((max(row["wql"], naive or 0.0) for row, naive in rows), default=0.0) or 1.0
    columns = ["stage", "steps", "wMAPE", "WQL", "naive WQL", "skill", f"WQL up to {scale:.2f}; | is naive"]
    table = []
    for row, naive in rows:
        skill = "" if row["skill"] is None else f"{row['skill']:+.2f}"
        against = "" if naive is None else f"{naive:.3f}"
        drawn = bar(row["wql"] / scale, mark=None if naive is None else naive / scale)
        table.append([row["stage"], row["steps"], percent(row["wmape"]), f"{row['wql']:.3f}", against, skill, drawn])
    print_table("Measured error by steps ahead, total", columns, table)


def naive_wql(row: Mapping[str, Any]) -> float | None:
    """Error of the seasonal naive forecast, from skill = 1 - WQL / naive WQL; None where that cannot be told."""
    if row["skill"] is None or row["skill"] >= 1:
        return None
    return float(row["wql"]) / (1 - float(row["skill"]))


def bar(share: float, *, mark: float | None) -> str:
    """A bar of `share` of BAR characters, and `|` where another share ends."""
    drawn = ["#" if place < round(share * BAR) else " " for place in range(BAR)]
    if mark is not None:
        drawn[max(min(round(mark * BAR), BAR) - 1, 0)] = "|"
    return "".join(drawn).rstrip()


def notes(series: Mapping[str, Any]) -> list[str]:
    """What a person must know of a series beside its figures."""
    found = []
    if series["fallback_reason"]:
        found.append(f"answered by a fallback: {series['fallback_reason']}")
    if series["refused"]:
        found.append(series["refused"])
    return [*found, *(each["text"] for each in series["declared"]), *series["repairs"]]


def amount(value: float | None) -> str:
    """A count as people read it: one decimal when it is small."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def interval(bounds: Iterable[float]) -> str:
    """`3.0 … 9.5`."""
    return " … ".join(amount(bound) for bound in bounds)


def percent(value: float | None, *, sign: bool = False) -> str:
    """A share in percent, empty when unknown."""
    if value is None:
        return ""
    return f"{value:+.0%}" if sign else f"{value:.0%}"
