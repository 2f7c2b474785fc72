"""Made-up data that many tests share: events of a sales funnel, and counts that come night after night."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np

from models.funnel import Funnel
from models.records import Counts
from service.retrain import retrain
from service.store.database import Database
from service.store.funnels import declare_funnel, get_funnel
from service.store.observations import merge_counts
from service.store.uploads import begin_upload, finish_upload

FIRST_NIGHT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAYS, NIGHTS = 100, 24
"""Days known on the first night, and nights that there are."""


def sales_csv(*, days: int = 120, first: date = date(2024, 1, 1)) -> str:
    """Events of a small sales funnel: lead -> offer -> won, side exit lost, two segments, the same every time."""
    generator = np.random.default_rng(7)
    lines = ["entity_id,stage,ts,segment"]
    for day in range(days):
        weekday = (first + timedelta(days=day)).weekday()
        for number in range(generator.poisson(12 if weekday < 5 else 4)):
            entity, segment = f"e{day}-{number}", ("north", "south")[int(generator.integers(2))]
            at, reached = day, ["lead"]
            if generator.random() < 0.6:
                reached += ["offer", "won" if generator.random() < 0.5 else "lost"]
            for stage in reached:
                if at < days:
                    lines.append(
                        f"{entity},{stage},{first + timedelta(days=at)}T{8 + number % 12:02d}:00:00Z,{segment}"
                    )
                at += int(generator.integers(1, 5))
    return "\n".join(lines) + "\n"


def counts_until(night: int, *, outlier: int | None = None, unsettled: int | None = None) -> Counts:
    """Counts of two stages in two segments up to the day before `night`.

    outlier: a day of many more leads in the east. unsettled: from this day on leads in the west come in bursts.
    """
    days, unit = DAYS + night, 86_400_000_000
    first = int(FIRST_NIGHT.timestamp()) * 1_000_000 // unit - DAYS
    y = np.random.default_rng(9).poisson(30.0, (4, DAYS + NIGHTS)).astype(float)[:, :days]
    if outlier is not None and outlier < days:
        y[1, outlier] = 400.0
    if unsettled is not None:
        y[3, unsettled::3], y[3, unsettled + 1 :: 3] = 90.0, 2.0
    ds = np.tile((first + np.arange(days)) * unit, 4)
    segment = np.repeat(np.array(["east", "east", "west", "west"], dtype=object), days)
    stage = np.repeat(np.array(["visit", "lead", "visit", "lead"], dtype=object), days)
    return Counts(ds, stage, y.ravel(), np.full(y.size, np.nan), segment)


def retrained_nightly(database: Database, nights: range, *, name: str = "sales", **counts: int) -> None:
    """An upload of `counts_until` and a retrain for each night, all of them now: a server may be watching."""
    funnel = Funnel(stages=("visit", "lead"), segment_by="region", max_horizon=28)
    with database.write() as connection:
        declare_funnel(connection, name, funnel, now=datetime.now(UTC))
    for night in nights:
        now, told = datetime.now(UTC), FIRST_NIGHT + timedelta(days=night)
        with database.stage() as staging:
            staging.append_counts(counts_until(night, **counts), lines=2)
            with staging.write() as connection:
                funnel_id = get_funnel(connection, name).id
                taken = begin_upload(connection, funnel_id, kind="counts", now=now, fresh_until=told)
                merged = merge_counts(connection, funnel_id, taken.number, staging)
                finish_upload(connection, taken, changed=merged.changed, report={})
        retrain(database, name, now=now)
