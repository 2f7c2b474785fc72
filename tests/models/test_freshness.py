"""A day that is not over is never read as a drop, and an old export is not a funnel that died."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from models.errors import HistoryError
from models.freshness import last_complete_day
from models.funnel import Funnel
from models.records import NO_DAY, Counts, Events

START = date(2024, 1, 1)  # a Monday
LEADS = Funnel(stages=("lead", "won"))


def instant(day: float, zone: str = "UTC") -> int:
    begin = datetime(START.year, START.month, START.day, tzinfo=ZoneInfo(zone)).timestamp()
    return int((begin + day * 86400) * 1_000_000)


def events_on(days: list[float], stage: str = "lead") -> Events:
    size = len(days)
    return Events(
        np.array([f"{stage}{k}" for k in range(size)], dtype=object),
        np.full(size, stage, dtype=object),
        np.array([instant(day) for day in days], dtype=np.int64),
        np.full(size, np.nan),
        np.full(size, NO_DAY, dtype=np.int32),
        np.full(size, "", dtype=object),
    )


def counts_on(days: list[float]) -> Counts:
    size = len(days)
    return Counts(
        np.array([instant(day) for day in days], dtype=np.int64),
        np.full(size, "lead", dtype=object),
        np.full(size, 5.0),
        np.full(size, np.nan),
        np.full(size, "", dtype=object),
    )


def day(number: int) -> date:
    return START + timedelta(days=number)


WORKDAYS = [number + 0.5 for number in range(60) if number % 7 < 5]
EVERY_DAY = [number + 0.5 for number in range(60)]


def test_the_day_that_holds_the_freshness_is_partial():
    assert last_complete_day(events_on(EVERY_DAY), None, LEADS, fresh_until=instant(40.9)) == day(39)


def test_a_day_is_complete_the_instant_after_it():
    rows = events_on(EVERY_DAY)
    assert last_complete_day(rows, None, LEADS, fresh_until=instant(40)) == day(39)
    assert last_complete_day(rows, None, LEADS, fresh_until=instant(40) - 1) == day(38)


def test_the_day_ends_in_the_funnels_zone():
    auckland = Funnel(stages=("lead",), timezone="Pacific/Auckland")
    noon = instant(40.5)  # half past one of the next morning in Auckland
    assert last_complete_day(events_on(EVERY_DAY), None, auckland, fresh_until=noon) == day(40)
    assert last_complete_day(events_on(EVERY_DAY), None, LEADS, fresh_until=noon) == day(39)


@pytest.mark.parametrize("told_on", [5.3, 6.3, 7.3])
def test_a_silent_weekend_after_silent_weekends_counts_as_zeros(told_on):
    friday = 8 * 7 - 3
    rows = events_on([when for when in WORKDAYS if when < friday + 1])
    assert last_complete_day(rows, None, LEADS, fresh_until=instant(49 + told_on)) == day(49 + int(told_on) - 1)


def test_an_old_export_ends_with_its_last_day():
    rows = events_on(WORKDAYS)
    assert last_complete_day(rows, None, LEADS, fresh_until=instant(200)) == day(59)


def test_a_single_silent_day_in_a_feed_without_any_is_not_a_zero():
    rows = events_on([when for when in EVERY_DAY if when < 40])
    assert last_complete_day(rows, None, LEADS, fresh_until=instant(41.5)) == day(39)


def test_a_silent_day_is_one_when_rows_of_the_next_day_are_there():
    rows = events_on([when for when in EVERY_DAY if not 39 < when < 41])
    assert last_complete_day(rows, None, LEADS, fresh_until=instant(41.6)) == day(40)


def test_rows_of_the_future_and_of_undeclared_stages_do_not_move_it():
    rows = Events.concat([events_on([*EVERY_DAY, 300.0]), events_on([70.0], stage="demo")])
    assert last_complete_day(rows, None, LEADS, fresh_until=instant(60.5)) == day(59)


def test_without_a_freshness_a_last_day_with_hours_is_unfinished_and_one_of_dates_is_not():
    assert last_complete_day(events_on([0.5, 1.5, 2.5]), None, LEADS, fresh_until=None) == day(1)
    assert last_complete_day(events_on([0, 1, 2]), None, LEADS, fresh_until=None) == day(2)
    assert last_complete_day(None, counts_on([0, 1, 2]), LEADS, fresh_until=None) == day(2)


def test_events_that_end_before_the_counts_end_the_history_until_they_are_plainly_dead():
    visits = counts_on(list(range(60)))
    funnel = Funnel(stages=("lead", "won"))
    behind = events_on([when for when in EVERY_DAY if when < 50], stage="won")
    dead = events_on([when for when in EVERY_DAY if when < 20], stage="won")
    assert last_complete_day(behind, visits, funnel, fresh_until=instant(60)) == day(49)
    assert last_complete_day(dead, visits, funnel, fresh_until=instant(60)) == day(59)


def test_a_row_of_a_week_is_complete_with_its_week():
    weekly = Funnel(stages=("lead",), frequency="week")
    rows = counts_on([0, 7, 14])
    assert last_complete_day(None, rows, weekly, fresh_until=None) == day(20)
    assert last_complete_day(None, rows, weekly, fresh_until=instant(17)) == day(16)
    assert last_complete_day(None, rows, weekly, fresh_until=instant(24)) == day(20)


def test_no_complete_day_is_an_error_that_names_the_last_possible_one():
    with pytest.raises(HistoryError, match="on or before 2023-12-31"):
        last_complete_day(events_on([0.5]), None, LEADS, fresh_until=instant(0.9))
    with pytest.raises(HistoryError, match="no complete day"):
        last_complete_day(Events.none(), None, LEADS, fresh_until=int(datetime.now(UTC).timestamp() * 1e6))
