"""Observations: what is new, the same, revised, retracted or contradictory, and what was known when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import InputError
from models.funnel import Funnel
from models.records import NO_DAY, Counts, Events
from service.store.database import Database
from service.store.funnels import declare_funnel
from service.store.observations import MergeResult, merge_counts, merge_events, read_counts, read_events
from service.store.uploads import begin_upload, finish_upload

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FUNNEL = Funnel(stages=("lead", "won"))
DAY = 86_400_000_000

Row = tuple[Any, ...]


def events(*rows: Row) -> Events:
    """Events from (entity_id, stage, ts[, value[, due_on[, segment]]])."""
    full = [(*row, *(math.nan, NO_DAY, "")[len(row) - 3 :]) for row in rows]
    columns = list(zip(*full, strict=True)) if full else [()] * 6
    kinds: list[Any] = [object, object, np.int64, np.float64, np.int32, object]
    return Events(*(np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)))


def counts(*rows: Row) -> Counts:
    """Counts from (ds, stage, y)."""
    ds, stage, y = zip(*rows, strict=True)
    nothing = np.full(len(rows), math.nan)
    texts = np.array([""] * len(rows), dtype=object)
    return Counts(np.array(ds, dtype=np.int64), np.array(stage, dtype=object), np.array(y, dtype=float), nothing, texts)


def rows_of(stored: Events | Counts) -> list[Row]:
    """Rows as tuples that compare, nothing being None."""
    columns = [getattr(stored, field.name).tolist() for field in fields(stored)]
    return [tuple(None if nothing(cell) else cell for cell in row) for row in zip(*columns, strict=True)]


def nothing(cell: Any) -> bool:
    return cell == NO_DAY or (isinstance(cell, float) and math.isnan(cell))


def new_funnel(database: Database, name: str = "sales") -> int:
    with database.write() as connection:
        return declare_funnel(connection, name, FUNNEL, now=NOW).id


def upload(
    database: Database, funnel: int, rows: Events | Counts, *, at: datetime = NOW, **options: Any
) -> MergeResult:
    with database.stage() as staging:
        if isinstance(rows, Events):
            staging.append_events(rows, lines=2)
        else:
            staging.append_counts(rows, lines=2)
        with staging.write() as connection:
            kind = "events" if isinstance(rows, Events) else "counts"
            taken = begin_upload(connection, funnel, kind=kind, now=at)
            merge = merge_events if isinstance(rows, Events) else merge_counts
            result = merge(connection, funnel, taken.number, staging, **options)
            finish_upload(connection, taken, changed=result.changed, report={})
    return result


def stored(database: Database, funnel: int, *, as_of: datetime | None = None) -> list[Row]:
    with database.read() as connection:
        return rows_of(read_events(connection, funnel, as_of=as_of))


def test_what_was_staged_is_read_back_in_the_order_of_its_key(database):
    funnel = new_funnel(database)
    given = [
        ("z", "lead", 3 * DAY),
        ("a", "won", 2 * DAY, 9.5, 20000, "NA"),
        ("a", "lead", DAY, math.nan, NO_DAY, "🦊"),
    ]
    assert upload(database, funnel, events(*given)) == MergeResult(rows=3, inserted=3)
    assert stored(database, funnel) == [
        ("a", "lead", DAY, None, None, "🦊"),
        ("a", "won", 2 * DAY, 9.5, 20000, "NA"),
        ("z", "lead", 3 * DAY, None, None, ""),
    ]


def test_sending_the_same_rows_again_changes_nothing(database):
    funnel = new_funnel(database)
    rows = events(("a", "lead", DAY, 5.0), ("b", "lead", DAY))
    upload(database, funnel, rows)
    before = stored(database, funnel)
    assert upload(database, funnel, rows) == MergeResult(rows=2, inserted=0, unchanged=2)
    assert stored(database, funnel) == before


def test_a_changed_row_supersedes_the_old_one_which_is_still_known_as_of_then(database):
    funnel = new_funnel(database)
    upload(database, funnel, events(("a", "lead", DAY, 5.0, 100), ("b", "lead", DAY)))
    later = NOW + timedelta(hours=1)
    result = upload(database, funnel, events(("a", "lead", DAY, 5.0, 200), ("b", "lead", DAY)), at=later)
    assert result == MergeResult(rows=2, inserted=0, revised=1, unchanged=1)
    assert stored(database, funnel)[0] == ("a", "lead", DAY, 5.0, 200, "")
    assert stored(database, funnel, as_of=NOW)[0] == ("a", "lead", DAY, 5.0, 100, "")
    assert stored(database, funnel, as_of=later)[0] == ("a", "lead", DAY, 5.0, 200, "")
    assert stored(database, funnel, as_of=NOW - timedelta(seconds=1)) == []


def test_rows_that_say_the_same_twice_in_one_upload_count_as_duplicates(database):
    funnel = new_funnel(database)
    row = ("a", "lead", DAY, 5.0)
    assert upload(database, funnel, events(row, row, row)) == MergeResult(rows=3, inserted=1, duplicates=2)
    changed = ("a", "lead", DAY, 6.0)
    assert upload(database, funnel, events(changed, changed)) == MergeResult(2, 0, revised=1, duplicates=1)


@pytest.mark.parametrize("known", [False, True])
def test_rows_that_contradict_each_other_are_refused_with_their_lines_and_nothing_is_kept(database, known):
    funnel = new_funnel(database)
    if known:
        upload(database, funnel, events(("a", "lead", DAY, 1.0)))
    before = stored(database, funnel)
    with pytest.raises(InputError) as refused:
        upload(database, funnel, events(("b", "lead", DAY), ("a", "lead", DAY, 1.0), ("a", "lead", DAY)))
    (problem,) = refused.value.problems
    assert problem.line == 4
    assert "line 3" in problem.reason
    assert stored(database, funnel) == before


def test_a_column_that_the_source_has_not_leaves_what_is_stored(database):
    funnel = new_funnel(database)
    upload(database, funnel, events(("a", "lead", DAY, 5.0, 100, "north")))
    result = upload(database, funnel, events(("a", "lead", DAY, 7.0)), columns=("value",))
    assert result.revised == 1
    assert stored(database, funnel) == [("a", "lead", DAY, 7.0, 100, "north")]
    assert upload(database, funnel, events(("a", "lead", DAY)), columns=()) == MergeResult(1, 0, unchanged=1)


def test_a_whole_table_retracts_the_times_it_no_longer_holds(database):
    funnel = new_funnel(database)
    upload(database, funnel, events(("a", "lead", DAY), ("a", "won", 5 * DAY), ("b", "won", 5 * DAY)))
    later = NOW + timedelta(hours=1)
    result = upload(database, funnel, events(("a", "lead", DAY), ("a", "won", 6 * DAY)), at=later, replace=True)
    assert result == MergeResult(rows=2, inserted=1, unchanged=1, retracted=1)
    assert [row[:3] for row in stored(database, funnel)] == [
        ("a", "lead", DAY),
        ("a", "won", 6 * DAY),
        ("b", "won", 5 * DAY),
    ]
    assert ("a", "won", 5 * DAY) in [row[:3] for row in stored(database, funnel, as_of=NOW)]


def test_a_date_cleared_in_a_whole_table_is_retracted_and_may_come_back(database):
    funnel = new_funnel(database)
    both = events(("a", "lead", DAY), ("a", "won", 5 * DAY))
    upload(database, funnel, both, replace=("lead", "won"))
    cleared = upload(database, funnel, events(("a", "lead", DAY)), replace=("lead", "won"))
    assert (cleared.unchanged, cleared.retracted) == (1, 1)
    assert [row[:2] for row in stored(database, funnel)] == [("a", "lead")]
    assert upload(database, funnel, both, replace=("lead", "won")).revised == 1
    assert [row[:2] for row in stored(database, funnel)] == [("a", "lead"), ("a", "won")]


def test_a_corrected_count_supersedes_the_old_one(database):
    funnel = new_funnel(database)
    upload(database, funnel, counts((DAY, "visit", 5), (2 * DAY, "visit", 7)))
    later = NOW + timedelta(hours=1)
    result = upload(database, funnel, counts((2 * DAY, "visit", 9), (3 * DAY, "visit", 1)), at=later)
    assert result == MergeResult(rows=2, inserted=1, revised=1)
    with database.read() as connection:
        assert [row[2] for row in rows_of(read_counts(connection, funnel))] == [5, 9, 1]
        assert [row[2] for row in rows_of(read_counts(connection, funnel, as_of=NOW))] == [5, 7]


def test_funnels_do_not_see_each_others_rows(database):
    first, second = new_funnel(database, "first"), new_funnel(database, "second")
    upload(database, first, events(("a", "lead", DAY, 1.0)))
    upload(database, second, events(("a", "lead", DAY, 2.0)), replace=True)
    assert [row[3] for row in stored(database, first)] == [1.0]
    assert [row[3] for row in stored(database, second)] == [2.0]


def test_staging_an_upload_keeps_no_other_writer_waiting(database, store_url):
    funnel = new_funnel(database)
    with database.stage() as staging:
        staging.append_events(events(("a", "lead", DAY)), lines=[2])
        with Database(store_url, timeout=0.5) as other:
            upload(other, funnel, events(("b", "lead", DAY)))
        with staging.write() as connection:
            number = begin_upload(connection, funnel, kind="events", now=NOW).number
            merge_events(connection, funnel, number, staging)
    assert number == 2
    assert len(stored(database, funnel)) == 2


def test_a_staged_upload_leaves_no_file_behind(sqlite_database, tmp_path):
    new_funnel(sqlite_database)
    with sqlite_database.stage() as staging:
        staging.append_events(events(("a", "lead", DAY)), lines=2)
        assert not list(tmp_path.glob("*staging*"))


said = st.tuples(st.sampled_from([math.nan, 1.0, 2.0]), st.sampled_from([NO_DAY, 100]), st.sampled_from(["", "x"]))
keys = st.tuples(st.sampled_from("ab"), st.sampled_from(["lead", "won"]), st.sampled_from([DAY, 2 * DAY]))
uploads = st.tuples(st.dictionaries(keys, said, min_size=1), st.booleans())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(uploads, min_size=1, max_size=5))
def test_whatever_is_uploaded_the_store_knows_what_was_known_at_every_instant(database, history):
    with database.read() as connection:
        number = len(list(connection.exec_driver_sql("SELECT id FROM funnels")))
    funnel = new_funnel(database, f"f{number}")
    known: dict[Row, Row] = {}
    snapshots: list[Sequence[Row]] = []
    for hour, (rows, whole) in enumerate(history):
        result = upload(
            database,
            funnel,
            events(*(key + value for key, value in rows.items())),
            at=NOW + timedelta(hours=hour),
            replace=whole,
        )
        if whole:
            told = {key[:2] for key in rows}
            known = {key: value for key, value in known.items() if key[:2] not in told or key in rows}
        assert result.inserted + result.revised + result.unchanged == result.rows == len(rows)
        known |= rows
        snapshots.append(rows_of(events(*(key + known[key] for key in sorted(known)))))
    for hour, expected in enumerate(snapshots):
        assert stored(database, funnel, as_of=NOW + timedelta(hours=hour, minutes=30)) == expected
    assert stored(database, funnel) == snapshots[-1]
