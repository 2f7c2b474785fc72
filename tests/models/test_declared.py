"""Which campaigns and closures each period of each series holds, and what of them is no exception."""

from datetime import date, timedelta

import numpy as np
import pytest

from models.calendar import Calendar
from models.declared import Declared, key_of, make_declared
from models.funnel import DeclaredDay

START = date(2024, 1, 1)


def day(name: str, first: int, last: int | None = None, **where: tuple[str, ...]) -> DeclaredDay:
    return DeclaredDay(name, START + timedelta(first), START + timedelta(first if last is None else last), **where)


def declared(*days: DeclaredDay, periods: int = 60, horizon: int = 7, frequency: str = "day") -> Declared | None:
    calendar = Calendar(frequency, declared_days=days)
    return make_declared(calendar, START, periods=periods, horizon=horizon, segments=("a", "b"), stages=("lead", "won"))


def held(made: Declared, funnel: int, stage: int, period: int) -> set[str]:
    return {name for name, here in zip(made.names, made.holds[made.kinds[funnel, stage, period]], strict=True) if here}


def test_names_are_the_same_whatever_their_case_and_space():
    assert key_of("  Black\tFRIDAY ") == key_of("black friday") == "black friday"


def test_a_day_is_held_by_the_series_it_concerns_and_by_the_total():
    made = declared(day("Sale", 3, 5, segments=("b",), stages=("won",)))
    where = {(0, 1, period) for period in (3, 4, 5)} | {(2, 1, period) for period in (3, 4, 5)}
    assert {tuple(place) for place in np.argwhere(made.kinds).tolist()} == where
    assert made.names == ("sale",)


def test_days_of_several_names_hold_them_all_in_whatever_order_they_are_declared():
    days = (day("sale", 0, 9), day("news", 5), day("SALE", 8, 12), day("closed", 9, 20))
    for order in (days, days[::-1]):
        made = declared(*order)
        assert [held(made, 0, 0, period) for period in (0, 5, 8, 9, 12, 20, 21)] == [
            {"sale"}, {"news", "sale"}, {"sale"}, {"closed", "sale"}, {"closed", "sale"}, {"closed"}, set(),
        ]  # fmt: skip


def test_what_lies_outside_of_the_periods_and_the_horizon_is_not_held():
    assert declared(day("past", -9, -1), day("far", 67), day("elsewhere", 3, stages=("visit",))) is None
    made = declared(day("long", -9, 0), day("ahead", 66, 99))
    assert np.flatnonzero(made.kinds[1, 0]).tolist() == [0, 66]


def test_a_week_holds_what_any_of_its_days_does():
    made = declared(day("sale", 6, 7), day("news", 20), frequency="week")
    assert np.flatnonzero(made.kinds[0, 0]).tolist() == [0, 1, 2]


def test_what_is_declared_most_of_the_time_is_taken_for_ordinary():
    made = declared(day("launch", 30, 33), *(day("market", saturday) for saturday in range(5, 90, 7)))
    assert np.flatnonzero(made.kinds[0, 0]).tolist() == [5, 12, 19, 30, 31, 32, 33]
    assert held(made, 0, 0, 33) == {"launch"}  # a Saturday: the market there is ordinary by then, the launch is not
    for since in (0, 30, 55, 66):  # whatever is seen of it so far
        assert declared(day("always", since, 999)) is None
    assert (declared(day("long", 200, 255), periods=260).kinds[0, 0, 200:256] > 0).all()
    assert declared(day("longer", 200, 256), periods=260) is None
    assert declared(*(day("each", period) for period in range(100))) is None
    assert declared(*(day(f"name {period}", period) for period in range(100))) is None


def test_what_is_ordinary_does_not_hide_what_is_not():
    made = declared(day("brand", -100, 999), day("closed", 20), day("season", 5, 70), day("sale", 19, 21))
    assert made.names == ("closed", "sale")
    assert [held(made, 0, 0, period) for period in (18, 19, 20, 21, 22)] == [
        set(), {"sale"}, {"closed", "sale"}, {"sale"}, set(),
    ]  # fmt: skip


def test_what_is_declared_for_a_segment_that_is_not_there_concerns_nobody():
    assert declared(day("sale", 3, segments=("A",))) is None
    made = declared(day("sale", 3, segments=("A", "b")))
    assert np.argwhere(made.kinds[:, 0]).tolist() == [[0, 3], [2, 3]]


def test_whether_a_period_is_an_exception_is_told_by_those_before_it():
    days = [day("sale", int(first), int(first) + 3) for first in np.random.default_rng(0).integers(0, 300, 40)]
    whole = declared(*days, periods=300).past > 0
    for periods in (1, 90, 211):
        known = declared(*days, periods=periods)
        assert np.array_equal(known.past > 0, whole[:, :, :periods])


@pytest.mark.parametrize("since", [0, 20])
def test_a_part_holds_its_own_horizon(since):
    made = declared(day("a", 25), day("b", 44, segments=("b",)))
    part = made.part([2], since=since, until=40)
    assert (part.past.shape, part.ahead.shape) == ((1, 2, 40 - since), (1, 2, 7))
    assert np.flatnonzero(part.kinds[0, 0]).tolist() == [25 - since, 44 - since]
