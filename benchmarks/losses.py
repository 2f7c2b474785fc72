"""`python -m benchmarks.losses FILE`: losses of the totals of real cases and simulated funnels, as JSON.

Run by `benchmarks.ablation` in a folder whose `models` lacks one ingredient; a process of its own, because kernels
take constants in when they are compiled. FILE holds the histories, read once by `tasks`.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.oracle import inside, make_spec
from models.calendar import make_calendar
from models.cleaning import clean
from models.engine import fit
from models.funnel import Funnel
from models.history import History, make_history
from models.metrics import quantile_loss
from models.records import Counts, Events
from models.rows import events_from_frame
from models.simulate import simulate

Array = npt.NDArray[np.float64]

HORIZON = 28
EVERY = 2
"""Every so many cutoffs of a case."""
SEEDS = (0, 3, 4, 7)
"""Of `oracle.make_spec`: all it varies, once or more."""
SIMULATED = (180, 239, 298)
"""Days of history at the cutoffs of simulated funnels."""
Rows = tuple[Events | None, Counts | None]
Source = tuple[str, Rows, Funnel, date | None, list[date]]
"""Name, rows, funnel, first day and cutoffs."""
Loss = dict[str, list[float]]
"""By case and stage: summed quantile loss, actuals inside the 80 % and the 95 % interval, and their number."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A history up to a cutoff, and what came after it: (stages, HORIZON), NaN where not known."""

    name: str
    history: History
    actual: Array
    funnel: Funnel


def main() -> None:
    """Measure and print."""
    losses: Loss = {}
    for task in pickle.loads(Path(sys.argv[1]).read_bytes()):
        add_losses(losses, task)
    sys.stdout.write(json.dumps(losses))


def tasks(cases: Sequence[Path]) -> list[Task]:
    """All there is to forecast."""
    found = []
    for name, rows, funnel, start, cutoffs in sources(cases):
        truth = history_at(rows, funnel, start, cutoff=max(cutoffs) + timedelta(days=HORIZON))
        for cutoff in cutoffs:
            history = history_at(rows, funnel, start, cutoff=cutoff)
            actual = truth.matrix[: len(history.stages), history.periods : history.periods + HORIZON]
            found.append(Task(name, history, actual, funnel))
    return found


def sources(cases: Sequence[Path]) -> Iterator[Source]:
    """The cases at every EVERYth cutoff, then the simulated funnels; only totals are asked for."""
    for name, rows, funnel, start, cutoffs in real_sources(cases):
        yield name, rows, replace(funnel, segment_by=None), start, cutoffs[::EVERY]
    for seed in SEEDS:
        kind, spec = make_spec(seed)
        simulation = simulate(spec, days=max(SIMULATED) + HORIZON, seed=np.random.default_rng(seed))
        events = events_from_frame(simulation.events, timezone=spec.timezone, segment_by=None)
        funnel = replace(spec.funnel(), segment_by=None)
        cutoffs = [spec.start + timedelta(days=days - 1) for days in SIMULATED]
        yield f"simulated: {kind}", (events, None), funnel, spec.start, cutoffs


def real_sources(cases: Sequence[Path]) -> Iterator[Source]:
    """The cases with their segments, at all cutoffs."""
    for case in cases:
        from service.cli.backtest import plan_from_case  # noqa: PLC0415 - only where there are cases
        from service.cli.rows import read_rows  # noqa: PLC0415

        plan = plan_from_case(case, timezone=None, country=None)
        read = read_rows(plan.path, kind=plan.kind.value, options=plan.options, progress=lambda _: None)
        yield case.name, (read.events, read.counts), read.funnel, plan.start, sorted(plan.cutoffs)


def history_at(rows: Rows, funnel: Funnel, start: date | None, *, cutoff: date) -> History:
    """The clean history up to a cutoff."""
    events, counts = rows
    history = make_history(funnel, events=events, counts=counts, cutoff=cutoff, start=start)
    return clean(history, calendar=make_calendar(funnel))[0]


def add_losses(losses: Loss, task: Task) -> None:
    """Forecast a task, and add what that costs, in place."""
    calendar = make_calendar(task.funnel)
    result = fit(task.history, calendar=calendar, horizon=HORIZON, scored=False)
    for forecast, came in zip(result.forecasts, task.actual, strict=True):
        known = np.isfinite(came)
        actual, quantiles = came[known], forecast.quantiles[: len(known)][known]
        measured = (
            float(quantile_loss(actual, quantiles).sum()),
            float(inside(actual, quantiles, 0.1, 0.9).sum()),
            float(inside(actual, quantiles, 0.025, 0.975).sum()),
            float(len(actual)),
        )
        sums = losses.setdefault(f"{task.name}/{forecast.stage}", [0.0] * 4)
        losses[f"{task.name}/{forecast.stage}"] = [sum(pair) for pair in zip(sums, measured, strict=True)]


if __name__ == "__main__":
    main()
