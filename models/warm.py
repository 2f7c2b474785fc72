"""Compile all kernels once, so that nobody waits for it later: `python -m models.warm`."""

from __future__ import annotations

from datetime import date

import numpy as np

from models.calendar import Calendar
from models.engine import fit
from models.funnel import DeclaredDay
from models.history import Entities, History

DAYS = 70
ENTITIES = 400


def small_history(periods: int) -> History:
    """Three stages: counts lead to entities, entities with and without a due day, and with a value, to the last one."""
    generator = np.random.default_rng(0)
    entered = generator.integers(0, DAYS - 10, ENTITIES)
    days = np.stack([entered, entered, entered + generator.integers(0, 10, ENTITIES)], axis=1).astype(np.int32)
    due = np.where(generator.random(ENTITIES) < 0.5, days[:, 2] + 1, np.iinfo(np.int32).min).astype(np.int32)
    days = np.where(days < periods, days, np.iinfo(np.int32).min).astype(np.int32)
    counts = np.stack([np.bincount(day[day >= 0], minlength=periods) for day in days.T]).astype(float)
    worth = np.ones((ENTITIES, 3))
    entities = Entities(days, np.zeros(ENTITIES, dtype=np.int32), due, worth[:, 2], amounts=worth)
    stages = ("visit", "lead", "won")
    return History(
        date(2024, 1, 1),
        "day",
        (),
        stages,
        counts[None],
        value=counts[None],
        entities=entities,
        counted=("visit",),
        due_stage="won",
    )


if __name__ == "__main__":
    known = Calendar(country="NL", declared_days=(DeclaredDay("any", date(2024, 2, 1), date(2024, 2, 1)),))
    first = fit(small_history(DAYS - 1), calendar=known, horizon=28)
    fit(small_history(DAYS), calendar=known, horizon=28, before=first.memory, responses=True)
