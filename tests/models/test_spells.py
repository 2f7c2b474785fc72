"""Entities become moves on clocks, and nothing is lost, counted twice or known too early."""

from dataclasses import replace

import numpy as np
from numpy.testing import assert_array_equal

from models.entities import NEVER
from models.history import make_history
from models.spells import (
    AGE,
    CARRIED,
    CELLS,
    CONVERTED,
    DUE,
    DUE_CELL,
    ENTERED,
    EXITED,
    LONGEST_LEAD,
    PARKED,
    bin_of_cells,
    moves_from_days,
    moves_of_history,
)
from tests.models.few_events import SALES, day, events_of


def moves(here, following=None, exits=(), due=None, *, moved=(), periods=50):
    following = [NEVER] * len(here) if following is None else following
    columns = np.array(exits or np.empty((len(here), 0)), dtype=np.int32).reshape(len(here), -1)
    due = None if due is None else np.array(due, dtype=np.int32)
    changes = np.array(moved, dtype=np.int32).reshape(-1, 3)
    made = moves_from_days(
        np.array(here, dtype=np.int32),
        np.array(following, dtype=np.int32),
        columns,
        due,
        periods=periods,
        moved=changes,
    )
    return [tuple(row) for row in made.tolist()]


def test_an_entity_starts_at_age_zero_and_converts_at_its_age():
    assert moves([3], [8]) == [(3, AGE, 0, ENTERED, 1), (8, AGE, 5, CONVERTED, 1)]


def test_equal_moves_are_one_row_with_their_number():
    assert moves([3, 3, 3], [3, 3, 9]) == [
        (3, AGE, 0, ENTERED, 3),
        (3, AGE, 0, CONVERTED, 2),
        (9, AGE, 6, CONVERTED, 1),
    ]


def test_who_came_before_the_first_period_is_carried_in_at_its_age():
    assert moves([-4, -9], [NEVER, -2]) == [(0, AGE, 4, CARRIED, 1)]


def test_an_exit_parks_the_entity_and_it_may_come_back():
    assert moves([1, -9], [10, 2], exits=[[4], [-3]]) == [
        (0, PARKED, 3, CARRIED, 1),
        (1, AGE, 0, ENTERED, 1),
        (2, PARKED, 5, CONVERTED, 1),
        (4, AGE, 3, EXITED, 1),
        (10, PARKED, 6, CONVERTED, 1),
    ]


def test_an_exit_before_the_stage_or_with_the_conversion_ends_no_wait():
    assert moves([5, 5], [9, 9], exits=[[2], [9]]) == [(5, AGE, 0, ENTERED, 2), (9, AGE, 4, CONVERTED, 2)]


def test_a_due_entity_runs_on_days_to_due_early_late_and_beside_those_without():
    made = moves([1, 1, 1], [9, 13, NEVER], due=[11, 11, NEVER])
    assert made == [
        (1, AGE, 0, ENTERED, 1),
        (1, DUE, DUE_CELL - 10, ENTERED, 2),
        (9, DUE, DUE_CELL - 2, CONVERTED, 1),
        (13, DUE, DUE_CELL + 2, CONVERTED, 1),
    ]
    assert moves([-30], [13], due=[11])[0] == (0, DUE, DUE_CELL - 11, CARRIED, 1)


def test_a_due_day_long_past_or_years_away_does_no_harm():
    made = moves([20, 20], due=[-900, 20 + LONGEST_LEAD + 1])
    assert made == [(20, AGE, 0, ENTERED, 1), (20, DUE, CELLS[DUE] - 1, ENTERED, 1)]


def test_a_moved_due_day_ends_a_wait_without_an_event_and_starts_another_that_is_no_new_entry():
    made = moves([1], [20], due=[11], moved=[[0, 6, 25], [0, 9, 19]])
    assert made == [
        (1, DUE, DUE_CELL - 10, ENTERED, 1),
        (6, DUE, DUE_CELL - 19, CARRIED, 1),
        (6, DUE, DUE_CELL - 5, CARRIED, -1),
        (9, DUE, DUE_CELL - 16, CARRIED, -1),
        (9, DUE, DUE_CELL - 10, CARRIED, 1),
        (20, DUE, DUE_CELL + 1, CONVERTED, 1),
    ]


def test_a_due_day_heard_of_late_takes_the_entity_from_the_clock_of_age_and_one_far_away_puts_it_back():
    made = moves([1, 1], exits=[[30], [NEVER]], due=[NEVER, 9], moved=[[0, 5, 12], [1, 7, 9000]])
    assert made == [
        (1, AGE, 0, ENTERED, 1),
        (1, DUE, DUE_CELL - 8, ENTERED, 1),
        (5, AGE, 4, CARRIED, -1),
        (5, DUE, DUE_CELL - 7, CARRIED, 1),
        (7, AGE, 6, CARRIED, 1),
        (7, DUE, DUE_CELL - 2, CARRIED, -1),
        (30, DUE, DUE_CELL + 18, EXITED, 1),
    ]


def test_a_due_day_moved_before_the_wait_or_the_first_period_is_where_it_begins_and_after_the_wait_nothing():
    moved = [[0, 2, 20], [0, 3, 30], [1, -3, 12], [1, 12, 40], [2, 8, 14]]
    made = moves([5, -6, 4], [NEVER, 12, 8], due=[9, 9, 8], moved=moved)
    assert made == [
        (0, DUE, DUE_CELL - 12, CARRIED, 1),
        (4, DUE, DUE_CELL - 4, ENTERED, 1),
        (5, DUE, DUE_CELL - 25, ENTERED, 1),
        (8, DUE, DUE_CELL, CONVERTED, 1),
        (12, DUE, DUE_CELL, CONVERTED, 1),
    ]


def test_moved_due_days_are_moves_of_the_segment_and_the_due_stage_only():
    rows = events_of(
        ("a", "lead", 0, "s", np.nan, 10),
        ("a", "offer", 1, "s"),
        ("a", "offer", 3, "s", np.nan, 14),
        ("b", "lead", 0, "t"),
        ("b", "offer", 2, "t"),
    )
    total, one, other = moves_of_history(make_history(SALES, events=rows, cutoff=day(5)))
    moved = [
        [1, DUE, DUE_CELL - 9, ENTERED, 1],
        [3, DUE, DUE_CELL - 11, CARRIED, 1],
        [3, DUE, DUE_CELL - 7, CARRIED, -1],
    ]
    assert one[1].tolist() == moved
    assert other[1].tolist() == [[2, AGE, 0, ENTERED, 1]]
    assert total[1].tolist() == [moved[0], [2, AGE, 0, ENTERED, 1], *moved[1:]]
    assert {clock for part in (total, one, other) for clock in part[0][:, 1].tolist()} == {AGE}


def test_moved_due_days_count_in_weeks_where_periods_are_weeks():
    rows = events_of(("a", "lead", 0, "s", np.nan, 28), ("a", "offer", 7, "s"), ("a", "offer", 21, "s", np.nan, 70))
    history = make_history(replace(SALES, frequency="week"), events=rows, cutoff=day(34))
    assert moves_of_history(history)[1][1].tolist() == [
        [1, DUE, DUE_CELL - 3, ENTERED, 1],
        [3, DUE, DUE_CELL - 7, CARRIED, 1],
        [3, DUE, DUE_CELL - 1, CARRIED, -1],
    ]


def test_moves_up_to_a_period_do_not_depend_on_what_comes_later():
    generator = np.random.default_rng(0)
    here = generator.integers(-20, 60, 500)
    following = np.where(generator.random(500) < 0.6, here + generator.integers(0, 30, 500), NEVER)
    exits = np.where(generator.random((500, 2)) < 0.3, here[:, None] + generator.integers(-5, 30, (500, 2)), NEVER)
    due = np.where(generator.random(500) < 0.5, here + generator.integers(-3, 40, 500), NEVER)
    entity = np.sort(generator.integers(0, 500, 400))
    changes = np.stack([entity, generator.integers(-5, 60, 400), generator.integers(0, 90, 400)], axis=1)
    changes = changes[np.lexsort([changes[:, 1], entity])]
    changes = changes[np.append((np.diff(changes[:, :2], axis=0) != 0).any(axis=1), [True])]
    whole = np.array(moves(here, following, exits.tolist(), due, moved=changes, periods=60))
    assert (whole[:, 4] < 0).sum() > 50
    cut = [np.where(part > 39, NEVER, part) for part in (here, following, exits)]
    earlier = changes[changes[:, 1] < 40]
    known = np.array(moves(cut[0], cut[1], cut[2].tolist(), due, moved=earlier, periods=40))
    assert_array_equal(whole[whole[:, 0] < 40], known)


def test_every_cell_has_a_bin_and_the_due_day_has_its_own():
    bins = bin_of_cells()
    for clock, size in enumerate(CELLS):
        assert (np.diff(bins[clock, :size]) >= 0).all()
        assert (np.diff(bins[clock, :size]) <= 1).all()
    assert (bins[DUE] == bins[DUE, DUE_CELL]).sum() == 1
