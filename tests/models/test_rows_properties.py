"""Properties of the row gate, for any rows: none lost, none invented, order and repetition without effect."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from models.rows import Events, events_from_frame
from models.times import instants_from_local, local_from_instants
from service.store.instants import micros_from_datetime

ZONES = ("Europe/Amsterdam", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata")
CHANGES = [datetime(2024, month, day, 2, 30) for month, day in [(3, 31), (10, 27), (3, 10), (11, 3)]]  # noqa: DTZ001
"""Clock times that some of these zones skip or repeat."""
moments = st.datetimes(datetime(1975, 1, 1), datetime(2037, 1, 1))  # noqa: DTZ001


def micros(moment):
    return micros_from_datetime(moment.replace(tzinfo=UTC))


@given(st.sampled_from(ZONES), st.lists(moments, max_size=30))
def test_local_times_become_the_instants_that_zoneinfo_says(timezone, walls):
    walls = [*walls, *CHANGES]
    expected = [micros_from_datetime(wall.replace(tzinfo=ZoneInfo(timezone))) for wall in walls]
    found, _ = instants_from_local(np.array([micros(wall) for wall in walls]), timezone=timezone)
    assert found.tolist() == expected


@given(st.sampled_from(ZONES), st.lists(moments, max_size=30))
def test_instants_become_the_local_times_that_zoneinfo_says(timezone, instants):
    instants = [*instants, *CHANGES]
    local = [moment.replace(tzinfo=UTC).astimezone(ZoneInfo(timezone)).replace(tzinfo=None) for moment in instants]
    found = local_from_instants(np.array([micros(moment) for moment in instants]), timezone=timezone)
    assert found.tolist() == [micros(moment) for moment in local]


names = st.text(min_size=1, max_size=8).filter(
    lambda text: text.strip() and "\0" not in text and text.strip() != "total" and text.isprintable()
)
rows = st.lists(
    st.tuples(
        names,
        st.sampled_from(["lead", "won"]),
        st.datetimes(datetime(1971, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
        st.none() | st.floats(-1e12, 1e12),
        st.sampled_from(["", "north", "south"]),
    ),
    max_size=30,
    unique_by=lambda row: (row[0].strip(), row[1], row[2]),
)


def table_of(cells):
    columns = ["entity_id", "stage", "ts", "value", "region"]
    texts = [(i, s, t.isoformat(), "" if v is None else repr(v), r) for i, s, t, v, r in cells]
    return pd.DataFrame(texts, columns=columns, dtype=object)


def contents(found: Events):
    columns = (found.entity_id, found.stage, found.ts, np.nan_to_num(found.value, nan=-7e99), found.segment)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


@given(rows)
def test_no_row_is_lost_or_invented(cells):
    found = events_from_frame(table_of(cells), timezone="UTC", segment_by="region")
    expected = sorted(
        (i.strip(), s, micros_from_datetime(t.replace(tzinfo=UTC)), -7e99 if v is None else v, r or "unknown")
        for i, s, t, v, r in cells
    )
    assert contents(found) == expected


@given(rows, st.randoms())
def test_the_order_of_rows_does_not_matter(cells, random):
    mixed = list(cells)
    random.shuffle(mixed)
    read = [events_from_frame(table_of(t), timezone="Asia/Kolkata", segment_by="region") for t in (cells, mixed)]
    assert contents(read[0]) == contents(read[1])


@given(rows)
def test_rows_sent_twice_change_nothing(cells):
    once = events_from_frame(table_of(cells), timezone="UTC", segment_by="region")
    twice = events_from_frame(table_of(cells + cells), timezone="UTC", segment_by="region")
    assert contents(once) == contents(twice)


@given(st.lists(st.text(max_size=30) | st.sampled_from(["2024-03-01", "NaN", "1e999", "-1", "\ud800"]), max_size=8))
def test_whatever_is_written_the_gate_answers_with_rows_or_with_problems(texts):
    table = pd.DataFrame(dict.fromkeys(["entity_id", "stage", "ts", "value", "due_on"], texts), dtype=object)
    try:
        found = events_from_frame(table, timezone="Europe/Amsterdam", segment_by=None)
    except InputError as error:
        problems = error.problems
    else:
        assert len(found) <= len(texts)
        return
    assert 1 <= len(problems) <= 20
    assert all(problem.line is not None and problem.field for problem in problems)
