"""Formats: the same rows mean the same in all of them, and each says where it is broken."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa

from models.errors import InputError
from service.ingest import IngestOptions, ingest, pairs_from_text, parquet_rows
from service.store.database import Database

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

NOW = datetime(2024, 6, 1, tzinfo=UTC)
ROWS = [
    {"entity_id": "a,1", "stage": "lead", "ts": "2024-03-01T10:00:00Z", "value": 5.25, "due_on": "2024-04-01"},
    {"entity_id": 'b "x"', "stage": "lead", "ts": "2024-03-02T10:00:00.500Z", "value": None, "due_on": None},
    {"entity_id": "3", "stage": "won", "ts": "2024-03-03T10:00:00Z", "value": 7, "due_on": None},
]
CSV = (
    'entity_id,stage,ts,value,due_on\n"a,1",lead,2024-03-01T10:00:00Z,5.25,2024-04-01\n'
    '"b ""x""",lead,2024-03-02T10:00:00.500Z,,\n3,won,2024-03-03T10:00:00Z,7,\n'
)
OPTIONS = IngestOptions(stages=("lead", "won"), segment_by="")


@pytest.fixture
def database(tmp_path):
    with Database(f"sqlite:///{tmp_path / 'store.db'}") as database:
        database.migrate()
        yield database


def take(database, data, **arguments):
    data = data if isinstance(data, bytes) else data.encode()
    return ingest(database, "deals", io.BytesIO(data), now=NOW, **{"options": OPTIONS} | arguments)


def problems_of(database, data, **arguments):
    with pytest.raises(InputError) as caught:
        take(database, data, **arguments)
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM uploads")).scalar() == 0
    assert all(problem.remedy for problem in caught.value.problems)
    return [(problem.line, problem.field, problem.reason) for problem in caught.value.problems]


def parquet_bytes(table, **arguments):
    file = io.BytesIO()
    parquet.write_table(table, file, **arguments)
    return file.getvalue()


def rows_as_parquet():
    columns = {
        "entity_id": pa.array([row["entity_id"] for row in ROWS]).dictionary_encode(),
        "stage": pa.array([row["stage"] for row in ROWS]),
        "ts": pa.array([datetime.fromisoformat(row["ts"]) for row in ROWS], pa.timestamp("ns", "Europe/Amsterdam")),
        "value": pa.array([Decimal("5.25"), None, Decimal("7.00")], pa.decimal128(9, 2)),
        "due_on": pa.array([date(2024, 4, 1), None, None], pa.date32()),
        "tags": pa.array([["x"], [], None], pa.list_(pa.string())),
    }
    return parquet_bytes(pa.table(columns), row_group_size=2)


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (CSV, None),
        (CSV, "csv"),
        (gzip.compress(CSV.encode(), mtime=0), "csv"),
        ("\n".join(map(json.dumps, ROWS)), None),
        ("\r\n\r\n".join(map(json.dumps, reversed(ROWS))), "ndjson"),
        (gzip.compress("\n".join(map(json.dumps, ROWS)).encode(), mtime=0), "ndjson"),
        (json.dumps(ROWS), None),
        (b"\xef\xbb\xbf \n" + json.dumps(ROWS, indent=2).encode(), "json"),
        (rows_as_parquet(), None),
        (rows_as_parquet(), "parquet"),
        (gzip.compress(rows_as_parquet(), mtime=0), "parquet"),
    ],
)
def test_the_same_rows_mean_the_same_in_all_formats(database, data, format):  # noqa: A002
    take(database, CSV)
    report = take(database, data, format=format)
    assert (report.rows, report.unchanged) == (3, 3)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rows.csv", CSV.encode()),
        ("rows.CSV.GZ", gzip.compress(CSV.encode(), mtime=0)),
        ("rows.jsonl", "\n".join(map(json.dumps, ROWS)).encode()),
        ("rows.json", json.dumps(ROWS).encode()),
        ("rows.parquet", rows_as_parquet()),
        ("export", CSV.encode()),
    ],
)
def test_a_path_tells_its_format_by_its_ending(database, tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert ingest(database, "deals", tmp_path / name, now=NOW, options=OPTIONS).inserted == 3


def test_a_key_that_some_objects_lack_is_empty_there(database):
    rows = [{"entity_id": "a", "stage": "lead", "ts": "2024-03-01"}, {"ts": "2024-03-02", "entity_id": "b"}]
    assert [place[:2] for place in problems_of(database, json.dumps(rows, indent=1))] == [(7, "stage")]


def test_ids_may_be_numbers_in_json(database):
    take(database, '[{"entity_id": 7, "stage": "lead", "ts": "2024-03-01"}]')
    assert take(database, "entity_id,stage,ts\n7,lead,2024-03-01\n").unchanged == 1


def test_lines_of_json_are_those_of_the_file_or_the_place_in_the_array(database):
    good, bad = ROWS[0], {**ROWS[1], "ts": "never"}
    assert problems_of(database, json.dumps([good, good, bad]))[0][:2] == (3, "ts")
    assert problems_of(database, json.dumps([good, good, bad], indent=1))[0][:2] == (16, "ts")
    assert problems_of(database, "\n\n" + json.dumps(bad), format="ndjson")[0][:2] == (3, "ts")


def test_a_json_array_is_read_across_blocks(database):
    rows = [{"entity_id": f"é{number}", "stage": "lead", "ts": "2024-03-01"} for number in range(60_000)]
    assert take(database, json.dumps(rows, ensure_ascii=False)).inserted == 60_000


def test_rows_of_parquet_are_numbered_from_one(database):
    table = pa.table({"entity_id": ["a", "b"], "stage": ["lead", ""], "ts": ["2024-03-01", "2024-03-01"]})
    assert problems_of(database, parquet_bytes(table))[0][:2] == (2, "stage")


def test_counts_in_parquet_that_are_no_numbers_are_refused(database):
    table = pa.table({"ds": ["2024-03-01", "2024-03-02"], "stage": ["visits"] * 2, "y": [1.0, float("nan")]})
    assert problems_of(database, parquet_bytes(table), kind="counts")[0][:2] == (2, "y")


def test_a_column_of_lists_is_no_column(database):
    table = pa.table({"entity_id": ["a"], "stage": ["lead"], "ts": [["2024-03-01"]]})
    ((_, field, reason),) = problems_of(database, parquet_bytes(table))
    assert field == "ts"
    assert "no column 'ts'" in reason


def test_an_empty_parquet_file_has_a_header(database):
    table = pa.table({"entity_id": ["a"], "stage": ["lead"], "ts": ["2024-03-01"]}).slice(0, 0)
    assert take(database, parquet_bytes(table)).rows == 0


def test_a_parquet_file_that_takes_all_memory_kills_the_child_alone(database, monkeypatch):
    monkeypatch.setattr(parquet_rows, "MEMORY", 330 * 2**20)
    table = pa.table({"entity_id": ["x" * 100] * 200_000, "stage": ["lead"] * 200_000, "ts": ["2024"] * 200_000})
    huge = pa.table({"entity_id": ["x" * 2**26], "stage": ["lead"], "ts": ["2024-03-01"]})
    ((_, _, reason),) = problems_of(database, parquet_bytes(huge, use_dictionary=False, write_statistics=False))
    assert "memory" in reason
    assert len(problems_of(database, parquet_bytes(table))) == 20  # many rows are no trouble, wrong times are


def test_a_parquet_file_cut_short_is_refused(database):
    ((_, _, reason),) = problems_of(database, rows_as_parquet()[:-20])
    assert "cannot be read as Parquet" in reason
    ((_, _, reason),) = problems_of(database, gzip.compress(rows_as_parquet())[:-20], format="parquet")
    assert "cut short" in reason


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        ('{"entity_id":"a"', 1, "JSON"),
        ('{"entity_id":"a","stage":"s","ts":"2024-01-01"}\n[1]', 2, "object"),
        ('\n{"entity_id":"a","stage":"s","ts":"2024-01-01"} x', 2, "JSON"),
        ("null", 1, "object"),
        ('{"a":' + "[" * 100_000, 1, "JSON"),
        ('{"a":' + "1" * 6000 + "}", 1, "digits"),
        ("", 1, "empty"),
    ],
)  # fmt: skip
def test_what_is_no_ndjson_is_refused_with_the_line(database, data, line, words):
    ((found, _, text),) = problems_of(database, data, format="ndjson")
    assert found == line
    assert words in text


ONE = '{"entity_id": "a", "stage": "lead", "ts": "2024-03-01"}'


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (f"[{ONE}]\n[{ONE}]", 2, "follows the end of the JSON array"),
        (f"[{ONE}] trailing", 1, "follows the end of the JSON array"),
        (f"[{ONE}],", 1, "follows the end of the JSON array"),
        (f"[\n{ONE}\n{ONE}]", 3, "where a comma or the end"),
        (f"[{ONE},\n,{ONE}]", 2, "',' stands where an object is due"),
        (f"[,{ONE}]", 1, "',' stands where an object is due"),
        (f"[{ONE},\n\n]", 3, "']' stands where an object is due"),
        (f"[{ONE}]" + " " * (1 << 20) + "\nx", 2, "follows the end of the JSON array"),
    ],
)
def test_nothing_in_or_behind_a_json_array_is_passed_over(database, data, line, words):
    ((found, _, text),) = problems_of(database, data, format="json")
    assert (found, words in text) == (line, True), text


def test_space_behind_a_json_array_is_nothing(database):
    assert take(database, f"[{ONE}]\r\n\t " + "\n" * (1 << 20), format="json").inserted == 1


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        ("", 1, "empty"),
        ("[]", 1, "empty"),
        ("7", 1, "no array"),
        ('{"entity_id":"a"}', 1, "no array"),
        ("[\n1]", 2, "object"),
        ('[\n{"entity_id": "a"', 2, "cut short"),
        ('[{"entity_id": "a",\n"stage" "x"}, {"entity_id": "this one is long enough"}]', 2, "JSON"),
        ('[{"a":' + "[" * 100_000, 1, "JSON"),
        ('[{"a":"' + "x" * 3_000_000, 1, "longer"),
    ],
)
def test_what_is_no_json_array_is_refused_with_the_line(database, data, line, words):
    ((found, _, text),) = problems_of(database, data, format="json")
    assert found == line
    assert words in text


def test_half_of_a_surrogate_pair_is_refused(database):
    one = {"entity_id": "a\ud800", "stage": "lead", "ts": "2024-03-01"}
    ((line, field, _),) = problems_of(database, json.dumps(one), format="ndjson")
    assert (line, field) == (1, "entity_id")


@pytest.mark.parametrize("data", [b"PAR1" + b"\0" * 300, b"PAR1" + b"\xff" * 400 + b"PAR1", b"PAR1"])
def test_what_only_looks_like_parquet_is_refused(database, data):
    ((_, _, text),) = problems_of(database, data)
    assert "Parquet" in text or "memory" in text


def test_pairs_are_read_from_text():
    assert pairs_from_text(" a = b ,c=d e", field="map") == {"a": "b", "c": "d e"}
    for text in ("a", "a=", "=b", "a=b,,c=d", "a=b,a=c"):
        with pytest.raises(InputError, match="field map"):
            pairs_from_text(text, field="map")
