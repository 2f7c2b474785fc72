"""Taking in uploads: what is stored, what is inferred, and that sending again changes nothing."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import FunnelError, InputError
from models.funnel import Funnel
from service.ingest import IngestOptions, ingest
from service.store.database import Database
from service.store.funnels import declare_funnel, get_funnel, set_active_version
from service.store.instants import micros_from_datetime
from service.store.observations import read_counts, read_events
from service.store.uploads import list_uploads

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DECLARED = IngestOptions(stages=("lead", "won"), exits=("lost",), segment_by="")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    postgres = request.param == "postgresql"
    url = request.getfixturevalue("empty_postgres_url") if postgres else f"sqlite:///{tmp_path / 'store.db'}"
    with Database(url) as database:
        database.migrate()
        yield database


def take(database, text, *, options=None, kind="events", now=NOW, funnel="deals", **arguments):
    data = text if isinstance(text, bytes) else text.encode()
    return ingest(database, funnel, io.BytesIO(data), kind=kind, options=options, now=now, **arguments)


def record(database, funnel="deals"):
    with database.read() as connection:
        return get_funnel(connection, funnel)


def stored(database, funnel="deals", as_of=None):
    """Events that hold, as readable rows in order."""
    with database.read() as connection:
        found = read_events(connection, get_funnel(connection, funnel).id, as_of=as_of)
    days = (found.ts.astype("datetime64[us]")).astype("datetime64[D]").astype(str).tolist()
    values = [None if np.isnan(value) else value for value in found.value.tolist()]
    return sorted(zip(found.entity_id.tolist(), found.stage.tolist(), days, values, strict=True))


CSV = "entity_id,stage,ts\na,lead,2024-03-01\nb,lead,2024-03-02\na,won,2024-03-09\n"


def test_the_first_upload_declares_the_funnel_by_inference_and_says_so(database):
    report = take(database, CSV)
    assert (report.rows, report.inserted, report.upload) == (3, 3, 1)
    assert report.inferred["stages"] == ("lead", "won")
    assert any("lead → won" in note for note in report.notes)
    assert any("bear no zone" in note for note in report.notes)
    assert (record(database).inferred, record(database).naive_times) == (True, True)
    assert json.loads(json.dumps(report.as_json()))["rows"] == 3


def test_sending_a_file_again_changes_nothing(database):
    take(database, CSV)
    before = stored(database)
    report = take(database, CSV)
    assert (report.unchanged, report.inserted, report.revised, report.upload) == (3, 0, 0, 2)
    assert report.inferred is None
    assert stored(database) == before


def test_a_changed_row_is_a_revision_and_the_past_keeps_what_it_knew(database):
    take(database, "entity_id,stage,ts,value\na,lead,2024-03-01,5\n", options=DECLARED)
    report = take(database, "entity_id,stage,ts,value\na,lead,2024-03-01,6\n", now=NOW + timedelta(days=1))
    assert (report.revised, report.inserted) == (1, 0)
    assert stored(database) == [("a", "lead", "2024-03-01", 6.0)]
    assert stored(database, as_of=NOW + timedelta(hours=1)) == [("a", "lead", "2024-03-01", 5.0)]


def test_a_file_that_lacks_a_column_leaves_what_is_stored_there(database):
    take(database, "entity_id,stage,ts,value\na,lead,2024-03-01,5\n", options=DECLARED)
    assert take(database, "entity_id,stage,ts\na,lead,2024-03-01\n").unchanged == 1
    assert stored(database) == [("a", "lead", "2024-03-01", 5.0)]


def test_columns_are_mapped_by_name(database):
    text = "lead_id,status,created_at,Area,ts\na,lead,2024-03-01,north,x\nb,lead,2024-03-01,south,y\n"
    mapping = {"entity_id": "lead_id", "stage": "status", "ts": "created_at", "region": "Area"}
    report = take(database, text, options=IngestOptions(mapping=mapping, segment_by="region"))
    assert report.inserted == 2
    assert "ignored columns: ts" in report.notes
    assert record(database).funnel.segment_by == "region"


def test_errors_name_the_column_as_the_file_does(database):
    text = "lead_id,stage,created_at\na,lead,2024-03-01\nb,lead,soon\n"
    options = IngestOptions(mapping={"entity_id": "lead_id", "ts": "created_at"})
    with pytest.raises(InputError, match="line 3, field created_at"):
        take(database, text, options=options)


WIDE = IngestOptions(
    mapping={"entity_id": "id"}, wide={"lead": "created_at", "offer": "offered_on", "won": "closed_on"}, segment_by=""
)
GROWING = (
    "id,created_at,offered_on,closed_on\na,2024-03-01T10:00Z,,\nb,2024-03-02T10:00Z,2024-03-04,\n",
    "id,created_at,offered_on,closed_on\na,2024-03-01T10:00Z,2024-03-05,2024-03-07\n"
    "b,2024-03-02T10:00Z,2024-03-06,\nc,2024-03-06T10:00Z,,\n",
)


def test_a_wide_table_gives_one_event_for_each_date(database):
    report = take(database, GROWING[0], options=WIDE)
    assert (report.rows, report.inserted) == (3, 3)
    assert report.inferred["stages"] == ("lead", "offer", "won")
    assert stored(database) == [
        ("a", "lead", "2024-03-01", None),
        ("b", "lead", "2024-03-02", None),
        ("b", "offer", "2024-03-04", None),
    ]


def test_the_grown_wide_table_is_an_update(database):
    take(database, GROWING[0], options=WIDE)
    report = take(database, GROWING[1], options=WIDE, now=NOW + timedelta(days=1))
    assert (report.inserted, report.unchanged, report.retracted) == (4, 2, 1)
    expected = [
        ("a", "lead", "2024-03-01", None),
        ("a", "offer", "2024-03-05", None),
        ("a", "won", "2024-03-07", None),
        ("b", "lead", "2024-03-02", None),
        ("b", "offer", "2024-03-06", None),
        ("c", "lead", "2024-03-06", None),
    ]
    assert stored(database) == expected
    again = take(database, GROWING[1], options=WIDE, now=NOW + timedelta(days=2))
    assert (again.unchanged, again.inserted, again.revised, again.retracted) == (6, 0, 0, 0)
    assert stored(database) == expected
    assert len(stored(database, as_of=NOW + timedelta(hours=1))) == 3


def test_a_date_that_was_cleared_in_a_wide_table_is_taken_back(database):
    take(database, GROWING[0], options=WIDE)
    report = take(database, GROWING[0].replace("2024-03-04", ""), options=WIDE)
    assert (report.unchanged, report.retracted) == (2, 1)


def test_an_entity_whose_dates_were_all_cleared_is_taken_back_and_may_come_back(database):
    take(database, GROWING[0], options=WIDE)
    before = stored(database)
    lines = GROWING[0].splitlines()
    cleared = [",".join([line.split(",")[0], "", "", ""]) for line in lines[1:]]
    one = take(database, "\n".join([*lines[:2], cleared[1], cleared[1]]), options=WIDE, now=NOW + timedelta(days=1))
    assert (one.unchanged, one.retracted, one.repairs) == (1, 2, {"no_stage_reached": 2})
    assert [row[0] for row in stored(database)] == ["a"]
    both = take(database, "\n".join([lines[0], *cleared]), options=WIDE, now=NOW + timedelta(days=2))
    assert (both.rows, both.retracted) == (0, 1)
    assert stored(database) == []
    assert stored(database, as_of=NOW + timedelta(hours=1)) == before
    take(database, GROWING[0], options=WIDE, now=NOW + timedelta(days=3))
    assert stored(database) == before


def test_a_bare_row_beside_a_dated_one_of_the_same_entity_takes_nothing_back(database):
    take(database, GROWING[0], options=WIDE)
    report = take(database, GROWING[0] + "b,,,\n", options=WIDE)
    assert (report.unchanged, report.retracted) == (3, 0)


def test_a_wide_row_with_another_date_for_the_same_entity_is_refused_naming_both_lines(database):
    with pytest.raises(InputError, match=r"line 4, field offer: gives 'b' another date than line 3"):
        take(database, GROWING[0] + "b,2024-03-02T10:00Z,2024-03-05,\n", options=WIDE)


def test_wide_rows_without_any_date_are_counted(database):
    assert take(database, GROWING[0] + "z,,,\n", options=WIDE).repairs == {"no_stage_reached": 1}


def test_counts_come_long_or_wide(database):
    take(database, "ds,stage,y\n2024-03-01,visits,90\n2024-03-01,signups,9\n", kind="counts", funnel="long")
    options = IngestOptions(wide={"visits": "Visits", "signups": "Signups"})
    take(database, "ds,Visits,Signups\n2024-03-01,90,9\n", kind="counts", funnel="wide", options=options)
    for funnel in ("long", "wide"):
        assert record(database, funnel).funnel.stages == ("visits", "signups")
        with database.read() as connection:
            found = read_counts(connection, get_funnel(connection, funnel).id)
        assert sorted(zip(found.stage, found.y, strict=True)) == [("signups", 9.0), ("visits", 90.0)]


def test_counts_and_events_of_one_funnel_are_inferred_together(database):
    take(database, "ds,stage,y\n2024-03-01,visits,90\n", kind="counts")
    report = take(database, CSV)
    assert record(database).funnel.stages == ("visits", "lead", "won")
    assert report.inferred["stages"] == ("visits", "lead", "won")
    assert report.unknown_stages == {}


def test_stages_that_nobody_declared_are_stored_and_listed(database):
    take(database, CSV, options=DECLARED)
    report = take(database, "entity_id,stage,ts\na,trial,2024-03-03\nb,trial,2024-03-03\n")
    assert report.unknown_stages == {"trial": 2}
    assert any("trial (2 rows)" in note for note in report.notes)
    assert record(database).funnel.stages == ("lead", "won")
    assert len(stored(database)) == 5


def test_a_funnel_that_is_served_is_not_inferred_again(database):
    take(database, CSV)
    with database.write() as connection:
        set_active_version(connection, get_funnel(connection, "deals").id, 1)
    assert take(database, "entity_id,stage,ts\na,trial,2024-03-03\n").unknown_stages == {"trial": 1}
    assert record(database).funnel.stages == ("lead", "won")


def test_what_the_caller_says_overrides_what_was_inferred(database):
    take(database, CSV)
    take(database, CSV, options=IngestOptions(stages=("lead", "offer", "won"), exits=("lost",), due_stage="won"))
    found = record(database)
    assert (found.funnel.stages, found.funnel.exits, found.inferred) == (("lead", "offer", "won"), ("lost",), False)


def test_a_declared_funnel_stays_declared(database):
    declared = Funnel(("lead", "won"), segment_by="region", timezone="Asia/Kolkata", max_horizon=20)
    with database.write() as connection:
        declare_funnel(connection, "deals", declared, now=NOW)
    report = take(database, CSV.replace("\n", ",x\n").replace("ts,x", "ts,region"))
    assert report.inferred is None
    assert (record(database).funnel, record(database).inferred) == (declared, False)


def test_exits_and_segments_are_inferred_where_only_stages_are_said(database):
    rows = [f"e{i},{s},2024-03-0{d},{'north' if i % 2 else 'south'}" for i in range(9) for d, s in [(1, "lead")]]
    rows += [f"e{i},lost,2024-03-05,{'north' if i % 2 else 'south'}" for i in range(5)]
    rows += [f"e{i},won,2024-03-05,{'north' if i % 2 else 'south'}" for i in range(5, 9)]
    take(database, "entity_id,stage,ts,region\n" + "\n".join(rows), options=IngestOptions(stages=("lead", "won")))
    found = record(database).funnel
    assert (found.stages, found.exits, found.segment_by) == (("lead", "won"), ("lost",), "region")


def test_a_source_that_begins_to_write_zones_is_noticed(database):
    take(database, CSV)
    report = take(database, "entity_id,stage,ts\nz,lead,2024-03-01T00:00Z\n")
    assert any("check that no hour has shifted" in note for note in report.notes)


def test_freshness_is_declared_in_the_zone_of_the_funnel_or_is_the_present(database):
    options = IngestOptions(timezone="Asia/Tokyo", fresh_until=datetime(2024, 5, 1))  # noqa: DTZ001
    take(database, CSV, options=options)
    take(database, CSV)
    with database.read() as connection:
        second, first = list_uploads(connection, get_funnel(connection, "deals").id)
    assert micros_from_datetime(first.fresh_until) == micros_from_datetime(datetime(2024, 4, 30, 15, tzinfo=UTC))
    assert second.fresh_until == second.recorded_at == NOW + timedelta(microseconds=1)
    assert first.report["rows"] == 3
    assert (first.changed, second.changed) == (3, 0)


def test_a_funnel_declared_anew_while_an_upload_is_read_refuses_the_upload(database):
    take(database, CSV, options=DECLARED)

    def declare(_):
        with database.write() as connection:
            declare_funnel(connection, "deals", Funnel(("lead",), timezone="Asia/Tokyo"), now=NOW)

    with pytest.raises(FunnelError, match="send the upload again"):
        take(database, "entity_id,stage,ts\nz,lead,2024-03-01\n", progress=declare)
    assert len(stored(database)) == 3


ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["lead", "won", "lost"]), st.integers(1, 28), st.integers(0, 3)),
    max_size=12,
    unique_by=lambda row: row[:3],
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(uploads=st.lists(ROWS, min_size=1, max_size=4))
def test_after_any_uploads_the_store_holds_the_last_word_on_each_key(tmp_path_factory, uploads):
    expected = {}
    with Database(f"sqlite:///{tmp_path_factory.mktemp('store') / 'store.db'}") as database:
        database.migrate()
        for rows in uploads:
            text = "entity_id,stage,ts,value\n" + "".join(f"{e},{s},2024-03-{d:02},{v}\n" for e, s, d, v in rows)
            first, again = take(database, text, options=DECLARED), take(database, text)
            expected |= {(e, s, f"2024-03-{d:02}"): float(v) for e, s, d, v in rows}
            assert (first.rows, again.unchanged, again.inserted + again.revised) == (len(rows), len(rows), 0)
            assert stored(database) == sorted((*key, value) for key, value in expected.items())


def test_a_country_that_is_said_becomes_the_funnels(database):
    take(database, "entity_id,stage,ts\na,lead,2024-03-01\n", options=DECLARED)
    assert record(database).funnel.country is None
    take(database, "entity_id,stage,ts\nb,lead,2024-03-02\n", options=IngestOptions(country="DE-BY"))
    assert record(database).funnel.country == "DE-BY"
