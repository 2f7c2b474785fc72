"""Count rows: a hole is a zero only where that is what the feed means by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calendar import number_from_day
from models.errors import InputError
from models.funnel import Funnel
from models.history import History, make_history
from models.records import NO_DAY, Counts, Events

START = date(2024, 1, 1)  # a Monday
WEB = Funnel(stages=("visit", "signup"))
SITES = Funnel(stages=("visit", "signup"), segment_by="site")


def instant(day: float) -> int:
    return int((datetime(START.year, START.month, START.day, tzinfo=UTC).timestamp() + day * 86400) * 1_000_000)


def counts_of(*rows: tuple) -> Counts:
    """Counts from (day after START, stage, y[, segment[, value]])."""
    full = [(*row, *("", np.nan)[len(row) - 3 :]) for row in rows]
    return Counts(
        ds=np.array([instant(row[0]) for row in full], dtype=np.int64),
        stage=np.array([row[1] for row in full], dtype=object),
        y=np.array([row[2] for row in full], dtype=float),
        value=np.array([row[4] for row in full], dtype=float),
        segment=np.array([row[3] for row in full], dtype=object),
    )


def events_of(*rows: tuple[str, str, float]) -> Events:
    size = len(rows)
    return Events(
        entity_id=np.array([row[0] for row in rows], dtype=object),
        stage=np.array([row[1] for row in rows], dtype=object),
        ts=np.array([instant(row[2]) for row in rows], dtype=np.int64),
        value=np.full(size, np.nan),
        due_on=np.full(size, NO_DAY, dtype=np.int32),
        segment=np.full(size, "", dtype=object),
    )


def day(number: int) -> date:
    return START + timedelta(days=number)


def daily(values: list[float], stage: str = "visit", segment: str = "") -> list[tuple]:
    """One row a day from START; None: no row."""
    return [(number, stage, y, segment) for number, y in enumerate(values) if y is not None]


def same(history: History, stage: int, expected: list, row: int = 0) -> None:
    np.testing.assert_array_equal(history.counts[row, stage], np.array(expected, dtype=float))


def test_a_missing_day_in_a_feed_that_writes_zeros_is_not_observed():
    history = make_history(WEB, counts=counts_of(*daily([3, 0, None, 4, 1])), cutoff=day(4))
    same(history, 0, [3, 0, None, 4, 1])
    assert [(r.kind, r.stage, r.start, r.count) for r in history.repairs] == [("missing", "visit", day(2), 1)]


def test_a_missing_day_among_large_counts_is_not_observed():
    history = make_history(WEB, counts=counts_of(*daily([300, 310, None, 290])), cutoff=day(3))
    same(history, 0, [300, 310, None, 290])


def test_a_feed_of_small_counts_that_never_writes_a_zero_leaves_them_out():
    history = make_history(WEB, counts=counts_of(*daily([2, 1, None, 1])), cutoff=day(5))
    same(history, 0, [2, 1, 0, 1, 0, 0])
    assert [(r.kind, r.count) for r in history.repairs] == [("absent_row", 3)]


def test_weekdays_that_never_have_rows_are_zero():
    week = [300, 310, 305, 290, 280, None, None]
    history = make_history(WEB, counts=counts_of(*daily([*week, *week, *week])), cutoff=day(20))
    same(history, 0, [300, 310, 305, 290, 280, 0, 0] * 3)


def test_a_new_segment_was_zero_before_and_the_total_stays_known():
    rows = [*daily([9, 8, 0, 9], segment="old"), (3, "visit", 5, "new")]
    history = make_history(SITES, counts=counts_of(*rows), cutoff=day(3))
    assert history.segments == ("new", "old")
    same(history, 0, [0, 0, 0, 5])
    assert history.matrix[0].tolist() == [9, 8, 0, 14]


def test_counts_of_some_segments_from_a_later_start_lie_in_their_rows_beside_events_of_others():
    counts = counts_of(
        *((number, "lead", 90 + number, "a", 5.0) for number in (0, 1, 2, 4)),
        *((number, "lead", 70 + number, "c", np.nan if number == 2 else 7.0) for number in (0, 1, 2, 4, 5)),
        *((number, "sale", number % 2, "c") for number in range(6)),
    )
    events = replace(
        events_of(("e", "visit", 1), ("e", "sale", 2), ("f", "visit", 3)),
        value=np.array([4.0, 9.0, 6.0]),
        segment=np.array(["b", "b", "b"], dtype=object),
    )
    funnel = Funnel(stages=("visit", "lead", "sale"), segment_by="site")
    history = make_history(funnel, counts=counts, events=events, cutoff=day(5), start=day(1))
    assert (history.segments, history.counted) == (("a", "b", "c"), ("lead", "sale"))
    same(history, 1, [91, 92, None, 94, None], row=0)
    same(history, 1, [71, 72, None, 74, 75], row=2)
    same(history, 2, [1, 0, 1, 0, 1], row=2)
    assert history.value is not None
    np.testing.assert_array_equal(history.value[0, 1], [5, 5, np.nan, 5, np.nan])
    np.testing.assert_array_equal(history.value[2, 1], [7, 0, np.nan, 7, 7])
    assert np.isnan(history.value[:, 2]).all()  # counted without value: what events are worth is not its money
    np.testing.assert_array_equal(history.value[1, 0], [4, 0, 6, 0, 0])


def test_a_late_segment_leaves_the_total_unknown_rather_than_low():
    rows = [*daily([90, 80, 0, 70], segment="a"), *daily([50, 60, 55], segment="b")]
    history = make_history(SITES, counts=counts_of(*rows), cutoff=day(3))
    same(history, 0, [50, 60, 55, None], row=1)
    np.testing.assert_array_equal(history.matrix[0], [140, 140, 55, np.nan])
    assert [(r.kind, r.segment, r.start) for r in history.repairs] == [("missing", "b", day(3))]


def test_a_segment_silent_for_four_weeks_while_others_go_on_has_ended():
    rows = [*daily([50, 0, *[60] * 40], segment="a"), *daily([20, 20], segment="b")]
    history = make_history(SITES, counts=counts_of(*rows), cutoff=day(41))
    same(history, 0, [20, 20, *[0] * 40], row=1)
    short = make_history(SITES, counts=counts_of(*rows), cutoff=day(28))
    assert np.isnan(short.counts[1, 0, 2:]).all()


def test_the_size_of_a_feed_is_that_of_the_days_that_it_tells():
    few = daily([8.0 if number % 5 < 3 else None for number in range(50)], segment="few")
    history = make_history(SITES, counts=counts_of(*few, *daily([90.0] * 50, segment="many")), cutoff=day(49))
    assert np.isnan(history.counts[0, 0]).sum() == 20


def test_days_after_the_last_row_say_nothing_of_the_weekdays():
    short = daily([20.0] * 14, segment="short")
    history = make_history(SITES, counts=counts_of(*short, *daily([90.0] * 35, segment="long")), cutoff=day(34))
    assert np.isnan(history.counts[1, 0, 14:]).all()


def test_silence_counts_in_days_of_which_others_tell():
    short = daily([20.0] * 14, segment="short")
    others = daily([None if 20 <= number < 40 else 90.0 for number in range(60)], segment="long")
    history = make_history(SITES, counts=counts_of(*short, *others), cutoff=day(59))
    assert np.isnan(history.counts[1, 0, 14:]).all()  # 46 days, on 26 of which there are rows


def test_days_before_a_small_stage_began_are_not_zero():
    signups = daily([None, None, 2.0, None, 1.0], stage="signup")
    history = make_history(WEB, counts=counts_of(*daily([20.0] * 5), *signups), cutoff=day(4))
    assert np.isnan(history.counts[0, 1, :2]).all()
    assert history.counts[0, 1, 2:].tolist() == [2.0, 0.0, 1.0]


def test_whether_zeros_are_written_is_asked_of_each_stage():
    visits, signups = [20.0, 0.0, 20.0, None, 20.0], [1.0, None, 2.0, 1.0, 1.0]
    history = make_history(WEB, counts=counts_of(*daily(visits), *daily(signups, stage="signup")), cutoff=day(4))
    assert np.isnan(history.counts[0, 0]).tolist() == [False, False, False, True, False]
    assert history.counts[0, 1].tolist() == [1.0, 0.0, 2.0, 1.0, 1.0]


def test_a_stage_that_began_later_was_not_observed_before():
    rows = [*daily([30, 31, 32]), *daily([None, 4, 0], stage="signup")]
    same(make_history(WEB, counts=counts_of(*rows), cutoff=day(2)), 1, [None, 4, 0])


def test_a_row_that_is_there_twice_counts_once():
    history = make_history(WEB, counts=counts_of((0, "visit", 7), (0, "visit", 7)), cutoff=day(0))
    same(history, 0, [7])
    assert [(r.kind, r.count) for r in history.repairs] == [("duplicate_row", 1)]


def test_two_counts_for_one_period_are_refused():
    with pytest.raises(InputError, match="two counts, 7 and 8, for one period of 'visit'"):
        make_history(WEB, counts=counts_of((0, "visit", 7), (0, "visit", 8)), cutoff=day(0))


def test_hours_add_up_to_their_day_in_the_funnels_zone():
    hours = [(number / 24, "visit", 1) for number in range(72)]
    utc = make_history(WEB, counts=counts_of(*hours), cutoff=day(2))
    same(utc, 0, [24, 24, 24])
    zone = Funnel(stages=("visit",), timezone="Asia/Tokyo")
    same(make_history(zone, counts=counts_of(*hours), cutoff=day(2)), 0, [15, 24, 24])


@pytest.mark.parametrize("week_start", range(7))
def test_rows_that_stand_for_weeks_and_rows_of_days_make_the_same_weeks(week_start):
    funnel = Funnel(stages=("visit",), frequency="week", week_start=week_start)
    weekly = counts_of(*((week_start + 7 * week, "visit", 70 + week) for week in range(4)))
    history = make_history(funnel, counts=weekly)
    assert history.start == day(week_start)
    same(history, 0, [70, 71, 72, 73])
    days = counts_of(*((week_start + number, "visit", 10) for number in range(30)))
    same(make_history(funnel, counts=days, cutoff=day(week_start + 29)), 0, [70, 70, 70, 70])


def test_a_week_with_a_day_that_was_not_observed_is_not_observed():
    funnel = Funnel(stages=("visit",), frequency="week")
    rows = [row for row in daily([10] * 14) if row[0] != 9]
    same(make_history(funnel, counts=counts_of(*rows), cutoff=day(13)), 0, [70, None])


def test_counts_of_the_first_stage_and_events_of_the_others_share_a_grid():
    funnel = Funnel(stages=("visit", "lead", "won"))
    visits = counts_of(*daily([50, 60, 0, 40, 30]))
    history = make_history(funnel, counts=visits, events=events_of(("a", "lead", 2.5), ("a", "won", 4.5)))
    assert history.counted == ("visit",)
    assert history.cutoff == day(3)  # the last day on which events have hours is not over
    same(history, 0, [50, 60, 0, 40])
    same(history, 1, [None, None, 1, 0])  # before the first event nobody looked
    assert history.entities is not None
    assert history.entities.days.shape == (1, 3)


def test_value_of_counts_adds_up_and_is_unknown_where_never_told():
    rows = [(0, "visit", 5, "", 10.0), (1, "visit", 6, "", 20.5), *daily([1, 1], stage="signup")]
    history = make_history(WEB, counts=counts_of(*rows), cutoff=day(1))
    assert history.value is not None
    np.testing.assert_array_equal(history.value[0], [[10.0, 20.5], [np.nan, np.nan]])


ROWS = st.lists(
    st.tuples(
        st.integers(0, 25),
        st.sampled_from(["visit", "signup", "demo"]),
        st.integers(0, 9),
        st.sampled_from(["a", "b", ""]),
        st.sampled_from([np.nan, 0.1, 2.0]),
    ),
    max_size=40,
    unique_by=lambda row: (row[0], row[1], row[3]),
)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.sampled_from(["day", "week"]), st.booleans(), st.data())
def test_counts_are_conserved_and_later_rows_and_order_leave_no_trace(rows, frequency, split, data):
    funnel = Funnel(stages=("visit", "signup"), segment_by="site" if split else None, frequency=frequency)
    rows = [row for row in rows if row[0] > 0 or row[1] != "visit"] + [(0, "visit", 3, "a", 1.0)]
    history = make_history(funnel, counts=counts_of(*[row for row in rows if row[0] <= 20]), cutoff=day(20))
    again = make_history(funnel, counts=counts_of(*data.draw(st.permutations(rows))), cutoff=day(20))
    assert history.counts.tobytes() == again.counts.tobytes()
    assert (history.segments, history.repairs, history.start) == (again.segments, again.repairs, again.start)
    if frequency == "day":
        first = number_from_day(history.start) - number_from_day(START)
        for position, stage in enumerate(funnel.stages):
            told = sum(row[2] for row in rows if row[1] == stage and first <= row[0] <= 20)
            assert np.nansum(history.counts[:, position]) == told
