"""Bad input: each kind is refused with line and field, and the store stays as it was, or is mended and counted."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from models.errors import FunnelError, InputError
from service.ingest import IngestOptions, ingest
from service.store.database import Database
from service.store.tables import metadata

NOW = datetime(2024, 6, 1, tzinfo=UTC)
HEADER = "entity_id,stage,ts,value,region\n"
GOOD = HEADER + "a,lead,2024-03-01,1,north\na,won,2024-03-04,2,north\nb,lead,2024-03-02,3,south\n"


@pytest.fixture
def database(tmp_path):
    with Database(f"sqlite:///{tmp_path / 'store.db'}") as database:
        database.migrate()
        take(database, GOOD, options=IngestOptions(stages=("lead", "won"), exits=("lost",), segment_by="region"))
        yield database


def take(database, data, *, kind="events", funnel="deals", **arguments):
    data = data.encode() if isinstance(data, str) else data
    return ingest(database, funnel, io.BytesIO(data), kind=kind, now=NOW, **arguments)


def contents(database):
    with database.read() as connection:
        return {table.name: sorted(map(repr, connection.execute(sa.select(table)))) for table in metadata.sorted_tables}


def refused(database, data, error=InputError, **arguments):
    """The problems (line, field, text) of an upload that must leave the store as it was."""
    before = contents(database)
    with pytest.raises(error) as caught:
        take(database, data, **arguments)
    assert contents(database) == before
    if error is FunnelError:
        return [(None, caught.value.field, str(caught.value))]
    assert all(problem.remedy for problem in caught.value.problems)
    return [(problem.line, problem.field, str(problem)) for problem in caught.value.problems]


def row(**changes):
    cells = {"entity_id": "c", "stage": "lead", "ts": "2024-03-05", "value": "4", "region": "north"} | changes
    return HEADER + "d,lead,2024-03-05,1,north\n" + ",".join(cells.values()) + "\n"


@pytest.mark.parametrize("column", ["entity_id", "stage", "ts", "region"])
def test_a_missing_column_is_refused_with_the_nearest_name(database, column):
    ((line, field, text),) = refused(database, GOOD.replace(column, f"my {column}"))
    assert (line, field) == (1, column)
    assert f"did you mean 'my {column}'?" in text


def test_a_mapping_from_or_to_an_unknown_column_is_refused_with_the_nearest_name(database):
    ((_, field, text),) = refused(database, GOOD, options=IngestOptions(mapping={"entity_id": "entity"}))
    assert field == "map entity_id"
    assert "did you mean 'entity_id'?" in text
    ((_, field, text),) = refused(database, GOOD, options=IngestOptions(mapping={"entity": "entity_id"}))
    assert field == "map"
    assert "did you mean 'entity_id'?" in text
    ((_, field, text),) = refused(database, GOOD, options=IngestOptions(wide={"lead": "tz"}))
    assert field == "wide"
    assert "did you mean 'ts'?" in text


def test_an_unknown_column_is_ignored_and_named(database):
    report = take(database, GOOD.replace("\n", ",7\n").replace("region,7", "region,shoe size"))
    assert "ignored columns: shoe size" in report.notes


@pytest.mark.parametrize("ts", ["yesterday", "", "03/05/2024", "2024-02-30", "2034-09-01", "9999-12-31", "1969-12-31"])
def test_a_time_that_cannot_be_is_refused(database, ts):
    ((line, field, _),) = refused(database, row(ts=ts))
    assert (line, field) == (3, "ts")


def test_naive_and_zoned_times_mixed_are_refused(database):
    ((line, field, text),) = refused(database, row(ts="2024-03-05T00:00:00Z"))
    assert (line, field) == (3, "ts")
    assert "line 2" in text


@pytest.mark.parametrize("y", ["-1", "NaN", "inf", "-Infinity", "1e999", "0.5", "", "many"])
def test_a_count_that_cannot_be_is_refused(database, y):
    data = f"ds,stage,y,region\n2024-03-01,visits,5,north\n2024-03-02,visits,{y},north\n"
    ((line, field, _),) = refused(database, data, kind="counts")
    assert (line, field) == (3, "y")


@pytest.mark.parametrize("y", ["-1", "NaN", "Infinity", "1e999", "0.5", "null", "true", '"many"', "{}", "[1]"])
def test_a_count_that_cannot_be_is_refused_in_json_too(database, y):
    rows = ['{"ds":"2024-03-01","stage":"visits","y":5,"region":"north"}']
    rows.append(rows[0].replace("-01", "-02").replace(":5", f":{y}"))
    ((line, field, _),) = refused(database, "\n".join(rows), kind="counts", format="ndjson")
    assert (line, field) == (2, "y")
    ((line, field, _),) = refused(database, "[" + ",\n".join(rows) + "]", kind="counts", format="json")
    assert (line, field) == (2, "y")


def test_duplicate_rows_are_kept_once_and_counted(database):
    report = take(database, row() + row().removeprefix(HEADER))
    assert (report.inserted, report.duplicates) == (2, 2)
    assert report.repairs["duplicate_row"] == 2


def test_the_same_key_with_two_values_in_one_file_is_refused_naming_both_lines(database):
    ((line, field, text),) = refused(database, row() + "c,lead,2024-03-05,5,north\n")
    assert (line, field) == (4, "value")
    assert "line 3" in text
    counts = "ds,stage,y,region\n2024-03-01,visits,5,north\n2024-03-01,visits,6,north\n"
    ((line, field, text),) = refused(database, counts, kind="counts")
    assert (line, field) == (3, "y")
    assert "line 2" in text


def test_an_exit_before_its_stage_is_taken_and_counted(database):
    report = take(database, HEADER + "x,lost,2024-03-01,,north\nx,lead,2024-03-02,,north\n")
    assert report.inserted == 2
    assert report.repairs == {"exit_before_entry": 1}


def test_stages_out_of_order_are_taken_and_counted(database):
    report = take(database, HEADER + "x,won,2024-03-01,,north\nx,lead,2024-03-02,,north\n")
    assert report.inserted == 2
    assert report.repairs == {"out_of_order": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.encode("utf-16"),
        b"\xfe\xff" + GOOD.encode("utf-16-be"),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("\n", "\n\n").encode(),
        (GOOD + ",,,,\n\n").encode(),
        GOOD.removesuffix("\n").encode(),
        GOOD.replace(",", ";").encode(),
        GOOD.replace(",", "\t").encode(),
        "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in GOOD.splitlines()).encode(),
        gzip.compress(GOOD.encode()),
        gzip.compress(GOOD[:60].encode()) + gzip.compress(GOOD[60:].encode()),
    ],
    ids=["BOM", "UTF-16 LE", "UTF-16 BE", "CRLF", "blank lines", "empty rows", "no last line end", "semicolons",
         "tabs", "quotes", "gzip", "gzip in two members"],
)  # fmt: skip
def test_the_same_rows_in_other_clothes_change_nothing(database, data):
    report = take(database, data)
    assert (report.rows, report.unchanged, report.inserted, report.revised) == (3, 3, 0, 0)


def test_rows_without_any_content_are_counted(database):
    assert take(database, GOOD + ",,,,\n").repairs == {"empty_row": 1}


def test_a_field_may_hold_line_ends_and_lines_are_still_counted_rightly(database):
    data = HEADER + '"a\nb",lead,2024-03-01,1,north\n"c\r\nd",lead,2024-03-01,1,north\n\ne,lead,never,1,north\n'
    ((line, field, _),) = refused(database, data)
    assert (line, field) == (7, "ts")
    assert take(database, data.replace("never", "2024-03-01")).inserted == 3


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (GOOD.encode()[:-4] + b"\0" + GOOD.encode()[-4:], 4, "NUL"),
        (GOOD.encode("utf-16-le"), 1, "NUL"),
        (GOOD.encode() + b"\xff\xfe,lead,2024-03-01,1,north\n", 5, "UTF-8"),
        (GOOD.encode() + "Zoë,lead,2024-03-01,1,north\n".encode("cp1252"), 5, "UTF-8"),
        (GOOD.encode() + b"z,lead,2024-03-01\n", 5, "3 fields"),
        (GOOD.encode() + b"z,lead,2024-03-01,1,north,6\n", 5, "6 fields"),
        (GOOD.encode() + b'z,lead,2024-03-01,1,"north\n', 5, "quote"),
        (GOOD.encode() + b'z,lead,2024-03-01,1,"no"rth\n', 5, "quotes"),
        (GOOD.encode() + b"z" * 2_000_000, 5, "longer than"),
        (GOOD.replace("\n", "\r").encode(), 1, "carriage return"),
        (b"", 1, "empty"),
        (b"\n" + GOOD.encode(), 1, "empty"),
        (GOOD.encode().replace(b"value", b"stage"), 1, "more than once"),
    ],
    ids=["NUL", "UTF-16 without BOM", "bytes", "Windows", "too few", "too many", "open quote", "broken quote",
         "long line", "old Mac", "empty file", "empty first line", "column twice"],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused_with_the_line(database, data, line, words):
    ((found, _, text),) = refused(database, data)
    assert found == line
    assert words in text


@pytest.mark.parametrize("keep", [9, 30, -9, -1])
def test_gzip_data_cut_short_is_refused(database, keep):
    ((_, _, text),) = refused(database, gzip.compress(GOOD.encode())[:keep])
    assert "cut short" in text


def test_damaged_gzip_data_is_refused(database):
    data = bytearray(gzip.compress(GOOD.encode() * 50, mtime=0))
    data[-6] ^= 1
    ((_, _, text),) = refused(database, bytes(data))
    assert "damaged" in text
    data = bytearray(gzip.compress(GOOD.encode()))
    data[10] = 7  # a block type that does not exist
    ((_, _, text),) = refused(database, bytes(data))
    assert "damaged" in text


def test_an_upload_larger_than_allowed_is_refused_after_decompression(database):
    data = gzip.compress((GOOD * 100).encode())
    ((_, _, text),) = refused(database, data, options=IngestOptions(max_bytes=2000))
    assert "2,000 bytes" in text


@pytest.mark.parametrize("name", ["NA", "null", "🦆👩‍👩‍👧", "عميل", "שלום עולם", "=1+1", "O'Brien; DROP TABLE events"])
def test_any_text_is_an_id_and_a_segment_and_is_stored_as_it_is(database, name):
    assert take(database, row(entity_id=name, region=name)).inserted == 2
    with database.read() as connection:
        query = sa.text("SELECT segment FROM events WHERE entity_id = :name")
        assert connection.execute(query, {"name": name}).scalars().all() == [name]


@pytest.mark.parametrize("field", ["entity_id", "stage", "region"])
def test_names_of_300_characters_are_refused(database, field):
    ((line, found, text),) = refused(database, row(**{field: "é" * 300}))
    assert (line, found) == (3, field)
    assert "300 characters" in text


@pytest.mark.parametrize("field", ["entity_id", "stage"])
def test_empty_names_are_refused(database, field):
    ((line, found, _),) = refused(database, row(**{field: " "}))
    assert (line, found) == (3, field)


def test_an_empty_segment_becomes_unknown_and_is_counted(database):
    assert take(database, row(region="")).repairs == {"segment_unknown": 1}


def test_the_reserved_segment_is_refused(database):
    ((line, field, _),) = refused(database, row(region="total"))
    assert (line, field) == (3, "region")


def test_up_to_twenty_problems_are_told_at_once_also_from_far_apart(database):
    rows = [f"e{number},lead,2024-03-05,1,north" for number in range(60_000)]
    for number in (10, 30_000, 59_990):
        rows[number] = rows[number].replace("2024", "24")
    assert [line for line, _, _ in refused(database, HEADER + "\n".join(rows))] == [12, 30_002, 59_992]
    assert len(refused(database, HEADER + "x,lead,never,1,north\n" * 500)) == 20


def test_a_funnel_with_one_stage_and_one_day_of_rows_is_taken(database):
    data = "entity_id,stage,ts\n" + "".join(f"e{number},signup,2024-03-01\n" for number in range(5))
    assert take(database, data, funnel="tiny").inferred["stages"] == ("signup",)


def test_counts_that_are_all_zero_and_gaps_of_sixty_days_are_taken(database):
    days = ["2024-01-01", "2024-01-02", "2024-03-03", "2024-03-04"]
    data = "ds,stage,y\n" + "".join(f"{day},visits,0\n" for day in days)
    assert take(database, data, kind="counts", funnel="silent").inserted == 4


def test_a_header_without_rows_is_no_error_once_the_funnel_is_known(database):
    assert take(database, HEADER).rows == 0


def test_a_header_without_rows_cannot_tell_what_the_funnel_is(database):
    ((_, field, text),) = refused(database, HEADER, error=FunnelError, funnel="new")
    assert field == "stages"
    assert "no rows" in text


def test_an_excel_workbook_is_refused_with_the_remedy(database):
    ((_, _, text),) = refused(database, b"PK\x03\x04" + b"\0" * 100)
    assert "export it as CSV" in text


def test_a_file_that_is_not_there_is_refused(database, tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        ingest(database, "deals", tmp_path / "none.csv", now=NOW)


@pytest.mark.parametrize("name", ["", "a b", "../deals", "x" * 65, "-x"])
def test_a_name_that_cannot_stand_in_an_address_is_refused(database, name):
    ((_, field, _),) = refused(database, GOOD, error=FunnelError, funnel=name)
    assert field == "name"


def test_a_freshness_in_the_future_is_refused(database):
    options = IngestOptions(fresh_until=datetime(2024, 6, 2, tzinfo=UTC))
    ((_, field, _),) = refused(database, row(), options=options)
    assert field == "fresh_until"


def test_a_zone_that_is_none_is_refused(database):
    ((_, field, _),) = refused(database, GOOD, error=FunnelError, options=IngestOptions(timezone="Mars/Base"))
    assert field == "timezone"


def test_another_zone_is_refused_where_naive_times_are_stored(database):
    options = IngestOptions(timezone="Asia/Tokyo")
    ((_, field, _),) = refused(database, GOOD, error=FunnelError, options=options)
    assert field == "timezone"


@pytest.mark.parametrize("funnel", ["deals", "another"])
def test_a_country_without_known_holidays_is_refused(database, funnel):
    options = IngestOptions(country="XX")
    ((_, field, _),) = refused(database, GOOD, error=FunnelError, options=options, funnel=funnel)
    assert field == "country"
