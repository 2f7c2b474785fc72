"""A rehearsed upload tells what the upload does, on each engine, and leaves the store as it was."""

from __future__ import annotations

import io
import json

import sqlalchemy as sa

from service.ingest import IngestOptions, guess_columns, head_of, ingest, rehearse
from service.store.funnels import find_funnel
from service.store.tables import metadata


def whole(database):
    """Every row of every table."""
    with database.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(sa.select(table)).all()))
            for table in metadata.sorted_tables
        }


def stream(text):
    return io.BytesIO(text.encode())


def test_a_rehearsal_says_what_the_upload_then_does_and_stores_nothing(database, sales_events):
    empty = whole(database)
    seen = rehearse(database, "sales", stream(sales_events), kind="events", options=IngestOptions())
    assert whole(database) == empty
    done = ingest(database, "sales", stream(sales_events))
    assert json.loads(json.dumps(seen.report.as_json())) == json.loads(json.dumps(done.as_json()))
    with database.read() as connection:
        record = find_funnel(connection, "sales")
    assert record is not None
    assert seen.funnel == record.funnel
    assert not seen.known
    assert set(seen.segments) == {"north", "south"}
    assert sum(seen.segments.values()) == sum(seen.stages.values()) == done.rows


def test_a_rehearsal_of_revisions_leaves_what_is_stored(database, sales_events):
    ingest(database, "sales", stream(sales_events))
    before = whole(database)
    changed = sales_events.replace("north", "west", 50)
    seen = rehearse(database, "sales", stream(changed), kind="events", options=IngestOptions())
    assert whole(database) == before
    assert seen.known
    assert seen.report.revised == 50
    assert seen.report.upload == 2


def test_the_head_of_a_file_tells_columns_and_what_they_may_be():
    text = "Deal ID,status,Changed at,Amount\nd1,open,2026-01-01T10:00Z,5\nd2,won,2026-01-02T10:00Z,6\n"
    head = head_of(stream(text), max_bytes=1000)
    assert list(head) == ["Deal ID", "status", "Changed at", "Amount"]
    mapping, wide = guess_columns(head, "events")
    assert mapping == {"entity_id": "Deal ID", "stage": "status", "ts": "Changed at", "value": "Amount"}
    assert wide == {}


def test_stages_of_a_table_with_one_row_per_entity_come_in_the_order_of_how_many_reach_them():
    text = "id,won_on,lead_date,amount\n1,,2026-01-01,5\n2,2026-02-01,2026-01-02,6\n3,,2026-01-02,\n"
    mapping, wide = guess_columns(head_of(stream(text), max_bytes=1000), "events")
    assert mapping == {"entity_id": "id", "value": "amount"}
    assert list(wide.items()) == [("lead", "lead_date"), ("won", "won_on")]
