"""Rows kept in parts: however they came, the history is that of all rows read at once; equal rows give equal bytes."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from models import kept_counts, kept_events
from models.errors import NearcastError
from models.freshness import last_complete_day
from models.funnel import Funnel
from models.history import History, make_history
from models.kept import updated_parts
from models.records import NO_DAY, Counts, Events
from models.state import DamagedPayloadError
from models.times import DAY

FIRST = 19_700 * DAY
FUNNELS = (
    Funnel(stages=("visit", "won"), segment_by="site"),
    Funnel(stages=("visit", "won"), exits=("lost",)),
    Funnel(stages=("visit", "lead", "won"), segment_by="site", timezone="America/New_York", due_stage="won"),
    Funnel(stages=("visit", "won"), frequency="week", segment_by="site"),
)

names = st.sampled_from(["", "unknown", "a", "b"])
stages = st.sampled_from(["visit", "lead", "won", "lost", "odd"])
hours = st.one_of(st.integers(0, 60).map(lambda day: 24 * day), st.integers(0, 1500))
values = st.sampled_from([np.nan, 0.1, 2.7, 1e6])
counts_said = st.one_of(st.none(), st.tuples(st.integers(0, 9), values))
events_said = st.one_of(st.none(), st.tuples(values, st.sampled_from([NO_DAY, 19_720, 19_750]), names))
count_uploads = st.lists(st.dictionaries(st.tuples(names, stages, hours), counts_said, max_size=12), max_size=4)
event_uploads = st.lists(
    st.dictionaries(st.tuples(st.sampled_from("abcdef"), stages, hours), events_said, max_size=12), max_size=4
)


def texts(column: list[str]) -> np.ndarray:
    found = np.empty(len(column), dtype=object)
    found[:] = column
    return found


def counts_of(rows: list) -> Counts:
    y, value = ([0.0 if said is None else float(said[at]) for _, said in rows] for at in (0, 1))
    segment, stage, hour = ([key[at] for key, _ in rows] for at in range(3))
    ds = np.array([FIRST + at * DAY // 24 for at in hour], dtype=np.int64)
    return Counts(ds, texts(stage), np.array(y), np.array(value), texts(segment))


def events_of(rows: list) -> Events:
    said = [(np.nan, NO_DAY, "") if told is None else told for _, told in rows]
    entity, stage, hour = ([key[at] for key, _ in rows] for at in range(3))
    ts = np.array([FIRST + at * DAY // 24 for at in hour], dtype=np.int64)
    value, due = np.array([told[0] for told in said]), np.array([told[1] for told in said], dtype=np.int32)
    return Events(texts(entity), texts(stage), ts, value, due, texts([told[2] for told in said]))


def kept(uploads: list[dict], make, update, to_bytes, from_bytes) -> dict:
    """Parts after the uploads, through bytes each time; None retracts."""
    parts: dict = {}
    for upload in uploads:
        rows = list(upload.items())
        made = make(rows)
        gone = np.array([said is None for _, said in rows], dtype=np.bool_)
        instants = made.ds if isinstance(made, Counts) else made.ts
        changed = updated_parts(parts, made, instants, retracted=gone, update=update)
        parts |= {number: from_bytes(to_bytes(part)) for number, part in changed.items()}
    return dict(sorted(parts.items()))


COUNTS = counts_of, kept_counts.updated, kept_counts.bytes_from_counts, kept_counts.counts_from_bytes
EVENTS = events_of, kept_events.updated, kept_events.bytes_from_events, kept_events.events_from_bytes


def size(part) -> int:
    return part.rows if isinstance(part, kept_counts.CountPart) else len(part)


def final(uploads: list[dict]) -> list:
    """The rows there are in the end, by their key."""
    known: dict = {}
    for upload in uploads:
        known |= upload
    return sorted((key, said) for key, said in known.items() if said is not None)


def outcome(funnel: Funnel, events, counts, cutoff: date | None) -> History | str:
    """The history, or why there is none."""
    try:
        return make_history(funnel, events=events, counts=counts, cutoff=cutoff)
    except NearcastError as error:
        return f"{type(error).__name__}: {error}"


def assert_same(one: History | str, other: History | str) -> None:
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    assert (one.start, one.segments, one.counted, one.repairs) == (
        other.start, other.segments, other.counted, other.repairs,
    )  # fmt: skip
    for name in ("counts", "value"):
        assert_array_equal(getattr(one, name), getattr(other, name))
    for field in fields(one.entities) if one.entities is not None else ():
        assert_array_equal(getattr(one.entities, field.name), getattr(other.entities, field.name))


CONTRADICTING = {("", "won", 0): (0, np.nan), ("unknown", "won", 0): (1, np.nan)}
SCATTERED = {
    (segment, stage, 24 * day): (day % 4, 2.7 if stage == "won" else np.nan)
    for segment in "ab"
    for stage in ("visit", "lead", "won")
    for day in (0, 2, 3, 40)
}
"""No run of days, some of them after the cutoff, and stages whose names are in another order than the funnel's."""
HOURLY = {("a", "visit", 24 * day + hour): (day + hour + 1, np.nan) for day in range(5) for hour in (0, 12)}
WEEKLY = {(segment, "visit", 24 * 7 * week): (week + 1, np.nan) for segment in "ab" for week in range(6)}


@settings(max_examples=150, deadline=None)
@example(funnel=FUNNELS[0], counted=[CONTRADICTING], told=[], day=None)
@example(funnel=FUNNELS[2], counted=[SCATTERED], told=[], day=10)
@example(funnel=FUNNELS[0], counted=[HOURLY], told=[], day=5)
@example(funnel=FUNNELS[3], counted=[WEEKLY], told=[], day=None)
@given(funnel=st.sampled_from(FUNNELS), counted=count_uploads, told=event_uploads, day=st.none() | st.integers(5, 70))
def test_however_rows_came_the_history_is_that_of_all_rows_read_at_once(funnel, counted, told, day):
    counts, events = counts_of(final(counted)), events_of(final(told))
    grids, coded = list(kept(counted, *COUNTS).values()), list(kept(told, *EVENTS).values())
    whole = kept_events.whole(coded) if coded else None
    cutoff = None if day is None else date(2023, 12, 9) + timedelta(days=day)
    some_events, some_counts = events if len(events) else None, counts if len(counts) else None
    some_coded = whole if whole is not None and len(whole) else None
    some_grids = grids if any(grid.rows for grid in grids) else None
    if cutoff is None:
        try:
            cutoff = last_complete_day(some_events, some_counts, funnel, fresh_until=None)
        except NearcastError as error:
            with pytest.raises(type(error)):
                last_complete_day(some_coded, some_grids, funnel, fresh_until=None)
            return
        assert last_complete_day(some_coded, some_grids, funnel, fresh_until=None) == cutoff
    assert_same(outcome(funnel, some_coded, some_grids, cutoff), outcome(funnel, some_events, some_counts, cutoff))


@settings(max_examples=60, deadline=None)
@given(counted=count_uploads, told=event_uploads)
def test_equal_rows_make_equal_bytes_whatever_was_there_before_them(counted, told):
    for uploads, (make, update, to_bytes, from_bytes) in ((counted, COUNTS), (told, EVENTS)):
        parts = kept(uploads, make, update, to_bytes, from_bytes)
        once = kept([dict(final(uploads))], make, update, to_bytes, from_bytes)
        filled = {number: to_bytes(part) for number, part in parts.items() if size(part)}
        assert filled == {number: to_bytes(part) for number, part in once.items()}


def test_counts_at_times_of_their_own_are_not_kept_as_a_grid():
    rows = [((f"s{series}", "visit", hour), (1, np.nan)) for series in range(40) for hour in [series]]
    with pytest.raises(kept_counts.ScatteredError):
        kept_counts.updated(None, counts_of(rows), retracted=np.zeros(len(rows), dtype=np.bool_))


def test_a_damaged_part_is_not_read():
    payload = bytearray(kept_counts.bytes_from_counts(kept([{("a", "visit", 0): (1, np.nan)}], *COUNTS)[615]))
    payload[-3] ^= 1
    with pytest.raises(DamagedPayloadError):
        kept_counts.counts_from_bytes(bytes(payload))
