"""The row gate: what passes unchanged, what is mended and counted, what is refused and where."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from models.calendar import number_from_day
from models.errors import InputError, Problem
from models.rows import NO_DAY, Counts, Events, RowGate, counts_from_frame, events_from_frame
from service.store.instants import micros_from_datetime


def frame(**columns):
    given = {"entity_id": ["a"], "stage": ["lead"], "ts": ["2024-03-01T09:30:00Z"]} | columns
    size = max(len(column) for column in given.values())
    return pd.DataFrame({name: list(column) * (size // len(column)) for name, column in given.items()}, dtype=object)


def events(timezone="UTC", segment_by=None, repairs=None, latest=None, **columns):
    return events_from_frame(frame(**columns), timezone=timezone, segment_by=segment_by, repairs=repairs, latest=latest)


def counts(y, ds=("2024-03-01",), timezone="UTC", **columns):
    size = len(y)
    given = {"ds": list(ds) * (size // len(ds)), "stage": ["visits"] * size, "y": list(y)} | columns
    return counts_from_frame(pd.DataFrame(given, dtype=object), timezone=timezone, segment_by=None)


def problems_of(call, **arguments) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as caught:
        call(**arguments)
    return caught.value.problems


def micros(*parts, tz=UTC):
    return micros_from_datetime(datetime(*parts, tzinfo=tz))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-03-01T09:30:00Z", (2024, 3, 1, 9, 30)),
        ("2024-03-01 09:30:00+01:00", (2024, 3, 1, 8, 30)),
        ("2024-03-01 09:30:00.25-0530", (2024, 3, 1, 15, 0, 0, 250_000)),
        ("2024-03-01T09:30+01", (2024, 3, 1, 8, 30)),
        ("2024-03-01 09:30:00 UTC", (2024, 3, 1, 9, 30)),
        ("2024/03/01 09:30", (2024, 3, 1, 9, 30)),
        ("2024-03-01", (2024, 3, 1)),
        (" 2024-02-29 23:59:59.999999999 ", (2024, 2, 29, 23, 59, 59, 999_999)),
    ],
)
def test_times_are_read_to_the_microsecond_with_the_zone_they_bear(text, instant):
    assert events(ts=[text]).ts.tolist() == [micros(*instant)]


@pytest.mark.parametrize(
    "text",
    [
        *("", "13/02/2024", "2023-02-29", "2024-13-01", "2024-03-01T24:00", "1709285400", "soon", "NaT", "1e999"),
        *("\uff12\uff10\uff12\uff14-03-01", "2024-03-01T09:30:00+25:00", "2024-03-01\0", "2024-3-1"),
    ],
)
def test_what_is_no_time_is_refused_with_line_and_field(text):
    (problem,) = problems_of(events, ts=["2024-03-01", text])
    assert (problem.line, problem.field) == (3, "ts")
    assert "time" in problem.reason
    assert problem.remedy


def test_naive_times_are_read_in_the_zone_of_the_funnel():
    assert events(timezone="Europe/Amsterdam", ts=["2024-07-01 12:00"]).ts.tolist() == [micros(2024, 7, 1, 10)]
    assert events(timezone="America/New_York", ts=["2024-01-01"]).ts.tolist() == [micros(2024, 1, 1, 5)]


def test_hours_that_the_clock_repeats_or_skips_are_kept_and_counted():
    repairs = Counter()
    texts = [f"2024-10-27 02:{minute:02}" for minute in range(60)] + [f"2024-03-31 02:{m:02}" for m in range(60)]
    ids = [str(row) for row in range(120)]
    found = events(timezone="Europe/Amsterdam", entity_id=ids, ts=texts, repairs=repairs)
    assert len(found) == 120
    assert repairs == {"clock_change": 120}


def test_naive_and_zoned_times_in_one_file_are_refused():
    (problem,) = problems_of(events, ts=["2024-03-01 10:00", "2024-03-01 10:00Z"])
    assert (problem.line, problem.field) == (3, "ts")
    assert "line 2" in problem.reason


def test_a_file_that_is_read_in_parts_is_one_file_for_the_zone_of_its_times():
    gate = RowGate(timezone="UTC", segment_by=None)
    for line, text in enumerate(["2024-03-01 10:00", "2024-03-02 10:00", "2024-03-03 10:00Z"], 2):
        gate.events({"entity_id": ["a"], "stage": ["lead"], "ts": [text]}, lines=np.array([line]))
    with pytest.raises(InputError, match=r"line 4, field ts: .* the one on line 2 bears none"):
        gate.problems.check()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1969-12-31", "before 1970"),
        ("0001-01-01", "before 1970"),
        ("2034-03-05", "too far in the future"),
        ("9999-12-31", "too far in the future"),
    ],
)
def test_times_before_1970_or_ten_years_ahead_are_refused(text, reason):
    (problem,) = problems_of(events, ts=[text], latest=micros(2024, 3, 1), timezone="Europe/Amsterdam")
    assert problem.line == 2
    assert reason in problem.reason


def test_a_time_some_years_ahead_is_kept_and_counted():
    repairs = Counter()
    assert len(events(ts=["2026-03-01"], latest=micros(2024, 3, 1), repairs=repairs)) == 1
    assert repairs == {"in_future": 1}


@pytest.mark.parametrize("text", ["-1", "1.5", "nan", "NaN", "inf", "-inf", "1e999", "", "abc", "1_000", "1,000", "٣",
                                  "0x10", "true", "1e16"])  # fmt: skip
def test_what_is_no_count_is_refused_with_line_and_field(text):
    (problem,) = problems_of(counts, y=["3", text], ds=("2024-03-01", "2024-03-02"))
    assert (problem.line, problem.field) == (3, "y")


@pytest.mark.parametrize("value", [-1, 1.5, float("nan"), float("inf"), None, True])
def test_typed_counts_are_refused_like_written_ones(value):
    (problem,) = problems_of(counts, y=[value])
    assert (problem.line, problem.field) == (2, "y")


def test_whole_numbers_are_counts_however_written():
    found = counts(["0", "12", " 7 ", "12.0", "1e3"], ds=[f"2024-03-0{day}" for day in range(1, 6)])
    assert found.y.tolist() == [0, 12, 7, 12, 1000]


def test_a_value_is_any_finite_number_and_may_be_missing():
    found = events(entity_id=list("abc"), value=["12.5", "", "-3"])
    assert_array_equal(found.value, [12.5, np.nan, -3])
    for text in ("1e999", "nan", "€ 5", "1,5"):
        (problem,) = problems_of(events, value=[text])
        assert (problem.line, problem.field) == (2, "value")


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_value_that_no_money_can_be_is_refused(sign):
    assert events(value=[f"{sign}1e15"]).value.tolist() == [float(f"{sign}1e15")]
    (problem,) = problems_of(events, value=[f"{sign}1.1e15"])
    assert problem.field == "value"


def test_without_a_present_instant_times_up_to_2090_are_taken():
    assert events(ts=["2089-12-31"]).ts.tolist() == [micros(2089, 12, 31)]
    (problem,) = problems_of(events, ts=["2091-01-01"])
    assert problem.field == "ts"


def test_due_days_are_cut_in_the_zone_of_the_funnel_and_placeholders_are_none():
    repairs = Counter()
    texts = ["2024-05-01", "2024-05-01T23:30:00Z", "", "9999-12-31", "1900-01-01"]
    latest = micros(2024, 3, 2)
    found = events(timezone="Europe/Amsterdam", entity_id=list("abcde"), due_on=texts, repairs=repairs, latest=latest)
    assert found.due_on.tolist() == [
        number_from_day(date(2024, 5, 1)), number_from_day(date(2024, 5, 2)), NO_DAY, NO_DAY, NO_DAY,
    ]  # fmt: skip
    assert repairs == {"due_on_placeholder": 2}
    (problem,) = problems_of(events, due_on=["tomorrow"])
    assert (problem.line, problem.field) == (2, "due_on")


@pytest.mark.parametrize(
    "name", ["NA", "null", "None", "nan", "🦆", "عميل-17", "שלום", "a,b", 'say "hi"', "x" * 200, "0"]
)
def test_any_text_is_an_id_and_a_segment(name):
    found = events(entity_id=[name], region=[name], segment_by="region")
    assert found.entity_id.tolist() == [name]
    assert found.segment.tolist() == [name]


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "x" * 300, "a\0b", "\ud800"])
@pytest.mark.parametrize("field", ["entity_id", "stage"])
def test_names_that_are_empty_too_long_or_no_text_are_refused(field, name):
    (problem,) = problems_of(events, **{field: [name]})
    assert (problem.line, problem.field) == (2, field)


def test_an_empty_segment_becomes_unknown_and_is_counted():
    repairs = Counter()
    found = events(entity_id=list("abc"), region=["north", "", " "], segment_by="region", repairs=repairs)
    assert found.segment.tolist() == ["north", "unknown", "unknown"]
    assert repairs == {"segment_unknown": 2}


def test_the_reserved_segment_is_refused():
    (problem,) = problems_of(events, region=["total"], segment_by="region")
    assert (problem.line, problem.field) == (2, "region")
    assert "total" in problem.reason


def test_rows_have_no_segment_without_a_column_for_it():
    assert events(region=["north"]).segment.tolist() == [""]


def test_a_missing_column_is_named_with_the_nearest_one():
    table = frame().rename(columns={"entity_id": "Entity ID"}).assign(region="x")
    with pytest.raises(InputError, match=r"'entity_id'.*did you mean 'Entity ID'"):
        events_from_frame(table, timezone="UTC", segment_by=None)
    with pytest.raises(InputError, match=r"'regio'.*did you mean 'region'"):
        events_from_frame(frame(region=["x"]), timezone="UTC", segment_by="regio")


def test_a_column_that_is_there_twice_is_refused():
    table = frame()
    table.insert(0, "ts", ["2024-01-01"], allow_duplicates=True)
    with pytest.raises(InputError, match="more than once"):
        events_from_frame(table, timezone="UTC", segment_by=None)


def test_typed_columns_mean_the_same_as_their_texts():
    texts = ["2024-03-01 09:30:00", "2024-07-01 00:00:00"]
    ids = [7, 8]
    written = events(timezone="Europe/Amsterdam", entity_id=["7", "8"], ts=texts, value=["1.5", ""])
    naive = events_from_frame(
        pd.DataFrame({"entity_id": ids, "stage": "lead", "ts": pd.to_datetime(texts), "value": [1.5, np.nan]}),
        timezone="Europe/Amsterdam", segment_by=None,
    )  # fmt: skip
    zoned = events_from_frame(
        pd.DataFrame({"entity_id": ids, "stage": pd.Categorical(["lead", "lead"]), "value": [1.5, None],
                      "ts": pd.to_datetime(texts).tz_localize("Europe/Amsterdam")}),
        timezone="UTC", segment_by=None,
    )  # fmt: skip
    for found in (naive, zoned):
        assert found.entity_id.tolist() == ["7", "8"]
        assert_array_equal(found.ts, written.ts)
        assert_array_equal(found.value, written.value)


def test_dates_and_missing_times_in_frames_are_seen():
    table = pd.DataFrame({"ds": [date(2024, 3, 1), date(2024, 3, 2)], "stage": "visits", "y": [1, 2]})
    assert counts_from_frame(table, timezone="UTC", segment_by=None).ds.tolist() == [
        micros(2024, 3, 1), micros(2024, 3, 2),
    ]  # fmt: skip
    table = frame(entity_id=list("ab")).assign(ts=pd.to_datetime(["2024-03-01", None]))
    with pytest.raises(InputError, match="line 3, field ts: the time is empty"):
        events_from_frame(table, timezone="UTC", segment_by=None)


def test_rows_that_repeat_are_kept_once_and_counted():
    repairs = Counter()
    assert len(events(entity_id=["a", "b", "a", "a"], repairs=repairs)) == 2
    assert repairs == {"duplicate_row": 2}


def test_the_same_key_with_two_values_is_refused_naming_both_lines():
    (problem,) = problems_of(events, entity_id=["a", "b", "a"], value=["1", "1", "2"])
    assert (problem.line, problem.field) == (4, "value")
    assert "line 2" in problem.reason
    (problem,) = problems_of(counts, y=["1", "2"])
    assert (problem.line, problem.field) == (3, "y")


def test_at_most_twenty_problems_are_told_in_the_order_of_lines():
    problems = problems_of(events, entity_id=[str(row) for row in range(50)], ts=["never"] * 50)
    assert [problem.line for problem in problems] == list(range(2, 22))


def test_no_rows_are_no_problem():
    assert len(events_from_frame(frame().head(0), timezone="UTC", segment_by=None)) == 0
    assert len(Events.concat([])) == len(Counts.none()) == 0


def test_rows_can_be_chosen_and_put_together():
    found = events(entity_id=list("abc"))
    assert found.take(np.array([True, False, True])).entity_id.tolist() == ["a", "c"]
    assert Events.concat([found, found.take(np.array([1]))]).entity_id.tolist() == ["a", "b", "c", "b"]
