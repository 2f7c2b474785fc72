"""Declared days: forecasts of campaigns and closures that recur, and of the days after them, declared and not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.oracle import inside
from benchmarks.report import Bar, Result
from models.calendar import make_calendar
from models.cleaning import clean
from models.engine import fit
from models.funnel import DeclaredDay, Funnel
from models.history import make_history
from models.metrics import quantile_loss
from models.records import Events
from models.rows import events_from_frame
from models.simulate import Arrivals, Campaign, Delay, Exit, FunnelSpec, Segment, Simulation, Transition, simulate

Array = npt.NDArray[np.float64]

SEEDS = 3
HORIZON, DAYS = 28, 560
CUTOFFS = range(200, DAYS - HORIZON, 9)
"""Days of history at the cutoffs."""
START = date(2024, 1, 1)
WEEK = (1.2, 1.2, 1.1, 1.1, 1.0, 0.5, 0.4, 0.0)
"""Nothing moves on a day that is closed, which the simulation takes for a holiday."""
CLOSED = "closed"
KINDS = {"newsletter": (1.8, 1, 20), "campaign": (1.5, 8, 60), CLOSED: (0.0, 1, 45)}
"""Factor on the first stage, days, and days from one to the next, about."""
VARIES = 0.15
"""Standard deviation of the factor from one to the next, relative."""
IDLE = 0.1
"""Share of all days that are declared by another name, and have no effect."""
AFTER = 7
"""Days after a declared one that are told apart, as what it brought is then on its way down."""
MOST, MOST_OTHER, MOST_IDLE = 0.7, 1.0, 1.01


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A funnel with its calendar of campaigns and closures, and with days that have no effect."""

    spec: FunnelSpec
    days: tuple[DeclaredDay, ...]
    idle: tuple[DeclaredDay, ...]


def run(*, seeds: int = SEEDS) -> Result:
    """Total and segments, at every cutoff."""
    scored = pd.concat([scored_seed(seed) for seed in range(seeds)])
    first, on = scored.number == 0, scored.on
    effective = [row(f"{name}, first stage", scored[first & (on == name)]) for name in KINDS]
    other = [
        row(f"{AFTER} days after, first stage", scored[first & (on == "after")]),
        row(f"{AFTER} days after, later stages", scored[~first & (on == "after")]),
        row("all other days", scored[on == ""]),
    ]
    idle = row(f"all days, {IDLE:.0%} declared in vain", scored, which="idle")

    def worst(rows: list[dict[str, str | float]]) -> float:
        return max(float(each["ratio"]) for each in rows)

    return Result(
        name="declared",
        question=f"mean quantile loss of a day, declared and not, total and segments, {HORIZON} steps, {seeds} seeds",
        rows=(*effective, *other, idle),
        bars=(
            Bar("declared over not, the worst of the days with an effect", worst(effective), at_most=MOST),
            Bar("the worst of the others", worst(other), at_most=MOST_OTHER),
            Bar("days declared that have no effect", worst([idle]), at_most=MOST_IDLE),
        ),
        notes=("the thin segment has a twentieth of what enters, four a day",),
    )


def row(name: str, part: pd.DataFrame, which: str = "declared") -> dict[str, str | float]:
    """One line of the table."""
    return {
        "days": name,
        "declared": float(part[f"{which}_loss"].mean()),
        "not": float(part.not_loss.mean()),
        "ratio": float(part[f"{which}_loss"].sum() / part.not_loss.sum()),
        "80 % held": float(part[f"{which}_80"].mean()),
        "not declared": float(part.not_80.mean()),
        "95 % held": float(part[f"{which}_95"].mean()),
        "not declared ": float(part.not_95.mean()),
        "n": float(len(part)),
    }


def make_case(seed: int) -> Case:
    """A funnel of two segments, one of them thin; campaigns and closures come at irregular times."""
    pick = np.random.default_rng(1000 + seed)
    days, campaigns = [], []
    for name, (factor, length, apart) in KINDS.items():
        at = int(pick.integers(20, 20 + apart))
        while at < DAYS:
            first, last = START + timedelta(days=at), START + timedelta(days=at + length - 1)
            days.append(DeclaredDay(name, first, last))
            varied = factor * float(np.exp(VARIES * pick.standard_normal()))
            campaigns.append(Campaign(name, first, last, varied))
            at += length + int(pick.integers(apart // 2, 3 * apart // 2))
    closed = tuple(day.start for day in days if day.name == CLOSED)
    lost = Exit("lost", 0.25, Delay(6, 0.6))
    spec = FunnelSpec(
        stages=("lead", "offer", "won"),
        transitions=(
            Transition(0.6, Delay(3, 0.6), exits=(lost,), day_effect=WEEK),
            Transition(0.5, Delay(8, 0.5), exits=(lost,), day_effect=WEEK),
        ),
        segments=(Segment("large", 0.95), Segment("thin", 0.05)),
        arrivals=Arrivals(
            80.0, day_effect=WEEK, campaigns=tuple(campaigns), wave=0.15, wave_days=150.0, dispersion=0.01
        ),
        start=START,
        holidays=closed,
    )
    idle = [START + timedelta(days=int(day)) for day in pick.choice(DAYS, size=int(IDLE * DAYS), replace=False)]
    return Case(spec, tuple(days), tuple(DeclaredDay("webinar", day, day) for day in idle))


def scored_seed(seed: int) -> pd.DataFrame:
    """One funnel at its cutoffs, declared and not."""
    case = make_case(seed)
    made = simulate(case.spec, days=DAYS, seed=np.random.default_rng(seed))
    events = events_from_frame(made.events, timezone="UTC", segment_by="segment")
    funnel = case.spec.funnel()
    parts = {
        which: forecasts(made, events, replace(funnel, declared_days=days))
        for which, days in (("declared", case.days), ("idle", case.idle), ("not", ()))
    }
    known = parts["declared"][["segment", "number", "day", "step", "actual"]]
    scored = known.assign(seed=seed, on=[on_day(case, day) for day in known.day])
    for which, part in parts.items():
        scored = scored.assign(**{f"{which}_{name}": part[name] for name in ("loss", "80", "95")})
    return scored


def on_day(case: Case, day: int) -> str:
    """What a day is: declared as what, after that, or neither; of two names the stronger."""
    when = START + timedelta(days=day)
    held = {each.name for each in case.days if each.start <= when <= each.end}
    for name in (CLOSED, "newsletter", "campaign"):
        if name in held:
            return name
    return "after" if any(0 < (when - each.end).days <= AFTER for each in case.days) else ""


def forecasts(made: Simulation, events: Events, funnel: Funnel) -> pd.DataFrame:
    """Every series and step at every cutoff, each fit continued from the one before."""
    calendar, parts = make_calendar(funnel), []
    memory: tuple[bytes, ...] = ()
    counts = made.counts
    actual = np.concatenate([counts.sum(axis=0, keepdims=True), counts])
    for seen in CUTOFFS:
        history = make_history(funnel, events=events, cutoff=START + timedelta(days=seen - 1), start=START)
        fitted = fit(
            clean(history, calendar=calendar)[0], calendar=calendar, horizon=HORIZON, scored=False, before=memory
        )
        memory = fitted.memory
        for place, forecast in enumerate(fitted.forecasts):
            segment, number = divmod(place, len(funnel.stages))
            y = actual[segment, number, seen : seen + HORIZON]
            parts.append(
                pd.DataFrame(
                    {
                        "segment": segment,
                        "number": number,
                        "day": np.arange(seen, seen + HORIZON),
                        "step": np.arange(1, HORIZON + 1),
                        "actual": y,
                        "loss": quantile_loss(y, forecast.quantiles),
                        "80": inside(y, forecast.quantiles, 0.1, 0.9),
                        "95": inside(y, forecast.quantiles, 0.025, 0.975),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)
