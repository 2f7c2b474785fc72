"""Due instants: what an expression means on a wall whose clock is moved, and which expressions are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import FunnelError
from service.schedule import MOST_MISSED, Due, check_schedule, find_due, next_due

ZONES = (
    "Europe/Amsterdam",
    "Europe/London",
    "Europe/Dublin",  # winter is the exception there
    "America/New_York",
    "America/St_Johns",  # half an hour off the hour
    "America/Santiago",  # midnight is skipped
    "America/Havana",  # midnight is skipped and repeated
    "Africa/Casablanca",  # twice a year more than elsewhere, by the moon
    "Africa/Cairo",
    "Asia/Beirut",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Chatham",
)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
FIRST, LAST = datetime(2025, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)


def changes(zone: str) -> list[datetime]:
    """The first minute of each new offset from 2025 to 2030."""
    clock, found, instant = ZoneInfo(zone), [], FIRST
    offset = instant.astimezone(clock).utcoffset()
    while instant < LAST:
        instant += HOUR
        if (new := instant.astimezone(clock).utcoffset()) != offset:
            moment = instant - HOUR
            while moment.astimezone(clock).utcoffset() == offset:
                moment += MINUTE
            found.append(moment)
            offset = new
    return found


def walls(zone: str, change: datetime) -> list[tuple[int, int]]:
    """Hours and minutes before, amid and after the change, on either side of it and in what is skipped or repeated."""
    clock = ZoneInfo(zone)
    before = (change - MINUTE).astimezone(clock).replace(tzinfo=None) + MINUTE
    after = change.astimezone(clock).replace(tzinfo=None)
    times = [edge + timedelta(minutes=step) for edge in (before, after) for step in (-90, -15, 0, 15, 90)]
    return sorted({(time.hour, time.minute) for time in times})


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_run_is_due_once_on_each_day_however_the_clocks_are_moved(zone):
    clock = ZoneInfo(zone)
    for change in changes(zone):
        for hour, minute in walls(zone, change):
            now, fired = change - 60 * HOUR, []
            while now < change + 60 * HOUR:
                now = next_due(f"{minute} {hour} * * *", zone, after=now)
                fired.append(now.astimezone(clock))
            days = [instant.date() for instant in fired]
            assert days == [days[0] + timedelta(days=place) for place in range(len(days))], (change, hour, minute)
            late = [
                instant
                for instant in fired
                if (instant.hour, instant.minute) != (hour, minute) and instant.astimezone(UTC) != change
            ]
            assert late == []  # at its time, or where that is skipped when the clock jumps


@pytest.mark.parametrize("zone", ZONES)
def test_a_clock_that_looks_now_and_then_finds_each_day_s_run_once(zone):
    for change in changes(zone):
        (hour, minute), *_ = walls(zone, change)[2:]
        started, last, now = [], change - 50 * HOUR, change - 50 * HOUR
        while now < change + 50 * HOUR:
            now += timedelta(minutes=37)
            due = find_due(f"{minute} {hour} * * *", zone, after=last, now=now)
            if due is not None:
                started.append(due)
                last = now
        assert [due.missed for due in started] == [0] * len(started)
        days = [due.at.astimezone(ZoneInfo(zone)).date() for due in started]
        assert days == [days[0] + timedelta(days=place) for place in range(len(days))], (change, hour, minute)
        assert len(days) >= 4


@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "Australia/Lord_Howe", "America/Havana"])
@pytest.mark.parametrize(("expression", "minutes"), [("*/15 * * * *", 15), ("*/30 * * * *", 30), ("0 * * * *", 60)])
def test_a_run_at_intervals_goes_by_the_time_gone_by(zone, expression, minutes):
    for change in changes(zone)[:2]:
        expected = [
            instant
            for instant in (change + MINUTE * step for step in range(-300, 300))
            if instant.astimezone(ZoneInfo(zone)).minute % minutes == 0
        ]
        now, found = change - 300 * MINUTE - timedelta(seconds=1), []
        while (now := next_due(expression, zone, after=now)) < change + 300 * MINUTE:
            found.append(now)
        assert found == expected


def test_a_time_that_is_skipped_is_due_when_the_clock_has_jumped_and_a_repeated_one_the_first_time():
    spring, autumn = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
    assert next_due("30 2 * * *", "Europe/Amsterdam", after=spring) == spring + HOUR
    assert next_due("30 2 * * *", "Europe/Amsterdam", after=autumn) == autumn + 0.5 * HOUR
    assert next_due("30 2 * * *", "Europe/Amsterdam", after=autumn + 0.5 * HOUR) == autumn + 25.5 * HOUR
    assert find_due("30,45 2 * * *", "Europe/Amsterdam", after=spring, now=spring + 2 * HOUR) == Due(spring + HOUR, 0)


def test_an_instant_is_due_from_itself_on_and_not_twice():
    at = datetime(2026, 6, 1, 3, tzinfo=UTC)
    assert find_due("0 5 * * *", "Europe/Amsterdam", after=at - HOUR, now=at - MINUTE) is None
    assert find_due("0 5 * * *", "Europe/Amsterdam", after=at - HOUR, now=at) == Due(at, 0)
    assert find_due("0 5 * * *", "Europe/Amsterdam", after=at, now=at + 23 * HOUR) is None


def test_what_was_missed_is_one_run_and_counted():
    after, now = datetime(2026, 6, 1, 4, tzinfo=UTC), datetime(2026, 6, 5, 4, tzinfo=UTC)
    assert find_due("0 5 * * *", "Europe/Amsterdam", after=after, now=now) == Due(now - HOUR, 3)
    assert find_due("* * * * *", "UTC", after=after - 400 * timedelta(days=1), now=now) == Due(now, MOST_MISSED)
    assert find_due("0 5 * * *", "UTC", after=now, now=after) is None  # a clock that was set back


def test_weekdays_and_days_of_the_month_are_those_of_the_zone():
    sunday_in_utc = datetime(2026, 6, 7, 18, tzinfo=UTC)
    assert next_due("0 5 * * MON", "Asia/Tokyo", after=sunday_in_utc) == datetime(2026, 6, 7, 20, tzinfo=UTC)
    assert next_due("0 5 1 * *", "America/New_York", after=sunday_in_utc).date() == date(2026, 7, 1)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("61 * * * *", "bad minute"),
        ("0 24 * * *", "bad hour"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("0 0 * * MONDAY", "bad day-of-week"),
        ("@daily", "not five fields"),
        ("0 0 5 * * *", "not five fields"),
        ("", "not five fields"),
        ("0 5 * * " + "1," * 60 + "1", "more than 100"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason_and_an_example(expression, reason):
    with pytest.raises(FunnelError, match=reason) as refusal:
        check_schedule(expression)
    assert "30 5 * * MON-FRI" in str(refusal.value)
    assert refusal.value.field == "schedule"


@settings(max_examples=100, deadline=None)
@given(
    st.text("0123456789*/,-#LW MONSUJAN²", max_size=30)
    | st.text(max_size=12)
    | st.tuples(*[st.sampled_from(["*", "*/7", "0", "5", "1-3", "2,4"])] * 5).map(" ".join)
)
def test_any_text_is_a_schedule_or_refused(text):
    try:
        check_schedule(text)
    except FunnelError:
        return
    now = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    coming = next_due(text, "Europe/Amsterdam", after=now)
    assert coming is None or find_due(text, "Europe/Amsterdam", after=now, now=coming) == Due(coming, 0)
