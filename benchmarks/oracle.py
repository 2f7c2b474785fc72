"""How far the product is from the truth: its WQL over that of the true intensities' own distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.report import Bar, Result, spread
from benchmarks.truth import true_quantiles
from models.calendar import make_calendar
from models.cleaning import clean
from models.engine import Fitted, fit
from models.forecast import QUANTILES
from models.funnel import Funnel
from models.history import History, make_history
from models.metrics import quantile_loss
from models.rows import events_from_frame
from models.simulate import Arrivals, Delay, Due, Exit, FunnelSpec, Segment, Simulation, Transition, simulate

Array = npt.NDArray[np.float64]

SEEDS = 20
CUTOFFS = (240, 269, 298)
"""Days of history at each cutoff of a seed: another weekday each."""
HORIZON = 28
MOST = 1.12
SMALL = 5.0
"""Coverage is told apart for true means below and above it."""
START = date(2024, 1, 1)
WEEK = (1.15, 1.2, 1.1, 1.05, 0.9, 0.35, 0.25, 0.25)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The product and the truth side by side: a row per seed, cutoff, series and step."""

    rows: pd.DataFrame

    def ratio(self, part: pd.DataFrame | None = None, loss: str = "loss") -> float:
        """Summed `loss` over the summed loss of the truth."""
        part = self.rows if part is None else part
        return float(part[loss].sum() / part["least"].sum())


def run(*, seeds: int = SEEDS, progress: Callable[[Scored], None] | None = None) -> Result:
    """All seeds; the ratio by what could be its cause."""
    parts = []
    for seed in range(seeds):
        parts.append(scored_seed(seed))
        if progress is not None:
            progress(Scored(pd.concat(parts)))
    scored = Scored(pd.concat(parts))
    total = scored.rows[scored.rows.segment == "total"]
    by_seed = [scored.ratio(part) for _, part in total.groupby("seed")]
    return Result(
        name="oracle",
        question=f"WQL over that of the truth, {seeds} simulated funnels, {len(CUTOFFS)} cutoffs, {HORIZON} steps",
        rows=table(scored),
        bars=(Bar("totals: WQL over the truth's", scored.ratio(total), at_most=MOST),),
        notes=(
            f"ratio by seed: {spread(by_seed)}, geometric mean {np.exp(np.log(by_seed).mean()):.4g}",
            "mean: ratio of the truth's quantiles around our mean; width: of our quantiles around the true mean",
            "error: summed |mean - true mean| over summed true mean; waves and arrivals to come are known to the truth",
            "true 80, 95: coverage of the truth's quantiles: whole numbers, which cover more where counts are small",
        ),
    )


def table(scored: Scored) -> tuple[dict[str, str | float], ...]:
    """A row per way of cutting the totals, then the segments."""
    total = scored.rows[scored.rows.segment == "total"]
    small = scored.rows.true_mean < SMALL
    buckets = ((1, 1), (2, 3), (4, 7), (8, 14), (15, 28))
    cuts = [
        ("totals", total),
        *((str(kind), part) for kind, part in total.groupby("kind", sort=False)),
        ("first stage", total[total.number == 0]),
        *((f"stage {number + 1}", total[total.number == number]) for number in range(1, 4)),
        *((f"first, steps {a}-{b}", total[(total.number == 0) & total.step.between(a, b)]) for a, b in buckets),
        *((f"later, steps {a}-{b}", total[(total.number > 0) & total.step.between(a, b)]) for a, b in buckets),
        ("segments", scored.rows[scored.rows.segment != "total"]),
        (f"all, mean < {SMALL:g}", scored.rows[small]),
        (f"all, mean >= {SMALL:g}", scored.rows[~small]),
    ]
    return tuple(row(scored, name, part) for name, part in cuts if len(part))


def row(scored: Scored, name: str, part: pd.DataFrame) -> dict[str, str | float]:
    """One line of the table."""
    return {
        "of": name,
        "ratio": scored.ratio(part),
        "mean": scored.ratio(part, "loss_of_mean"),
        "width": scored.ratio(part, "loss_of_width"),
        "error": float(np.abs(part["mean"] - part.true_mean).sum() / part.true_mean.sum()),
        "bias": float((part["mean"] - part.true_mean).sum() / part.true_mean.sum()),
        "80 %": float(part.in80.mean()),
        "95 %": float(part.in95.mean()),
        "true 80": float(part.true80.mean()),
        "true 95": float(part.true95.mean()),
    }


def scored_seed(seed: int) -> pd.DataFrame:
    """One funnel at its cutoffs."""
    kind, spec = make_spec(seed)
    simulation = simulate(spec, days=max(CUTOFFS) + HORIZON, seed=np.random.default_rng(seed))
    return pd.concat([scored_cutoff(simulation, days=days).assign(seed=seed, kind=kind) for days in CUTOFFS])


def scored_cutoff(simulation: Simulation, *, days: int) -> pd.DataFrame:
    """The product's and the truth's loss at every series and step after so many days."""
    cutoff = simulation.spec.start + timedelta(days=days - 1)
    true_mean, truth = true_quantiles(simulation, cutoff=cutoff, horizon=HORIZON)
    counts = simulation.counts[:, :, days : days + HORIZON]
    actual = np.concatenate([counts.sum(axis=0, keepdims=True), counts])
    made = {(forecast.segment, forecast.stage): forecast for forecast in fitted(simulation, days=days).forecasts}
    parts = []
    for place, segment in enumerate(("total", *(segment.name for segment in simulation.spec.segments))):
        for number, stage in enumerate(simulation.spec.stages):
            forecast = made[segment, stage]
            shift = (forecast.mean / true_mean[place, number])[:, None]
            y, best = actual[place, number], truth[place, number]
            parts.append(
                pd.DataFrame(
                    {
                        "segment": segment,
                        "number": number,
                        "step": np.arange(1, HORIZON + 1),
                        "mean": forecast.mean,
                        "true_mean": true_mean[place, number],
                        "loss": quantile_loss(y, forecast.quantiles),
                        "least": quantile_loss(y, best),
                        "loss_of_mean": quantile_loss(y, best * shift),
                        "loss_of_width": quantile_loss(y, forecast.quantiles / np.maximum(shift, 1e-9)),
                        "in80": inside(y, forecast.quantiles, 0.1, 0.9),
                        "in95": inside(y, forecast.quantiles, 0.025, 0.975),
                        "true80": inside(y, best, 0.1, 0.9),
                        "true95": inside(y, best, 0.025, 0.975),
                    }
                )
            )
    return pd.concat(parts)


def inside(actual: Array, quantiles: Array, low: float, high: float) -> Array:
    """1 where the actual is within the two quantiles, else 0."""
    lower, upper = (quantiles[:, QUANTILES.index(probability)] for probability in (low, high))
    return ((actual >= lower) & (actual <= upper)).astype(np.float64)


def fitted(simulation: Simulation, *, days: int) -> Fitted:
    """What the product says after so many days."""
    funnel = simulation.spec.funnel()
    return fit(history_of(simulation, days=days), calendar=make_calendar(funnel), horizon=HORIZON, scored=False)


def history_of(simulation: Simulation, *, days: int) -> History:
    """The clean history of a simulated funnel's first days."""
    funnel: Funnel = simulation.spec.funnel()
    events = events_from_frame(simulation.events, timezone=simulation.spec.timezone, segment_by="segment")
    cutoff = simulation.spec.start + timedelta(days=days - 1)
    history = make_history(funnel, events=events, cutoff=cutoff, start=simulation.spec.start)
    return clean(history, calendar=make_calendar(funnel))[0]


def make_spec(seed: int) -> tuple[str, FunnelSpec]:
    """A funnel of the kind that the seed is for: large or small, steady or in slow waves, with or without due dates."""
    size = "small" if seed % 2 else "large"
    wave, due = bool(seed // 2 % 2), bool(seed // 4 % 2)
    pick = np.random.default_rng(1000 + seed)
    level = float(np.exp(pick.uniform(*np.log((12, 40) if size == "small" else (60, 250)))))
    stages = ("lead", "qualified", "offer", "won")
    transitions = tuple(
        Transition(
            rate=float(pick.uniform(0.45, 0.65)),
            delay=Delay(float(pick.uniform(1, 10)), float(pick.uniform(0.4, 0.9))),
            exits=(Exit("lost", 0.3, Delay(float(pick.uniform(5, 15)), 0.7)),),
            day_effect=WEEK,
            due=Due(0.7, Delay(15, 0.5, longest=90), on_time=0.5) if due and stage == "won" else None,
        )
        for stage in stages[1:]
    )
    segments = (Segment("direct", 0.6), Segment("partner", 0.3, 1.1, 1.3), Segment("web", 0.1, 0.8, 0.7))
    arrivals = Arrivals(level, day_effect=WEEK, wave=0.15 if wave else 0.0, wave_days=150.0)
    kind = f"{size}, {'waves' if wave else 'steady'}{', due dates' if due else ''}"
    return kind, FunnelSpec(stages, transitions, segments, arrivals, START)
