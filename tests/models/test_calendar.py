"""Days are cut as the clock on the wall shows them, and typed the same for past and future."""

from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from models.calendar import (
    Calendar,
    country_from_timezone,
    day_from_number,
    days_from_instants,
    make_calendar,
    number_from_day,
)
from models.errors import FunnelError
from models.funnel import TOTAL, DeclaredDay, Funnel

HOUR = 3_600_000_000
ZONES = [
    "UTC",
    "Europe/Amsterdam",
    "America/New_York",
    "America/Sao_Paulo",  # its clock used to jump over midnight
    "America/Havana",
    "Africa/Casablanca",  # leaves summer time for Ramadan
    "Africa/Monrovia",  # an offset of 44 minutes and 30 seconds until 1972
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # moves its clock by half an hour
    "Pacific/Apia",  # went without 30 December 2011
]


def hours_of(first: date, last: date, timezone: str) -> np.ndarray:
    """One instant in each hour from the start of the first to the end of the last day in the zone."""
    zone = ZoneInfo(timezone)
    begin = datetime(first.year, first.month, first.day, tzinfo=zone)
    after = last + timedelta(days=1)
    end = datetime(after.year, after.month, after.day, tzinfo=zone)
    return np.arange(int(begin.timestamp()) * 1_000_000, int(end.timestamp()) * 1_000_000, HOUR)


@pytest.mark.parametrize(("day", "hours"), [(date(2024, 3, 31), 23), (date(2024, 10, 27), 25), (date(2024, 6, 1), 24)])
def test_days_of_clock_changes_hold_23_or_25_hours_and_lose_none(day, hours):
    instants = hours_of(day - timedelta(days=1), day + timedelta(days=1), "Europe/Amsterdam")
    days = days_from_instants(instants, timezone="Europe/Amsterdam")
    assert (days == number_from_day(day)).sum() == hours
    assert np.unique(days).tolist() == [number_from_day(day) + k for k in (-1, 0, 1)]


def test_the_last_microsecond_of_a_day_belongs_to_it():
    midnight = int(datetime(2024, 10, 27, tzinfo=ZoneInfo("Europe/Amsterdam")).timestamp()) * 1_000_000
    days = days_from_instants(np.array([midnight - 1, midnight]), timezone="Europe/Amsterdam")
    assert [day_from_number(day) for day in days] == [date(2024, 10, 26), date(2024, 10, 27)]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ZONES), st.lists(st.integers(0, 2_000_000_000), min_size=1, max_size=20))
def test_days_are_those_that_the_zone_itself_tells(timezone, seconds):
    expected = [datetime.fromtimestamp(second, UTC).astimezone(ZoneInfo(timezone)).date() for second in seconds]
    days = days_from_instants(np.array(seconds, dtype=np.int64) * 1_000_000, timezone=timezone)
    assert [day_from_number(day) for day in days] == expected


def test_no_instants_have_no_days():
    assert days_from_instants(np.zeros(0, dtype=np.int64), timezone="Europe/Amsterdam").tolist() == []


@pytest.mark.parametrize(
    ("timezone", "country"),
    [
        ("Europe/Amsterdam", "NL"),
        ("America/New_York", "US"),
        ("US/Eastern", "US"),
        ("Asia/Calcutta", "IN"),
        ("GB", "GB"),
        ("UTC", None),
        ("Etc/GMT-1", None),
        ("CET", None),
    ],
)
def test_a_zone_tells_its_country_unless_several_share_it(timezone, country):
    assert country_from_timezone(timezone) == country


def test_day_types_are_weekdays_and_public_holidays_of_the_zone():
    calendar = make_calendar(Funnel(stages=("lead",), timezone="Europe/Amsterdam"))
    # Monday 23 December 2024 .. Thursday 2 January 2025
    assert calendar.day_types(date(2024, 12, 23), 11).tolist() == [0, 1, 7, 7, 4, 5, 6, 0, 1, 7, 3]
    assert "NL" in calendar.version


def test_a_holiday_on_a_sunday_is_a_holiday():
    calendar = make_calendar(Funnel(stages=("lead",), country="DE"))
    assert date(2022, 12, 25).weekday() == 6
    assert calendar.day_types(date(2022, 12, 25), 1).tolist() == [7]


def test_a_declared_country_outranks_the_zone_and_may_name_a_part():
    bavaria = make_calendar(Funnel(stages=("lead",), timezone="Europe/Amsterdam", country="DE-BY"))
    germany = make_calendar(Funnel(stages=("lead",), timezone="Europe/Amsterdam", country="DE"))
    epiphany = date(2025, 1, 6)
    assert bavaria.day_types(epiphany, 1).tolist() == [7]
    assert germany.day_types(epiphany, 1).tolist() == [0]


def test_a_country_without_known_holidays_is_refused_if_declared():
    with pytest.raises(FunnelError, match=r"country: .*'XX'.*NL or DE-BY"):
        make_calendar(Funnel(stages=("lead",), country="XX"))


def test_without_a_country_there_are_weekdays_only():
    calendar = make_calendar(Funnel(stages=("lead",)))
    assert calendar.country is None
    assert calendar.day_types(date(2024, 12, 25), 2).tolist() == [2, 3]


def test_weeks_have_no_types():
    calendar = make_calendar(Funnel(stages=("lead",), frequency="week", timezone="Europe/Amsterdam"))
    assert calendar.day_types(date(2024, 12, 23), 3).tolist() == [0, 0, 0]


def test_day_types_do_not_depend_on_where_the_grid_starts():
    calendar = make_calendar(Funnel(stages=("lead",), country="US"))
    assert_array_equal(calendar.day_types(date(2019, 6, 1), 2000)[500:], calendar.day_types(date(2020, 10, 13), 1500))


def test_declared_days_cover_both_ends_and_only_their_series():
    sale = DeclaredDay("sale", date(2024, 1, 3), date(2024, 1, 4), stages=("lead",), segments=("web",))
    calendar = make_calendar(Funnel(stages=("lead", "won"), declared_days=(sale,)))
    on_days = [False, True, True, False]
    assert calendar.declared(date(2024, 1, 2), 4, "lead", "web").tolist() == on_days
    assert calendar.declared(date(2024, 1, 2), 4, "lead", TOTAL).tolist() == on_days
    assert not calendar.declared(date(2024, 1, 2), 4, "lead", "shop").any()
    assert not calendar.declared(date(2024, 1, 2), 4, "won", "web").any()


@pytest.mark.parametrize(
    ("start", "flags"),
    [
        (date(2024, 1, 4), [True, False]),
        (date(2024, 1, 5), [False, False]),
        (date(2024, 1, 1), [False, False]),
        (date(2023, 12, 1), [False, False]),
    ],
)
def test_declared_days_outside_the_grid_flag_nothing(start, flags):
    calendar = Calendar(declared_days=(DeclaredDay("closure", date(2024, 1, 3), date(2024, 1, 4)),))
    assert calendar.declared(start, 2, "lead", "web").tolist() == flags


def test_a_week_is_declared_when_one_of_its_days_is():
    launch = DeclaredDay("launch", date(2024, 1, 14), date(2024, 1, 15))
    calendar = make_calendar(Funnel(stages=("lead",), frequency="week", declared_days=(launch,)))
    assert calendar.declared(date(2024, 1, 1), 4, "lead", TOTAL).tolist() == [False, True, True, False]


def test_a_calendar_travels_to_another_process():
    calendar = make_calendar(Funnel(stages=("lead",), timezone="Europe/Amsterdam"))
    assert pickle.loads(pickle.dumps(calendar)) == calendar


def test_history_is_imported_without_pandas_and_holidays():
    code = "import sys, models.history, models.calendar; print({'pandas', 'holidays', 'scipy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
