"""A file's rows for a backtest: what was inferred from rows that no cutoff had seen is said."""

from __future__ import annotations

import pytest

from service.cli.rows import read_rows
from service.ingest import IngestOptions

CSV = "entity_id,stage,ts\na,lead,2024-03-01\na,won,2024-03-05\nb,lead,2024-03-02\nb,lost,2024-03-03\n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(CSV)
    return path


def notes_of(path, **options):
    rows = read_rows(path, kind="events", options=IngestOptions(**options))
    return [note for note in rows.notes if "inferred from the whole file" in note]


def test_what_was_inferred_from_the_whole_file_is_said_with_the_way_to_declare_it(path):
    (note,) = notes_of(path)
    assert note.startswith("stages, exits and segments were inferred from the whole file")
    assert "--stages ..., --exits ..., --segment-by ..." in note
    (note,) = notes_of(path, stages=("lead", "won"), segment_by="")
    assert note.startswith("exits were inferred")
    assert "--stages" not in note


def test_a_declared_funnel_has_nothing_inferred(path):
    assert notes_of(path, stages=("lead", "won"), exits=("lost",), segment_by="") == []


def test_a_wide_table_with_an_entity_without_dates_is_read(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("entity_id,Lead,Won\na,2024-03-01,2024-03-04\nb,,\n")
    rows = read_rows(path, kind="events", options=IngestOptions(wide={"lead": "Lead", "won": "Won"}))
    assert len(rows.events) == 2
