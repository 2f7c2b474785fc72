"""Pulling from a folder of files: read on from the watermark, and what is wrong told with its file and line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from models.errors import InputError
from service.pull import FolderSource, PullReport, pull
from service.store.database import Database
from service.store.funnels import get_funnel
from service.store.uploads import fresh_until
from tests.service.pulls import NOW, run_cli, terms


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """What is read does not depend on the engine of the store."""
    return sqlite_database


def folder_of(path: Path, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / f"{name}.csv").write_text(text)
    return path


def read_folder(database: Database, folder: Path, *, full: bool = False) -> PullReport:
    source = FolderSource(folder, watermark="changed", max_bytes=1_000_000)
    return pull(database, "files", source, terms=terms(entities=False, full=full))


def test_a_folder_of_csv_and_parquet_files_is_read_on_from_the_watermark(database, tmp_path):
    folder = folder_of(
        tmp_path / "drop",
        a="entity_id,stage,ts,changed\na,lead,2026-11-01,2026-11-01T10:00Z\n",
        b="entity_id,stage,ts,changed\nb,lead,2026-11-02,2026-11-02T10:00Z\n",
    )
    (folder / "notes.pdf").write_text("not data")
    assert read_folder(database, folder).upload.rows == 2
    frame = pd.DataFrame({"entity_id": ["a", "c"], "stage": ["offer", "lead"], "ts": ["2026-11-03"] * 2})
    frame.assign(changed=pd.Timestamp("2026-11-03T10:00Z")).to_parquet(folder / "c.parquet")
    report = read_folder(database, folder)
    assert (report.upload.rows, report.upload.inserted) == (3, 2)  # b lies at the watermark, within the overlap
    (folder / "a.csv").unlink()
    assert read_folder(database, folder).upload.retracted == 0
    assert read_folder(database, folder, full=True).upload.retracted == 1


def test_a_number_from_the_far_future_does_not_hide_the_files_that_follow(database, tmp_path):
    head, seconds = "entity_id,stage,ts,changed\n", round(NOW.timestamp())
    rows = f"a,lead,2026-11-01,{seconds - 9000}\nb,lead,2026-11-02,9999999999\n"
    folder = folder_of(tmp_path / "drop", a=head + rows)
    assert read_folder(database, folder).watermark == {"type": "decimal", "value": str(seconds + 86_400)}
    folder_of(folder, c=head + f"c,lead,2026-11-03,{seconds + 90_000}\n")
    assert read_folder(database, folder).upload.inserted == 1


def test_the_watermark_is_no_ignored_column_and_others_are(database, tmp_path):
    row = "entity_id,stage,ts,changed,owner\na,lead,2026-11-01,1,ann\n"
    report = read_folder(database, folder_of(tmp_path / "drop", a=row))
    assert [note for note in report.upload.notes if "ignored" in note] == ["ignored columns: owner"]


def test_the_command_is_told_up_to_when_a_folder_is_complete(tmp_path):
    folder = folder_of(tmp_path / "drop", a="entity_id,stage,ts\na,lead,2026-11-01\na,won,2026-11-02\n")
    store = tmp_path / "store.db"
    command = ("--funnel", "deals", "--folder", str(folder), "--fresh-until")
    done = run_cli(*command, "2026-11-03T06:00Z", store=store)
    assert done.returncode == 0, done.stderr
    with Database(f"sqlite:///{store}") as database, database.read() as connection:
        told = fresh_until(connection, get_funnel(connection, "deals").id)
    assert told == datetime(2026, 11, 3, 6, tzinfo=UTC).timestamp() * 1_000_000
    done = run_cli(*command, "soon", store=store)
    assert (done.returncode, "--fresh-until" in done.stderr) == (2, True)


def test_what_is_wrong_in_a_folder_is_told_with_its_file_and_line(database, tmp_path):
    head = "entity_id,stage,ts,changed\n"
    folder = folder_of(tmp_path / "drop", a=head + "a,lead,2026-11-01,1\n", b=head + "b,lead,soon,2\n")
    with pytest.raises(InputError) as refused:
        read_folder(database, folder)
    (problem,) = refused.value.problems
    assert (problem.line, problem.field) == (2, "ts")
    assert problem.reason.startswith("b.csv: ")
    folder_of(folder, b=head + "b,lead,2026-11-01,soon\n")
    with pytest.raises(InputError, match="neither a number nor an ISO time"):
        read_folder(database, folder)
    with pytest.raises(InputError, match="holds no CSV"):
        read_folder(database, folder_of(tmp_path / "bare"))
    with pytest.raises(InputError, match="cannot read"):
        read_folder(database, tmp_path / "none")
