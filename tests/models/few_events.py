"""A few events of a small funnel, told in days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np

from models.calendar import number_from_day
from models.funnel import Funnel
from models.records import NO_DAY, Events

START = date(2024, 1, 1)
SALES = Funnel(stages=("lead", "offer", "won"), exits=("lost",), segment_by="segment", due_stage="won")
ONE = Funnel(stages=("lead", "offer", "won"), exits=("lost",))


def instant(day: float) -> int:
    """Microseconds of a moment, in days after START in UTC."""
    return int((datetime(START.year, START.month, START.day, tzinfo=UTC).timestamp() + day * 86400) * 1_000_000)


def events_of(*rows: tuple) -> Events:
    """Events from (entity, stage, day[, segment[, value[, due]]]); days count from START."""
    full = [(*row, *("", np.nan, None)[len(row) - 3 :]) for row in rows]
    start = number_from_day(START)
    return Events(
        entity_id=np.array([row[0] for row in full], dtype=object),
        stage=np.array([row[1] for row in full], dtype=object),
        ts=np.array([instant(row[2]) for row in full], dtype=np.int64),
        value=np.array([row[4] for row in full], dtype=float),
        due_on=np.array([NO_DAY if row[5] is None else start + row[5] for row in full], dtype=np.int32),
        segment=np.array([row[3] for row in full], dtype=object),
    )


def day(number: int) -> date:
    """The date of a day after START."""
    return START + timedelta(days=number)
