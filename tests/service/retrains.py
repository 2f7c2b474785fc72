"""What tests of retrains share: a funnel of two stages in two segments, its counts, and what it has published."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from models.funnel import Funnel
from models.records import Counts
from service.store.database import Database
from service.store.funnels import declare_funnel, get_funnel
from service.store.observations import merge_counts
from service.store.uploads import begin_upload, finish_upload
from service.store.versions import list_versions

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = 86_400_000_000
FUNNEL = Funnel(stages=("lead", "won"), segment_by="region", max_horizon=14)


def upload(database: Database, *, days: int = 90, now: datetime = NOW, add: int = 0) -> None:
    """Counts of two stages in two segments for the last `days` days; `add` to the newest ones."""
    today = int(now.timestamp()) * 1_000_000 // DAY
    ds = np.arange(today - days, today)
    rows = [(segment, stage) for segment in ("east", "west") for stage in FUNNEL.stages]
    y = np.concatenate([10 + 3 * (ds % 7) + place for place, _ in enumerate(rows)]).astype(float)
    y[days - 1 :: days] += add
    texts = [np.repeat(np.array(column, dtype=object), days) for column in zip(*rows, strict=True)]
    counts = Counts(np.tile(ds * DAY, len(rows)), texts[1], y, np.full(len(y), np.nan), texts[0])
    with database.stage() as staging:
        staging.append_counts(counts, lines=2)
        with staging.write() as connection:
            funnel_id = get_funnel(connection, "sales").id
            taken = begin_upload(connection, funnel_id, kind="counts", now=now)
            merged = merge_counts(connection, funnel_id, taken.number, staging)
            finish_upload(connection, taken, changed=merged.changed, report={})


def declare(database: Database, funnel: Funnel = FUNNEL) -> int:
    """Declare it, or declare it anew; its id."""
    with database.write() as connection:
        return declare_funnel(connection, "sales", funnel, now=NOW).id


def versions(database: Database) -> list[int]:
    """Numbers of its versions, the newest first."""
    with database.read() as connection:
        return [version.number for version in list_versions(connection, get_funnel(connection, "sales").id)]
