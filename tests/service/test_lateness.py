"""How late rows come: by their age when they arrive, of what an upload changed, on each engine."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from service.dashboard.lateness import late_by_age
from service.ingest import IngestOptions, ingest

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HEAD = "entity_id,stage,ts\n"


def taken(database, rows, *, now=NOW, **options):
    text = HEAD + "".join(f"{entity},lead,{day}T11:00:00Z\n" for entity, day in rows)
    return ingest(database, "sales", io.BytesIO(text.encode()), now=now, options=IngestOptions(**options))


def test_the_first_upload_is_history_and_later_ones_have_ages(database):
    assert taken(database, [("a", "2024-01-01"), ("b", "2026-11-23")]).ages == {}
    days = ["2026-11-24", "2026-11-23", "2026-11-22", "2026-11-20", "2026-11-01", "2026-01-01", "2026-11-25"]
    report = taken(database, [(f"c{place}", day) for place, day in enumerate(days)])
    assert report.ages == {"0": 2, "1": 1, "2-3": 1, "4-7": 1, "8-28": 1, "29-": 1}
    assert report.inserted == 7


def test_rows_that_change_nothing_and_repeated_ones_have_no_age(database):
    taken(database, [("a", "2026-11-01")])
    report = taken(database, [("a", "2026-11-01"), ("b", "2026-11-02"), ("b", "2026-11-02")])
    assert report.ages == {"8-28": 1}


def test_an_export_made_earlier_is_as_old_as_it_was_then(database):
    taken(database, [("a", "2026-10-01")])
    report = taken(database, [("b", "2026-11-01")], fresh_until=datetime(2026, 11, 1, 20, tzinfo=UTC))
    assert report.ages == {"0": 1}


def test_counts_have_ages_too(database):
    def counted(day):
        text = f"ds,stage,y\n{day},visit,5\n"
        return ingest(database, "web", io.BytesIO(text.encode()), kind="counts", now=NOW)

    counted("2026-11-01")
    assert counted("2026-11-22").ages == {"2-3": 1}


def test_ages_are_summed_over_uploads_youngest_first():
    uploads = [{"ages": {"29-": 1, "0": 2}}, {"ages": {}}, {"ages": {"0": 1}}, {}]
    assert late_by_age(uploads) == [
        ("less than a day", 3, 0.75),
        ("one day", 0, 0.0),
        ("2 or 3 days", 0, 0.0),
        ("4 to 7 days", 0, 0.0),
        ("8 to 28 days", 0, 0.0),
        ("more than 28 days", 1, 0.25),
    ]
    assert late_by_age([{}]) == []
