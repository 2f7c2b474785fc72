"""One gate from rows to grids: nothing lost, nothing counted twice, nothing known before its time."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from models.errors import HistoryError
from models.funnel import TOTAL, Funnel
from models.history import NEVER, History, make_history
from models.records import NO_DAY, Counts, Events
from tests.models.few_events import ONE, SALES, START, day, events_of, instant


def kinds(history: History) -> dict[tuple[str, str], int]:
    return {(repair.kind, repair.stage): repair.count for repair in history.repairs}


def bytes_of(history: History) -> tuple:
    """Everything a history holds, comparable to the last bit."""
    entities = history.entities
    parts = [] if entities is None else [entities.days, entities.segment, entities.due, entities.value]
    arrays = [history.counts, *([] if history.value is None else [history.value]), *parts]
    return (
        *(array.tobytes() for array in arrays),
        *(array.dtype.str for array in arrays),
        (history.start, history.cutoff, history.segments, history.stages, history.counted, history.repairs),
    )


def test_a_spike_on_the_cutoff_is_in_the_last_period():
    history = make_history(
        ONE, events=events_of(("a", "lead", 0), *((f"b{k}", "lead", 9.99) for k in range(5))), cutoff=day(9)
    )
    assert (history.start, history.cutoff, history.periods) == (day(0), day(9), 10)
    assert history.counts[0, 0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 5]


def test_a_ramp_stands_day_by_day_where_it_happened():
    rows = [(f"{number}-{k}", "lead", number + 0.5) for number in range(8) for k in range(number + 1)]
    history = make_history(ONE, events=events_of(*rows), cutoff=day(7))
    assert history.counts[0, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_the_first_time_at_a_stage_counts():
    history = make_history(ONE, events=events_of(("a", "lead", 3), ("a", "lead", 1), ("a", "lead", 5)), cutoff=day(5))
    assert history.start == day(1)
    assert history.counts[0, 0].tolist() == [1, 0, 0, 0, 0]
    assert kinds(history) == {("repeated_stage", "lead"): 2}


def test_a_later_stage_implies_the_earlier_ones_at_the_same_instant():
    history = make_history(ONE, events=events_of(("a", "lead", 0), ("b", "won", 2)), cutoff=day(3))
    assert history.counts[0].tolist() == [[1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    assert kinds(history) == {("implied_stage", "lead"): 1, ("implied_stage", "offer"): 1}


def test_stages_out_of_order_are_taken_to_be_no_later_than_the_next():
    history = make_history(ONE, events=events_of(("a", "lead", 0), ("a", "offer", 4), ("a", "won", 2)), cutoff=day(5))
    assert history.entities is not None
    assert history.entities.days.tolist() == [[0, 2, 2, NEVER]]
    assert kinds(history) == {("out_of_order", "offer"): 1}


def test_an_exit_before_the_entry_moves_to_the_entry():
    history = make_history(ONE, events=events_of(("a", "lost", 0), ("a", "lead", 2), ("b", "lead", 1)), cutoff=day(3))
    assert history.entities is not None
    assert history.start == day(1)
    assert history.entities.days.tolist() == [[1, NEVER, NEVER, 1], [0, NEVER, NEVER, NEVER]]
    assert kinds(history) == {("exit_before_entry", "lost"): 1}


def test_an_exit_without_any_stage_is_left_out():
    history = make_history(SALES, events=events_of(("a", "lost", 0, "web"), ("b", "lead", 1, "shop")), cutoff=day(3))
    assert history.entities is not None
    assert history.segments == ("shop",)
    assert len(history.entities.days) == 1
    assert kinds(history) == {("exit_without_stage", "lost"): 1}


def test_an_entity_in_two_segments_belongs_to_the_first():
    rows = events_of(("a", "offer", 3, "web"), ("a", "lead", 1, "shop"), ("b", "lead", 1, "web"))
    history = make_history(SALES, events=rows, cutoff=day(3))
    assert history.segments == ("shop", "web")
    assert history.counts[0].sum(axis=1).tolist() == [1, 1, 0]
    assert history.counts[1].sum(axis=1).tolist() == [1, 0, 0]
    assert kinds(history)["two_segments", ""] == 1


def test_rows_without_a_segment_are_unknown_where_the_funnel_has_segments():
    history = make_history(SALES, events=events_of(("a", "lead", 0, ""), ("b", "lead", 1, "web")), cutoff=day(1))
    assert history.segments == ("unknown", "web")


def test_without_segments_there_is_one_row_whatever_the_rows_say():
    history = make_history(ONE, events=events_of(("a", "lead", 0, "x"), ("b", "lead", 0, "y")), cutoff=day(0))
    assert history.segments == ()
    assert history.series == ((TOTAL, "lead"), (TOTAL, "offer"), (TOTAL, "won"))
    assert history.matrix.tolist() == [[2], [0], [0]]


def test_entities_are_not_expected_to_have_rows_for_a_stage_that_comes_as_counts():
    events = events_of(("a", "offer", 0), ("b", "won", 1))
    text = np.array(["lead"], dtype=object)
    counts = Counts(np.array([instant(0)]), text, np.array([5.0]), np.array([np.nan]), np.array([""], dtype=object))
    implied = [repair.stage for repair in make_history(ONE, events=events, cutoff=day(2)).repairs]
    assert implied.count("lead") == implied.count("offer") == 1
    mixed = make_history(ONE, events=events, counts=counts, cutoff=day(2))
    assert [repair.stage for repair in mixed.repairs if repair.kind == "implied_stage"] == ["offer"]


def test_undeclared_stages_are_named_and_do_not_count():
    history = make_history(ONE, events=events_of(("a", "lead", 0), ("b", "demo", 0), ("a", "demo", 1)), cutoff=day(1))
    assert history.matrix.sum() == 1
    assert kinds(history) == {("undeclared_stage", "demo"): 2}


def test_a_due_day_is_the_one_known_at_entry_and_is_moved_on_the_day_on_which_a_row_says_so():
    rows = events_of(
        ("a", "lead", 0, "s", np.nan, 10),
        ("a", "offer", 2, "s", np.nan, 14),
        ("a", "offer", 3, "s", np.nan, 14),  # the same again
        ("a", "won", 4, "s", np.nan, 20),
        ("b", "lead", 1, "s"),
        ("b", "offer", 3, "s"),
        ("b", "offer", 5, "s", np.nan, 9),
    )
    for cutoff, moved in [(0, []), (3, [[0, 2, 14]]), (4, [[0, 2, 14], [0, 4, 20]])]:
        history = make_history(SALES, events=rows, cutoff=day(cutoff))
        assert history.entities is not None
        assert history.entities.due[0] == 10
        assert history.entities.moved.tolist() == moved
    assert history.entities.due[1] == NEVER
    late = make_history(SALES, events=rows, cutoff=day(5), start=day(1)).entities
    assert late.moved.tolist() == [[0, 1, 13], [0, 3, 19], [1, 4, 8]]


def test_of_two_due_days_told_on_one_day_the_later_row_counts():
    rows = events_of(("a", "offer", 0.2, "s", np.nan, 12), ("a", "lead", 0.6, "s", np.nan, 10), ("c", "lead", 2, "s"))
    entities = make_history(SALES, events=rows, cutoff=day(2)).entities
    assert (entities.due.tolist(), entities.moved.tolist()) == ([10, NEVER], [])
    at_once = events_of(("a", "lead", 0, "s", np.nan, 10), ("a", "offer", 0, "s", np.nan, 12), ("c", "lead", 2, "s"))
    entities = make_history(SALES, events=at_once, cutoff=day(2)).entities
    assert (entities.due.tolist(), entities.moved.tolist()) == ([12, NEVER], [])


def test_of_two_values_told_at_a_stage_the_one_told_when_it_was_reached_counts():
    rows = events_of(("a", "lead", 0, "s", 100.0), ("a", "lead", 1, "s", 80.0))
    assert make_history(SALES, events=rows, cutoff=day(2)).value[0, 0].tolist() == [100, 0, 0]


def test_value_counts_at_the_stage_for_which_it_was_told():
    rows = events_of(
        ("a", "lead", 0, "s", 100.0),
        ("a", "offer", 1, "s"),
        ("a", "won", 2, "s", 80.0),  # the offer keeps 100
        ("b", "lead", 0, "s"),
        ("b", "won", 2, "s", 50.0),  # the skipped offer is implied by the win, at its value
    )
    history = make_history(SALES, events=rows, cutoff=day(2))
    assert history.value is not None
    assert history.value[0].tolist() == [[100, 0, 0], [0, 100, 50], [0, 0, 130]]
    assert history.entities is not None
    assert history.entities.value.tolist() == [80, 50]


def test_without_any_value_there_is_none():
    assert make_history(ONE, events=events_of(("a", "lead", 0)), cutoff=day(0)).value is None


def test_the_day_is_that_of_the_funnels_zone():
    late = events_of(("a", "lead", 0), ("b", "lead", 1 + 23.5 / 24))
    amsterdam = Funnel(stages=("lead",), timezone="Europe/Amsterdam")
    assert make_history(Funnel(stages=("lead",)), events=late, cutoff=day(2)).counts[0, 0].tolist() == [1, 1, 0]
    assert make_history(amsterdam, events=late, cutoff=day(2)).counts[0, 0].tolist() == [1, 0, 1]


def test_days_of_23_and_25_hours_conserve_their_counts():
    zone = ZoneInfo("America/New_York")
    begin = int(datetime(2024, 1, 1, tzinfo=zone).timestamp())
    end = int(datetime(2025, 1, 1, tzinfo=zone).timestamp())
    hours = np.arange(begin, end, 3600, dtype=np.int64) * 1_000_000
    count = len(hours)
    events = Events(
        np.array([f"e{k}" for k in range(count)], dtype=object),
        np.full(count, "lead", dtype=object),
        hours,
        np.full(count, np.nan),
        np.full(count, NO_DAY, dtype=np.int32),
        np.full(count, "", dtype=object),
    )
    funnel = Funnel(stages=("lead",), timezone="America/New_York")
    history = make_history(funnel, events=events, cutoff=date(2024, 12, 31))
    assert history.periods == 366
    assert history.counts.sum() == count
    lengths = dict(zip(*np.unique(history.counts, return_counts=True), strict=True))
    assert lengths == {23: 1, 24: 364, 25: 1}


@pytest.mark.parametrize("week_start", range(7))
def test_weeks_start_on_any_day_and_only_whole_ones_count(week_start):
    rows = [(f"{number}", "lead", number + 0.5) for number in range(40)]
    funnel = Funnel(stages=("lead",), frequency="week", week_start=week_start)
    history = make_history(funnel, events=events_of(*rows), cutoff=day(39))
    assert history.start.weekday() == week_start
    assert history.start < day(7)
    assert history.cutoff == history.start + timedelta(days=7 * history.periods - 1)
    assert day(39) - timedelta(days=7) < history.cutoff <= day(39)
    assert (history.counts == 7).all()


def test_entities_from_before_the_start_stay_in_flight():
    rows = events_of(("a", "lead", 0), ("a", "won", 6), ("b", "lead", 7))
    history = make_history(ONE, events=rows, start=day(5), cutoff=day(8))
    assert history.start == day(5)
    assert history.entities is not None
    assert history.entities.days.tolist() == [[-5, 1, 1, NEVER], [2, NEVER, NEVER, NEVER]]
    assert history.counts[0].tolist() == [[0, 0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0]]


def test_the_grid_starts_with_the_data_when_asked_for_more():
    assert make_history(ONE, events=events_of(("a", "lead", 3)), start=day(-9), cutoff=day(4)).start == day(3)


@pytest.mark.parametrize("rows", [[], [("a", "lead", 9)], [("a", "demo", 0)], [("a", "lost", 0)]])
def test_nothing_usable_up_to_the_cutoff_is_an_error_that_says_so(rows):
    with pytest.raises(HistoryError, match="no row of the stages"):
        make_history(ONE, events=events_of(*rows), cutoff=day(5))


def test_less_than_one_whole_week_is_an_error_that_says_so():
    funnel = Funnel(stages=("lead",), frequency="week")
    with pytest.raises(HistoryError, match="not one whole week"):
        make_history(funnel, events=events_of(("a", "lead", 1)), cutoff=day(6))


def test_one_day_of_rows_is_a_history_of_one_day():
    history = make_history(ONE, events=events_of(("a", "lead", 0.5)), cutoff=day(0))
    assert history.matrix.tolist() == [[1], [0], [0]]


ROWS = st.lists(
    st.tuples(
        st.sampled_from("abcdef"),
        st.sampled_from(["lead", "offer", "won", "lost", "demo"]),
        st.floats(0, 20, allow_nan=False),
        st.sampled_from(["web", "shop", ""]),
        st.sampled_from([np.nan, 1.0, 2.5, 0.1]),
        st.one_of(st.none(), st.integers(-5, 60)),
    ),
    max_size=25,
)
FUNNELS = st.sampled_from(
    [
        SALES,
        ONE,
        Funnel(stages=("lead", "won"), exits=("lost",), frequency="week"),
        Funnel(stages=("lead", "offer"), segment_by="segment", timezone="Asia/Kathmandu"),
    ]
)


@pytest.mark.parametrize("segments", [(), ("north", "south")])
def test_some_of_the_funnels_and_periods_are_what_they_are_among_all(segments):
    counts = np.random.default_rng(3).poisson(5.0, (max(1, len(segments)), 3, 40)).astype(float)
    counts[:, 1, 4] = np.nan
    history = History(START, "day", segments, ("lead", "offer", "won"), counts)
    funnels = history.matrix.reshape(-1, 3, 40)
    assert_array_equal(history.total, funnels[0])
    rows = [2, 0, 1][-len(funnels) :] if segments else [0]
    assert_array_equal(history.funnels(rows), funnels[rows])
    assert_array_equal(history.funnels(rows[:1]), funnels[rows[:1]])
    for periods in (1, 7, 40, 41):
        assert_array_equal(history.latest(periods), history.matrix[:, -min(periods, 40) :])


@settings(max_examples=150, deadline=None)
@given(ROWS, ROWS, FUNNELS, st.data())
def test_rows_after_the_cutoff_and_the_order_of_rows_leave_no_trace(rows, later, funnel, data):
    known = [("first", "lead", 0.5, "web", 3.0, 9), *rows]
    future = [(who, stage, 23 + when, *rest) for who, stage, when, *rest in later]
    mixed = data.draw(st.permutations([*known, *future]))
    history = make_history(funnel, events=events_of(*known), cutoff=day(21))
    assert bytes_of(make_history(funnel, events=events_of(*mixed), cutoff=day(21))) == bytes_of(history)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.sampled_from([SALES, ONE]))
def test_every_entity_that_reached_a_stage_is_counted_once_there(rows, funnel):
    rows = [("first", "lead", 0.0, "web", 3.0, 9), *rows]
    history = make_history(funnel, events=events_of(*rows), cutoff=day(21))
    for position, stage in enumerate(funnel.stages):
        beyond = funnel.stages[position:]
        assert history.counts[:, position].sum() == len({row[0] for row in rows if row[1] in beyond}), stage
    width = history.periods
    assert history.entities is not None
    assert history.entities.days.shape == (int(history.counts[:, 0].sum()), 4)
    assert ((history.entities.days == NEVER) | (history.entities.days < width)).all()
    assert_array_equal(history.matrix[:3], history.counts.sum(axis=0))
