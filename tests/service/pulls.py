"""What tests of pulls share: a database that somebody else writes, and how it is read."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.ingest import IngestOptions
from service.pull import PullTerms

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OPTIONS = IngestOptions(stages=("lead", "offer", "won"), exits=("lost",), timezone="UTC")
QUERY = "SELECT entity_id, stage, ts, value, segment, updated_at FROM steps"


class Crm:
    """A SQLite file that somebody else writes."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._connection = sqlite3.connect(path, isolation_level=None)
        self.run("CREATE TABLE steps (entity_id TEXT, stage TEXT, ts TEXT, value REAL, segment TEXT, updated_at TEXT)")
        for day in range(1, 11):
            for number in range(3):
                self.add(f"e{day}-{number}", "lead", day)
                self.add(f"e{day}-{number}", "offer", day + 1, value=10.0 * number)

    def run(self, statement: str, *values: Any) -> None:
        self._connection.execute(statement, values)

    def add(self, entity: str, stage: str, day: int, *, value: float | None = None, at: int | None = None) -> None:
        instant = f"2026-11-{at or day:02d}T09:00:00"
        row = (entity, stage, f"2026-11-{day:02d}T08:00:00", value, "smb", instant)
        self.run("INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?)", *row)

    def close(self) -> None:
        self._connection.close()


def terms(*, full: bool = False, name: str = "events", kind: str = "events", entities: bool = True, **rest: Any) -> Any:
    """Terms of a pull of events, but for what is said otherwise."""
    return PullTerms(name, kind, **{"options": OPTIONS, "now": NOW} | rest, entities=entities, full=full)


def run_cli(*arguments: str, store: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`nearcast pull ...` in a process of its own."""
    settings = os.environ | {"NEARCAST_DATABASE_URL": f"sqlite:///{store}"} | environment
    command = [sys.executable, "-m", "service.cli", "pull", *arguments]
    return subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
