"""Late reporting: forecasts from what was told by a cutoff, late days completed or not, beside knowing all."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from benchmarks.oracle import WEEK
from benchmarks.report import Bar, Result
from models.arrivals import Arrivals
from models.calendar import DAY, make_calendar, number_from_day
from models.cleaning import clean
from models.engine import Fitted, fit
from models.history import History, make_history
from models.lateness import lateness_of_stages, with_lateness
from models.metrics import quantile_loss
from models.rows import events_from_frame
from models.simulate import Arrivals as Entering
from models.simulate import Delay, Exit, FunnelSpec, Segment, Simulation, Transition, simulate
from models.simulate.spec import Late

Array = npt.NDArray[np.float64]

HORIZON, DAYS = 28, 620
CUTOFFS = range(200, 560, 23)
"""Days of history at the cutoffs."""
NIGHTLY = 100
"""Days of history in the first upload; after that there is one each night."""
SPEC = FunnelSpec(
    stages=("lead", "offer", "won"),
    transitions=(
        Transition(0.6, Delay(4, 0.5), exits=(Exit("lost", 0.2, Delay(6, 0.5)),), day_effect=WEEK),
        Transition(0.5, Delay(9, 0.5), exits=(Exit("lost", 0.3, Delay(8, 0.5)),), day_effect=WEEK),
    ),
    segments=(Segment("a", 0.6), Segment("b", 0.3), Segment("c", 0.1)),
    arrivals=Entering(120.0, day_effect=WEEK, wave=0.2, wave_days=90.0, dispersion=0.02),
    start=date(2024, 1, 1),
)
HABITS = {
    "half, mostly a day": Late(0.5, Delay(1, 0.6, 12)),
    "a third, mostly three days": Late(0.3, Delay(3, 0.6, 12)),
    "nearly all, a day": Late(1.0, Delay(1, 0.3, 5)),
}
MOST = 1.03
"""Of the WQL of who knows the final counts of all days up to the cutoff."""


def run() -> Result:
    """Total and segments; actuals are final counts."""
    rows = [compared(name, replace(SPEC, late=late)) for name, late in HABITS.items()]
    worst = max(float(row["completed"]) / float(row["all known"]) for row in rows)
    return Result(
        name="lateness",
        question="WQL where rows are told of late, mean over stages of the total, 28 steps",
        rows=tuple(rows),
        bars=(Bar("completed over all known, the worst", worst, at_most=MOST),),
    )


def compared(name: str, spec: FunnelSpec) -> dict[str, str | float]:
    """One habit: who knows all, who takes what is told for all, and who completes it."""
    made = simulate(spec, days=DAYS, seed=np.random.default_rng(1))
    funnel, calendar = spec.funnel(), make_calendar(spec.funnel())
    recorded = made.recorded // DAY
    known = events_from_frame(made.events, timezone="UTC", segment_by="segment")
    truth = make_history(funnel, events=known, cutoff=spec.start + timedelta(days=DAYS - 1)).matrix
    losses = {which: np.zeros(len(spec.stages)) for which in ("all known", "as told", "completed")}
    for seen in CUTOFFS:
        cutoff = spec.start + timedelta(days=seen - 1)
        told = made.events[recorded <= number_from_day(cutoff)]
        whole, short = (
            clean(make_history(funnel, events=events, cutoff=cutoff), calendar=calendar)[0]
            for events in (known, events_from_frame(told, timezone="UTC", segment_by="segment"))
        )
        late = lateness_of_stages(arrivals_of(made, recorded, cutoff=cutoff), funnel)
        came = truth[: len(spec.stages), seen : seen + HORIZON]
        for which, history in (("all known", whole), ("as told", short), ("completed", with_lateness(short, late))):
            losses[which] += loss_of(history, fit(history, calendar=calendar, horizon=HORIZON, scored=False), came)
    return {"told of late": name} | {which: float(loss.mean() / len(CUTOFFS)) for which, loss in losses.items()}


def arrivals_of(made: Simulation, recorded: npt.NDArray[np.int64], *, cutoff: date) -> Arrivals:
    """An upload each night, an hour after the day."""
    first, last = number_from_day(made.spec.start) + NIGHTLY, number_from_day(cutoff)
    days = made.events["ts"].dt.tz_localize(None).to_numpy().astype("datetime64[D]").astype(np.int64)
    chosen = (recorded > first) & (recorded <= last)
    columns = ((recorded[chosen] - first).tolist(), made.events["stage"].to_numpy()[chosen], days[chosen].tolist())
    changes = Counter(zip(*columns, strict=True))
    upload, stage, day = zip(*changes, strict=True)
    fresh = (np.arange(first, last + 1) + 1) * DAY + DAY // 24
    return Arrivals(fresh, np.array(upload), stage, np.array(day), np.array([*changes.values()], dtype=np.float64))


def loss_of(history: History, fitted: Fitted, came: Array) -> Array:
    """WQL of the total at one cutoff, (stages,)."""
    made = np.array([forecast.quantiles for forecast in fitted.forecasts[: len(history.stages)]])
    return np.array([quantile_loss(*pair).sum() / pair[0].sum() for pair in zip(came, made, strict=True)])
