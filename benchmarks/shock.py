"""A lasting rise at the top: how soon the bottom's forecast knows, beside the best univariate expert in hindsight."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from benchmarks.oracle import WEEK, history_of
from benchmarks.report import Bar, Result, spread
from models import univariate
from models.calendar import make_calendar
from models.engine import fit
from models.origins import make_origins
from models.simulate import (
    Arrivals,
    Delay,
    Exit,
    FunnelSpec,
    LevelShift,
    Segment,
    Simulation,
    Transition,
    outlook,
    simulate,
)

Array = npt.NDArray[np.float64]

SEEDS = 10
BEFORE = 300
"""Days before the rise."""
RISE = 1.5
DELAY = Delay(12, 0.35)
HORIZON = 28
LEVEL = 400.0
REACHED = 0.5
"""The rise has reached the bottom when so much of it is there: after the median delay."""
LEAST_SEEN = 3
"""Days of the rise that a forecaster is given before it is judged: a day or two may be anything."""
MOST = 1 / 3
MOST_FALSE = 0.05
START = date(2024, 1, 1)


@dataclass(frozen=True, slots=True)
class Seen:
    """Mean absolute errors against the true means at the bottom, and its false rise, so many days into the rise.

    known: how much of the rise our forecast of the inflow tells.
    """

    days: int
    known: float
    cascade: float
    experts: tuple[float, ...]
    false_rise: float

    @property
    def ratio(self) -> float:
        """Ours over the best expert's."""
        return self.cascade / min(self.experts)


def run(*, seeds: int = SEEDS) -> Result:
    """Every seed at every cutoff until the rise reaches the bottom."""
    seen = [each for seed in range(seeds) for each in seen_seed(seed)]
    judged = [each for each in seen if each.days >= LEAST_SEEN]
    best = sum(min(each.experts) for each in judged)
    false = max(each.false_rise for each in seen)
    return Result(
        name="shock",
        question=f"inflow x {RISE:g}, {DELAY.median:g} days above the bottom; error of the next {HORIZON} days there",
        rows=tuple(row(days, [each for each in seen if each.days == days]) for days in sorted({s.days for s in seen})),
        bars=(
            Bar(
                f"error over the best expert's, from day {LEAST_SEEN} until it reaches the bottom",
                sum(each.cascade for each in judged) / best,
                at_most=MOST,
            ),
            Bar("false rise before the delay allows one, worst of all, share of the level", false, at_most=MOST_FALSE),
        ),
        notes=(
            f"{seeds} seeds; the rise has reached the bottom when {REACHED:.0%} of it is there",
            f"the best of {', '.join(univariate.EXPERTS)} and their combination, at each cutoff, in hindsight",
            "errors are against the true means, so that nobody is charged for the noise of counts",
        ),
    )


def row(days: int, seen: list[Seen]) -> dict[str, str | float]:
    """One line of the table."""
    return {
        "days": float(days),
        "rise told above": f"{np.median([each.known for each in seen]):.0%}",
        "our error": float(np.median([each.cascade for each in seen])),
        "best expert's": float(np.median([min(each.experts) for each in seen])),
        "ratio": spread([each.ratio for each in seen]),
        "false rise, worst": float(max(each.false_rise for each in seen)),
    }


def make_spec(*, rise: float) -> FunnelSpec:
    """Leads that are won after some twelve days; from day BEFORE on there are `rise` times as many."""
    return FunnelSpec(
        stages=("leads", "won"),
        transitions=(Transition(0.5, DELAY, exits=(Exit("lost", 0.3, Delay(8, 0.5)),), day_effect=WEEK),),
        segments=(Segment("large", 0.3, 1.3), Segment("small", 0.7)),
        arrivals=Arrivals(LEVEL, day_effect=WEEK, shifts=(LevelShift(START + timedelta(days=BEFORE), rise),)),
        start=START,
    )


def seen_seed(seed: int) -> list[Seen]:
    """One funnel, at every cutoff from the day of the rise until it is seen below."""
    days = BEFORE + DELAY.longest + HORIZON
    simulation = simulate(make_spec(rise=RISE), days=days, seed=np.random.default_rng(seed))
    usual = simulate(make_spec(rise=1.0), days=days, seed=np.random.default_rng(seed)).intensities[:, 1].sum(axis=0)
    risen = simulation.intensities[:, 1].sum(axis=0) / usual - 1
    last = int(np.flatnonzero(risen >= REACHED * (RISE - 1))[0]) - 1
    return [seen_cutoff(simulation, risen, days=until) for until in range(BEFORE + 1, last + 1)]


def seen_cutoff(simulation: Simulation, risen: Array, *, days: int) -> Seen:
    """Errors after so many days."""
    cutoff = START + timedelta(days=days - 1)
    above, truth = outlook(simulation, cutoff=cutoff, horizon=HORIZON).mean.sum(axis=0)
    history = history_of(simulation, days=days)
    result = fit(history, calendar=make_calendar(simulation.spec.funnel()), horizon=HORIZON, scored=False)
    inflow, ours = (forecast.mean for forecast in result.forecasts if forecast.segment == "total")
    early = risen[days : days + HORIZON] < 0.02 * (RISE - 1)
    return Seen(
        days=days - BEFORE,
        known=float((inflow.sum() / above.sum() * RISE - 1) / (RISE - 1)),
        cascade=error(ours, truth),
        experts=tuple(error(mean, truth) for mean in univariate_means(history.counts[:, 1].sum(axis=0))),
        false_rise=float(ours[early].sum() / truth[early].sum() - 1) if early.any() else 0.0,
    )


def error(mean: Array, truth: Array) -> float:
    """Mean absolute error."""
    return float(np.abs(mean - truth).mean())


def univariate_means(counts: Array) -> list[Array]:
    """What each expert, then their combination, says of a series that is known by its own counts, (horizon,) each."""
    one, periods = counts[None], len(counts)
    types = (np.arange(periods + HORIZON) + START.weekday()) % 7
    origins = make_origins(START.toordinal(), periods=periods, horizon=HORIZON)
    fresh = univariate.make_state(1, horizon=HORIZON, season_length=7)
    rolling = univariate.roll(fresh, one, types, origins=origins)
    return [*rolling.experts[:, 0], rolling.mean[0, -1]]
