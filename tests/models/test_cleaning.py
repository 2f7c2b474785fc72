"""Cleaning: silence that cannot be true is not read as zero, and everything else stays as it was told."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from models.calendar import Calendar, make_calendar
from models.cleaning import clean
from models.funnel import DeclaredDay, Frequency, Funnel
from models.history import NEVER, Entities, History
from models.repairs import Repair

START = date(2024, 1, 1)  # a Monday
PLAIN = Calendar()
DUTCH = make_calendar(Funnel(stages=("lead",), timezone="Europe/Amsterdam"))


def day(number: int) -> date:
    return START + timedelta(days=number)


def history_of(counts: np.ndarray, *, counted: tuple[str, ...] = (), frequency: Frequency = "day") -> History:
    """A history from (segments, stages, periods)."""
    counts = np.asarray(counts, dtype=float)
    segments = tuple(f"s{row}" for row in range(len(counts))) if len(counts) > 1 else ()
    stages = ("lead", "offer", "won")[: counts.shape[1]]
    return History(START, frequency, segments, stages, counts, counted=counted)


def busy(periods: int, *, mean: float = 20.0, shape: tuple[int, int] = (1, 2), seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean, (*shape, periods)).astype(float) + 1


def silent_days(history: History) -> list[int]:
    return np.flatnonzero(np.isnan(history.counts).all(axis=(0, 1))).tolist()


def test_sixty_silent_days_of_a_busy_feed_are_not_observed():
    counts = busy(200)
    counts[:, :, 90:150] = 0
    cleaned, repairs = clean(history_of(counts), calendar=PLAIN)
    assert silent_days(cleaned) == list(range(90, 150))
    assert_array_equal(np.delete(cleaned.counts, np.s_[90:150], axis=2), np.delete(counts, np.s_[90:150], axis=2))
    assert [(r.kind, r.stage, r.start, r.end, r.count) for r in repairs] == [("gap", "", day(90), day(149), 60)]
    assert "60 days without any event" in repairs[0].text


def test_the_given_history_is_not_changed():
    counts = busy(100)
    counts[:, :, 60:80] = 0
    history = history_of(counts)
    clean(history, calendar=PLAIN)
    assert not np.isnan(history.counts).any()


def test_a_silence_up_to_the_cutoff_is_a_dead_feed():
    counts = busy(120)
    counts[:, :, 100:] = 0
    cleaned, repairs = clean(history_of(counts), calendar=PLAIN)
    assert silent_days(cleaned) == list(range(100, 120))
    assert [r.kind for r in repairs] == ["dead_feed"]


def test_the_day_on_which_the_feed_broke_off_is_not_read_as_a_drop():
    counts = busy(120, mean=100)
    counts[:, :, 60:80] = 0
    counts[:, :, 59] = 30
    assert silent_days(clean(history_of(counts), calendar=PLAIN)[0]) == list(range(59, 80))


def test_a_low_day_before_a_gap_is_kept_where_such_days_come_or_are_declared():
    small = busy(120, mean=2, shape=(1, 1))
    small[:, :, 60:80], small[:, :, 59] = 0, 1
    assert silent_days(clean(history_of(small), calendar=PLAIN)[0]) == list(range(60, 80))
    counts = busy(120, mean=100)
    counts[:, :, 60:80], counts[:, :, 59] = 0, 30
    half_a_day = Calendar(declared_days=(DeclaredDay("moving", day(59), day(59)),))
    assert silent_days(clean(history_of(counts), calendar=half_a_day)[0]) == list(range(60, 80))


def test_a_second_silence_is_no_habit_yet():
    counts = busy(300)
    counts[:, :, 90:110], counts[:, :, 200:220] = 0, 0
    assert silent_days(clean(history_of(counts), calendar=PLAIN)[0]) == [*range(90, 110), *range(200, 220)]


def test_weekends_off_are_not_gaps():
    counts = busy(140)
    counts[:, :, np.arange(140) % 7 >= 5] = 0
    cleaned, repairs = clean(history_of(counts), calendar=PLAIN)
    assert_array_equal(cleaned.counts, counts)
    assert repairs == ()


def test_few_silent_days_are_left_alone():
    counts = busy(140)
    counts[:, :, 70:76] = 0
    assert silent_days(clean(history_of(counts), calendar=PLAIN)[0]) == []


def test_a_thin_funnel_may_be_silent_for_weeks():
    counts = np.zeros((1, 2, 300))
    counts[0, :, ::9] = 1
    counts[0, :, 100:130] = 0
    assert silent_days(clean(history_of(counts), calendar=PLAIN)[0]) == []


@pytest.mark.parametrize(("burst", "pause"), [(1, 29), (3, 60), (10, 20)])
def test_a_funnel_that_comes_in_bursts_is_learnt_to_be_silent_between(burst, pause):
    counts = np.zeros((1, 2, 600))
    counts[0, :, np.arange(600) % (burst + pause) < burst] = 40
    silent = silent_days(clean(history_of(counts), calendar=PLAIN)[0])
    assert [number for number in silent if number >= 2 * (burst + pause)] == []


def test_one_silent_stage_is_not_a_silent_feed():
    counts = busy(200)
    counts[:, 1, 90:150] = 0
    cleaned, repairs = clean(history_of(counts), calendar=PLAIN)
    assert_array_equal(cleaned.counts, counts)
    assert repairs == ()


def test_exits_show_that_the_feed_was_alive():
    counts = busy(200, shape=(1, 1))
    counts[:, :, 90:150] = 0
    left = np.arange(90, 150, dtype=np.int32)
    days = np.stack([np.zeros(60, dtype=np.int32), left], axis=1)
    nobody = np.zeros(60, dtype=np.int32)
    entities = Entities(days, segment=nobody, due=np.full(60, NEVER, dtype=np.int32), value=np.full(60, np.nan))
    cleaned, _ = clean(replace(history_of(counts), entities=entities), calendar=PLAIN)
    assert silent_days(cleaned) == []


def test_a_stage_that_came_as_counts_is_a_feed_of_its_own():
    counts = busy(200)
    counts[:, 0, 90:150] = 0
    cleaned, repairs = clean(history_of(counts, counted=("lead",)), calendar=PLAIN)
    assert np.flatnonzero(np.isnan(cleaned.counts[0, 0])).tolist() == list(range(90, 150))
    assert not np.isnan(cleaned.counts[0, 1]).any()
    assert [(r.kind, r.stage) for r in repairs] == [("gap", "lead")]


def test_all_segments_become_unknown_together_and_with_them_the_total():
    counts = busy(120, shape=(3, 2))
    counts[:, :, 60:80] = 0
    cleaned, _ = clean(history_of(counts), calendar=PLAIN)
    assert np.isnan(cleaned.matrix[:, 60:80]).all()
    assert not np.isnan(np.delete(cleaned.matrix, np.s_[60:80], axis=1)).any()


def test_value_is_unknown_where_counts_are():
    counts = busy(120)
    counts[:, :, 60:80] = 0
    cleaned, _ = clean(replace(history_of(counts), value=counts * 10), calendar=PLAIN)
    assert cleaned.value is not None
    assert_array_equal(np.isnan(cleaned.value), np.isnan(cleaned.counts))


def test_values_below_zero_are_named_with_the_days_that_have_them():
    counts = busy(30)
    value = counts * 10
    value[0, 1, 4:7] = -5.0
    cleaned, (repair,) = clean(replace(history_of(counts), value=value), calendar=PLAIN)
    assert (repair.kind, repair.stage, repair.start, repair.end, repair.count) == (
        "negative_value", "offer", day(4), day(6), 3,
    )  # fmt: skip
    assert repair.text == "the value of 3 days is below zero and counts as 0"
    assert_array_equal(cleaned.value, value)
    value[0, 1] = -value[0, 1].clip(min=1)
    _, (repair,) = clean(replace(history_of(counts), value=value), calendar=PLAIN)
    assert (repair.start, repair.count) == (day(0), 30)
    assert "none is above: if they are no refunds, send them without the sign" in repair.text


def test_a_declared_closure_is_a_real_zero():
    counts = busy(200)
    counts[:, :, 90:110] = 0
    closure = DeclaredDay("summer break", day(90), day(109))
    cleaned, repairs = clean(history_of(counts), calendar=Calendar(declared_days=(closure,)))
    assert_array_equal(cleaned.counts, counts)
    assert repairs == ()


def test_holidays_inside_a_gap_stay_zero_as_they_may_well_have_been():
    counts = busy(400)
    christmas = (date(2024, 12, 25) - START).days
    counts[:, :, christmas - 5 : christmas + 15] = 0
    silent = silent_days(clean(history_of(counts), calendar=DUTCH)[0])
    holidays = {christmas, christmas + 1, christmas + 7}
    assert silent == [number for number in range(christmas - 5, christmas + 15) if number not in holidays]


def test_a_stray_day_long_before_the_data_does_not_make_months_of_zeros():
    counts = np.concatenate([np.ones((1, 2, 1)), np.zeros((1, 2, 90)), busy(60)], axis=2)
    assert silent_days(clean(history_of(counts), calendar=PLAIN)[0]) == list(range(1, 91))


def test_zeros_before_anything_happened_stay():
    counts = np.concatenate([np.zeros((1, 2, 90)), busy(60)], axis=2)
    assert silent_days(clean(history_of(counts), calendar=PLAIN)[0]) == []


@pytest.mark.parametrize("stages", [1, 2])
def test_all_zeros_are_said_and_left(stages):
    cleaned, repairs = clean(history_of(np.zeros((1, stages, 60))), calendar=PLAIN)
    assert not np.isnan(cleaned.counts).any()
    assert [(r.kind, r.count) for r in repairs] == [("all_zero", 60)]


def test_one_day_of_rows_needs_no_cleaning():
    cleaned, repairs = clean(history_of(np.array([[[3.0], [1.0]]])), calendar=PLAIN)
    assert cleaned.counts.tolist() == [[[3], [1]]]
    assert repairs == ()


@pytest.mark.parametrize("impossible", [-1.0, np.inf, -np.inf])
def test_impossible_counts_are_not_observed(impossible):
    counts = busy(30)
    counts[0, 1, 7] = impossible
    given = history_of(counts)
    cleaned, repairs = clean(given, calendar=PLAIN)
    assert given.counts[0, 1, 7] == impossible
    assert np.argwhere(np.isnan(cleaned.counts)).tolist() == [[0, 1, 7]]
    assert [(r.kind, r.stage, r.start) for r in repairs] == [("impossible", "offer", day(7))]


def test_silent_weeks_of_a_busy_weekly_funnel_are_not_observed():
    counts = busy(60, mean=300)
    counts[:, :, 30:36] = 0
    weekly = Calendar(frequency="week")
    cleaned, repairs = clean(history_of(counts, frequency="week"), calendar=weekly)
    assert silent_days(cleaned) == list(range(30, 36))
    assert (repairs[0].start, repairs[0].end) == (day(30 * 7), day(36 * 7 - 1))


def test_weeks_in_which_entities_only_left_are_no_silence():
    counts = busy(60, mean=300)
    counts[:, :, 30:36] = 0
    left = np.arange(30 * 7, 36 * 7, 3)  # an exit on some day of each of these weeks
    days = np.full((len(left), 3), NEVER, dtype=np.int32)
    days[:, 0], days[:, 2] = 0, left
    nobody = np.zeros(len(left), dtype=np.int32)
    entities = Entities(days, nobody, np.full(len(left), NEVER, dtype=np.int32), np.full(len(left), np.nan))
    weekly = replace(history_of(counts, frequency="week"), entities=entities)
    cleaned, repairs = clean(weekly, calendar=Calendar(frequency="week"))
    assert silent_days(cleaned) == []
    assert repairs == ()


def test_what_the_gate_repaired_comes_first():
    gate = Repair("duplicate_row", "total", "", day(3), day(3), 2, "2 rows were there twice; once counts")
    counts = busy(120)
    counts[:, :, 100:] = 0
    cleaned, repairs = clean(replace(history_of(counts), repairs=(gate,)), calendar=PLAIN)
    assert [r.kind for r in repairs] == ["duplicate_row", "dead_feed"]
    assert cleaned.repairs == repairs


@st.composite
def holed(draw: st.DrawFn) -> tuple[np.ndarray, bool]:
    """Counts with a weekly shape and a few silences, and whether the first stage came as counts."""
    periods = draw(st.integers(1, 160))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    week = generator.choice([0.0, 0.2, 3.0, 60.0], 7)
    counts = generator.poisson(week[np.arange(periods) % 7], (2, 2, periods)).astype(float)
    for first, length in draw(st.lists(st.tuples(st.integers(0, 159), st.integers(1, 70)), max_size=4)):
        counts[:, :, first : first + length] = draw(st.sampled_from([0.0, np.nan]))
    return counts, draw(st.booleans())


@settings(max_examples=200, deadline=None)
@given(holed(), st.sampled_from([PLAIN, DUTCH, Calendar(declared_days=(DeclaredDay("sale", day(40), day(75)),))]))
def test_cleaning_is_idempotent_and_takes_away_only_silence(holed, calendar):
    counts, first_counted = holed
    history = history_of(counts, counted=("lead",) if first_counted else ())
    once, repairs = clean(history, calendar=calendar)
    twice, again = clean(once, calendar=calendar)
    assert twice.counts.tobytes() == once.counts.tobytes()
    assert again == repairs
    told = ~np.isnan(once.counts)
    assert_array_equal(once.counts[told], counts[told])
    for repair in repairs:
        assert history.start <= repair.start <= repair.end <= history.cutoff


@settings(max_examples=100, deadline=None)
@given(holed(), st.integers(1, 160))
def test_what_comes_later_does_not_change_the_verdict_on_a_closed_silence(holed, cut):
    counts, _ = holed
    whole, _ = clean(history_of(counts), calendar=PLAIN)
    alive = np.flatnonzero(np.nansum(counts, axis=(0, 1))[:cut] > 0)
    if len(alive) == 0:
        return
    last = alive[-1]  # the silence after it may still be open at the cut
    part, _ = clean(history_of(counts[:, :, :cut]), calendar=PLAIN)
    assert_array_equal(part.counts[:, :, :last], whole.counts[:, :, :last])


def test_later_silences_do_not_make_an_earlier_one_usual():
    counts = busy(200)
    for first, last in ((60, 80), (120, 150), (170, 190)):
        counts[:, :, first:last] = 0
    whole, part = (clean(history_of(some), calendar=PLAIN)[0] for some in (counts, counts[:, :, :100]))
    assert silent_days(part) == list(range(60, 80))
    assert_array_equal(part.counts, whole.counts[:, :, :100])
