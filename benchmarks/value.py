"""Value in money, beside counts times one mean value, and beside the univariate engine on the series of money."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from benchmarks.cases import case_folders
from benchmarks.losses import EVERY, HORIZON, Rows, Source, history_at, real_sources
from benchmarks.report import Bar, Result
from models.calendar import make_calendar, number_from_day
from models.calibration import forecast_series
from models.engine import fit
from models.funnel import SEASON_LENGTH, Funnel
from models.history import History
from models.metrics import quantile_loss
from models.plan import day_types
from models.rows import events_from_frame
from models.simulate import demo_spec, simulate

Array = npt.NDArray[np.float64]

SEEDS, DAYS = (1, 2), (150, 181, 213, 244, 276, 300)
"""Of the demo's funnel: seeds, and days of history at the cutoffs."""
MOST = 1.01
"""Of the better of the two others, geometric mean over stages."""


def run() -> Result:
    """The demo's funnel, whose values know nothing of delay or season, and the real cases whose rows carry value."""
    funnels: list[Source] = []
    spec = demo_spec()
    for seed in SEEDS:
        made = simulate(spec, days=max(DAYS) + HORIZON + 2, seed=np.random.default_rng(seed)).events
        events = events_from_frame(made, timezone="UTC", segment_by="segment")
        cutoffs = [spec.start + timedelta(days=day) for day in DAYS]
        funnels.append((f"demo, seed {seed}", (events, None), spec.funnel(), spec.start, cutoffs))
    folders = case_folders()
    for name, known, funnel, start, cutoffs in real_sources(folders):
        funnels.append((name, known, replace(funnel, segment_by=None), start, cutoffs[::EVERY]))
    rows = [line for each in funnels for line in compared(*each)]
    ratios = [float(line["ours"]) / min(float(line["count x mean"]), float(line["univariate"])) for line in rows]
    return Result(
        name="value",
        question="WQL of value, totals, 28 steps",
        rows=tuple(rows),
        bars=(Bar("ours over the better of the others", float(np.exp(np.mean(np.log(ratios)))), at_most=MOST),),
        notes=() if folders else ("simulated only: NEARCAST_CASES names no directory with cases",),
    )


def compared(
    name: str, rows: Rows, funnel: Funnel, start: date | None, cutoffs: list[date]
) -> list[dict[str, str | float]]:
    """One line a stage that carries value."""
    truth = history_at(rows, funnel, start, cutoff=max(cutoffs) + timedelta(days=HORIZON))
    losses: dict[str, Array] = {}
    for cutoff in cutoffs:
        history = history_at(rows, funnel, start, cutoff=cutoff)
        if truth.money is not None and history.money is not None:
            came = truth.money[: len(truth.stages), history.periods : history.periods + HORIZON]
            add_losses(losses, history, came, funnel=funnel)
    return [
        {"funnel": name, "stage": stage}
        | dict(zip(("ours", "count x mean", "univariate"), (sums[:3] / sums[3]).tolist(), strict=True))
        | {"80 % held": float(sums[4] / sums[5])}
        for stage, sums in losses.items()
    ]


def add_losses(losses: dict[str, Array], history: History, came: Array, *, funnel: Funnel) -> None:
    """By stage: the three losses, what came, how often the 80 % interval held it, and of how many."""
    calendar, stages = make_calendar(funnel), len(history.stages)
    made = fit(history, calendar=calendar, horizon=HORIZON, scored=False).forecasts[:stages]
    assert history.money is not None
    money, counts = history.money[:stages], history.matrix[:stages]
    mean = np.nansum(money, axis=1) / np.maximum(np.nansum(counts, axis=1), 1.0)
    unit = np.maximum(mean, 1e-9)[:, None]
    alone = forecast_series(
        money / unit,
        day_types(history, calendar=calendar, horizon=HORIZON)[0],
        start_day=number_from_day(history.start),
        horizon=HORIZON,
        season_length=SEASON_LENGTH[history.frequency],
    )
    for row, forecast in enumerate(made):
        known = np.isfinite(came[row])
        if forecast.value is None or not known.any():
            continue
        others = (forecast.value.quantiles, forecast.quantiles * mean[row], alone.quantiles[row] * unit[row])
        actual = came[row][known]
        low, high = (bound[known] for bound in forecast.value.interval(80))
        sums = [float(quantile_loss(actual, each[known]).sum()) for each in others]
        held = float(((actual >= low) & (actual <= high)).sum())
        before = losses.get(forecast.stage, np.zeros(6))
        losses[forecast.stage] = before + np.array([*sums, actual.sum(), held, known.sum()])
