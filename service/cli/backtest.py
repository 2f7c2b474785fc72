"""`nearcast backtest`: forecasts of a file at past cutoffs, from what was known then; no server, no store."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import IO, Annotated, Any

import orjson
import typer

from models.errors import InputError, Problem
from models.forecast import QUANTILES, Forecast
from models.funnel import Measure
from models.wording import worded
from service.cli.options import JsonOption, MeasureOption
from service.cli.output import LateProgress, print_json, print_lines
from service.cli.reading import (
    CountryOption,
    DueOption,
    ExitsOption,
    KindChoice,
    KindOption,
    MapOption,
    SegmentOption,
    StagesOption,
    WideOption,
    ZoneOption,
    make_options,
)
from service.cli.tables import print_growth, print_scorecard
from service.ingest import IngestOptions
from service.numbers import json_numbers
from service.selection import error_growth
from service.texts import day_from_text, names_from_text

CASE_FILES = (("events", "events.csv.gz"), ("counts", "counts.csv.gz"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to forecast, from which file, at which cutoffs; `start` None: from the first row on."""

    path: Path
    kind: KindChoice
    options: IngestOptions
    cutoffs: tuple[date, ...]
    horizon: int
    start: date | None


def backtest(  # noqa: PLR0913, PLR0917 - each is an option of the command
    file: Annotated[Path | None, typer.Argument(help="CSV (also .gz), NDJSON, JSON or Parquet.")] = None,
    case: Annotated[
        Path | None, typer.Option(help="Directory with case.json and events.csv.gz or counts.csv.gz.")
    ] = None,
    kind: KindOption = KindChoice.events,
    stages: StagesOption = None,
    exits: ExitsOption = None,
    segment_by: SegmentOption = None,
    due_stage: DueOption = None,
    timezone: ZoneOption = None,
    country: CountryOption = None,
    mapping: MapOption = None,
    wide: WideOption = None,
    start: Annotated[str | None, typer.Option(help="First day that is used: YYYY-MM-DD.")] = None,
    cutoffs: Annotated[str | None, typer.Option(help="Last observed days, each inclusive: YYYY-MM-DD,...")] = None,
    horizon: Annotated[int, typer.Option(help="Steps after each cutoff.")] = 28,
    measure: MeasureOption = "count",
    out: Annotated[Path | None, typer.Option(help="CSV to write the forecasts to.")] = None,
    by_step: Annotated[bool, typer.Option("--by-step", help="Draw how the error grows with the steps.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Forecast at past cutoffs, using only rows up to each, and score the forecasts."""
    if (file is None) == (case is None):
        raise InputError(Problem("give either a file or --case", remedy="nearcast backtest events.csv --cutoffs ..."))
    if case is not None:
        plan = plan_from_case(case, timezone=timezone, country=country)
    else:
        assert file is not None
        options = replace(
            make_options(mapping=mapping, wide=wide, stages=stages, exits=exits),
            segment_by=segment_by,
            due_stage=due_stage,
            timezone=timezone,
            country=country,
        )
        days = tuple(day_from_text(text, field="--cutoffs") for text in names_from_text(cutoffs) or ())
        first = day_from_text(start, field="--start") if start else None
        plan = Plan(file, kind, options, days, horizon, first)
    if not plan.cutoffs:
        raise InputError(Problem("no cutoffs", field="--cutoffs", remedy="give days such as 2016-02-07,2016-03-13"))
    if out is not None:
        check_writable(out)
    run(plan, measure=measure, out=out, by_step=by_step, as_json=as_json)


def run(plan: Plan, *, measure: Measure, out: Path | None, by_step: bool, as_json: bool) -> None:
    """Read, forecast at each cutoff, write and print."""
    from models.backtest import backtest as forecast_at_cutoffs  # noqa: PLC0415 - numba and pandas
    from service.cli.rows import read_rows  # noqa: PLC0415

    with LateProgress() as progress:
        rows = read_rows(
            plan.path, kind=plan.kind.value, options=plan.options, progress=lambda done: progress("reading rows", done)
        )
        result = forecast_at_cutoffs(
            rows.events,
            rows.counts,
            rows.funnel,
            cutoffs=plan.cutoffs,
            horizon=plan.horizon,
            measure=measure,
            start=plan.start,
            progress=lambda done: progress("forecasting at cutoffs", done, len(plan.cutoffs)),
        )
    if out is not None:
        with out.open("w", newline="", encoding="utf-8") as target:
            write_forecasts(result.forecasts, target)
    scores = [json_numbers(score._asdict()) for score in result.scorecard]
    if as_json:
        answer = {"stages": list(rows.funnel.stages), "cutoffs": len(plan.cutoffs), "scorecard": scores}
        print_json(answer | ({"error_growth": error_growth(scores)} if by_step else {}))
        return
    print_lines(rows.notes)
    print_scorecard(scores)
    if by_step:
        print_growth(error_growth(scores))
    if out is not None:
        print_lines([worded("{count} [forecast|forecasts] written to {out}", len(result.forecasts), out=out)])


def check_writable(out: Path) -> None:
    """Raise InputError unless the file can be written; what it holds stays, and no file is left behind."""
    existed = out.exists()
    if existed and not out.is_file() and not out.is_dir():
        return  # a pipe: to open it and close it again would end it
    try:
        out.open("ab").close()
        if not existed:
            out.unlink()
    except OSError as error:
        reason = f"{out} cannot be written: {error.strerror or error}"
        raise InputError(Problem(reason, field="--out", remedy="name a file in a directory that is there")) from error


def write_forecasts(forecasts: Iterable[Forecast], target: IO[str]) -> None:
    """One row per cutoff, segment, stage and step."""
    writer = csv.writer(target)
    quantiles = [f"q{quantile:g}" for quantile in QUANTILES]
    writer.writerow(["cutoff", "segment", "stage", "step", "mean", *quantiles, "in_flight", "new", "model"])
    for forecast in forecasts:
        steps = range(forecast.horizon)
        in_flight = [""] * len(steps) if forecast.in_flight is None else forecast.in_flight.tolist()
        new = [""] * len(steps) if forecast.new is None else forecast.new.tolist()
        for step in steps:
            head: list[Any] = [forecast.cutoff, forecast.segment, forecast.stage, step + 1, float(forecast.mean[step])]
            writer.writerow([*head, *forecast.quantiles[step].tolist(), in_flight[step], new[step], forecast.model])


def plan_from_case(directory: Path, *, timezone: str | None = None, country: str | None = None) -> Plan:
    """The plan that a case directory holds; a zone or country that is given takes precedence.

    Raises InputError when the directory is not one.
    """
    path = directory / "case.json"
    found = [(kind, directory / name) for kind, name in CASE_FILES if (directory / name).exists()]
    try:
        case = orjson.loads(path.read_bytes())
        options = IngestOptions(
            stages=tuple(case["stages"]),
            exits=tuple(case.get("exits", ())),
            segment_by=case.get("segment_by") or "",
            due_stage=case.get("due_stage"),
            timezone=timezone or case.get("timezone", "UTC"),
            country=country or case.get("country"),
        )
        cutoffs = tuple(date.fromisoformat(day) for day in case["cutoffs"])
        start = date.fromisoformat(case["start"]) if "start" in case else None
        kind, rows = found[0]
        return Plan(rows, KindChoice(kind), options, cutoffs, int(case.get("horizon", 28)), start)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        remedy = "it needs case.json with stages and cutoffs, and events.csv.gz or counts.csv.gz"
        raise InputError(Problem(f"{directory} is not a case: {error}", field="--case", remedy=remedy)) from error
