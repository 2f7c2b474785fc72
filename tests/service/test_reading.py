"""Whatever order data come in, a retrain that reads new rows only ends where one that reads all of them does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.funnel import Funnel
from models.records import NO_DAY, Counts, Events
from models.state import bytes_from_forecast
from service.retrain import retrain
from service.store.database import Database
from service.store.funnels import declare_funnel, get_funnel
from service.store.memories import read_memory
from service.store.observations import merge_counts, merge_events, read_counts, read_events
from service.store.parts import read_parts
from service.store.tables import metadata, parts
from service.store.uploads import begin_upload, finish_upload
from service.store.versions import list_versions, read_forecasts, read_scorecard

DAY = 86_400_000_000
FIRST, BASE = 19_780, 50
START = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=FIRST)
FUNNEL = Funnel(
    stages=("visit", "lead", "won"), exits=("lost",), segment_by="site", due_stage="won", country="NL", max_horizon=7,
    timezone="Europe/Amsterdam",
)  # fmt: skip
SITES = "ab"
numbers = count()


def texts(column: Any) -> np.ndarray:
    found = np.empty(len(column), dtype=object)
    found[:] = list(column)
    return found


def visits(day: int, *, add: int = 0, hour: int = 0) -> Counts:
    """The counts of one day, in both segments."""
    y = np.array([20.0 + 5 * (day % 7) + place + add for place in range(len(SITES))])
    ds = np.full(len(SITES), (FIRST + day) * DAY + hour * DAY // 24)
    return Counts(ds, texts(["visit"] * len(SITES)), y, np.full(len(SITES), np.nan), texts(SITES))


def journey(number: int, *, days: tuple[int | None, ...], value: float = np.nan, due: int = NO_DAY) -> Events:
    """One entity's rows at lead, won and lost."""
    stages = [stage for stage, day in zip(("lead", "won", "lost"), days, strict=True) if day is not None]
    ts = [(FIRST + day) * DAY + (9 + number % 13) * DAY // 24 for day in days if day is not None]
    size = len(ts)
    due_on = np.full(size, due, dtype=np.int32)
    return Events(
        texts([f"e{number}"] * size), texts(stages), np.array(ts, dtype=np.int64), np.full(size, value), due_on,
        texts([SITES[number % 2]] * size),
    )  # fmt: skip


def leads(day: int) -> Events:
    """The entities that enter on a day, and what is known to become of them by then."""
    return Events.concat(
        journey(100 * day + number, days=(day, day if number % 3 == 0 else None, None), due=FIRST + day + 4)
        for number in range(3 + day % 4)
    )


def upload(database: Database, funnel: str, rows: Events | Counts, *, until: int, replace: Any = False) -> None:
    """One upload, complete up to the day `until`."""
    events = isinstance(rows, Events)
    with database.stage() as staging:
        (staging.append_events if events else staging.append_counts)(rows, lines=2)
        with staging.write() as connection:
            funnel_id = get_funnel(connection, funnel).id
            now = START + timedelta(days=until + 1)
            taken = begin_upload(connection, funnel_id, kind="events" if events else "counts", now=now, fresh_until=now)
            options = {"replace": replace} if events else {}
            merge = merge_events if events else merge_counts
            changed = merge(connection, funnel_id, taken.number, staging, **options).changed
            finish_upload(connection, taken, changed=changed, report={})


def declared(database: Database, funnel: Funnel = FUNNEL) -> str:
    name = f"f{next(numbers)}"
    with database.write() as connection:
        declare_funnel(connection, name, funnel, now=START)
    return name


class Feed:
    """A funnel under way: each step is one thing that happens to real data."""

    def __init__(self, database: Database) -> None:
        self.database, self.name, self.day = database, declared(database), BASE - 1
        base = range(BASE)
        upload(database, self.name, Counts.concat(visits(day) for day in base), until=self.day)
        upload(database, self.name, Events.concat(leads(day) for day in base), until=self.day)
        self.anew: list[str | None] = []
        self.retrain(0)

    def append(self, _: int) -> None:
        self.day += 1
        upload(self.database, self.name, visits(self.day), until=self.day)
        upload(self.database, self.name, leads(self.day), until=self.day)

    def arrive_late(self, pick: int) -> None:
        rows = journey(90_000 + pick, days=(pick % self.day, (pick + 3) % self.day, None), value=7.5)
        upload(self.database, self.name, rows, until=self.day)

    def count_more(self, pick: int) -> None:
        upload(self.database, self.name, visits(pick % self.day, add=pick % 5, hour=12 * (pick % 2)), until=self.day)

    def correct(self, pick: int) -> None:
        day = pick % self.day
        rows = journey(100 * day, days=(day, day, None), value=float(pick), due=FIRST + day + pick % 9)
        upload(self.database, self.name, rows, until=self.day)

    def retract(self, pick: int) -> None:
        day = pick % self.day
        rows = journey(100 * day, days=(day, None if pick % 2 else day + 1, None))
        upload(self.database, self.name, rows, until=self.day, replace=("lead", "won", "lost"))

    def retrain(self, _: int) -> None:
        result = retrain(self.database, self.name, now=START + timedelta(days=self.day + 1, hours=1))
        if result.version is not None:
            self.anew.append(result.version.quality["read_anew"])


STEPS: tuple[Callable[[Feed, int], None], ...] = (
    Feed.append, Feed.arrive_late, Feed.count_more, Feed.correct, Feed.retract, Feed.retrain,
)  # fmt: skip


def published(database: Database, funnel: str) -> tuple[dict, tuple[bytes, ...], tuple, list]:
    """Forecasts, memory and scorecard of the newest version, and the parts that hold rows."""
    with database.read() as connection:
        funnel_id = get_funnel(connection, funnel).id
        version = list_versions(connection, funnel_id)[0]
        made = {series: bytes_from_forecast(one) for series, one in read_forecasts(connection, version.id).items()}
        kept = [(part.kind, part.number, part.payload) for part in read_parts(connection, funnel_id)]
        return made, tuple(read_memory(connection, funnel_id)), read_scorecard(connection, version.id), kept


def everything(database: Database) -> dict[str, list]:
    """All rows of the tables that a retrain without new data must leave as they are."""
    with database.read() as connection:
        return {
            name: connection.execute(sa.select(table).order_by(*table.primary_key)).all()
            for name, table in metadata.tables.items()
            if name not in ("runs", "leases")
        }


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 10_000)), min_size=2, max_size=9))
def test_any_order_of_appends_late_rows_corrections_retractions_and_retrains_ends_as_one_pass(database, steps):
    feed = Feed(database)
    for step, pick in steps:
        step(feed, pick)
    feed.retrain(0)
    assert feed.anew[0] == "nothing was kept of an earlier read"
    assert set(feed.anew[1:]) <= {None}
    whole = declared(database)
    with database.read() as connection:
        funnel_id = get_funnel(connection, feed.name).id
        rows = read_counts(connection, funnel_id), read_events(connection, funnel_id)
    for part in rows:
        upload(database, whole, part, until=feed.day)
    retrain(database, whole, now=START + timedelta(days=feed.day + 1, hours=1))
    made, memory, scorecard, kept = published(database, feed.name)
    assert (made, memory, scorecard) == published(database, whole)[:3]
    assert [part for part in kept if part in published(database, whole)[3]] == published(database, whole)[3]


def test_a_retrain_without_new_data_leaves_every_row_of_the_store_as_it_was(database):
    feed = Feed(database)
    feed.append(0)
    feed.retrain(0)
    before = everything(database)
    feed.retrain(0)
    assert everything(database) == before


def test_what_was_published_and_known_at_a_past_instant_never_changes(database):
    feed = Feed(database)
    then = START + timedelta(days=feed.day + 2)
    with database.read() as connection:
        funnel_id = get_funnel(connection, feed.name).id
        first = list_versions(connection, funnel_id)[0]
        before = read_forecasts(connection, first.id), len(read_events(connection, funnel_id, as_of=then))
    for pick in range(3):
        feed.append(pick)
        feed.append(pick)
        feed.correct(pick)
        feed.retract(pick + 10)
        feed.retrain(pick)
    with database.read() as connection:
        after = read_forecasts(connection, first.id), len(read_events(connection, funnel_id, as_of=then))
    assert {key: bytes_from_forecast(one) for key, one in before[0].items()} == {
        key: bytes_from_forecast(one) for key, one in after[0].items()
    }
    assert before[1] == after[1]


def test_a_retrain_reads_as_many_rows_as_are_new(database):
    feed = Feed(database)
    feed.append(0)
    feed.count_more(3)
    now = START + timedelta(days=feed.day + 1, hours=1)
    assert retrain(database, feed.name, now=now).counts["read_rows"] == len(visits(0)) * 2 + len(leads(BASE))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"payload": b"NCA1 and then nothing that was ever written"}, "damaged"),
        ({"format": 0}, "nothing was kept"),
    ],
)
def test_parts_that_cannot_be_used_are_read_anew_and_the_version_says_why(database, change, why):
    feed = Feed(database)
    feed.append(0)
    with database.write() as connection:
        connection.execute(sa.update(parts).values(**change))
    feed.retrain(0)
    assert why in (feed.anew[-1] or "")
    feed.append(0)
    feed.retrain(0)
    assert feed.anew[-1] is None


def test_counts_that_make_no_grid_are_read_whole_each_time(database):
    feed = Feed(database)
    generator = np.random.default_rng(1)
    ds = (FIRST * DAY + np.sort(generator.choice(30 * DAY, 60, replace=False))).astype(np.int64)
    sites = texts([f"s{number}" for number in range(60)])
    odd = Counts(ds, texts(["visit"] * 60), np.ones(60), np.full(60, np.nan), sites)
    upload(database, feed.name, odd, until=feed.day)
    for _ in range(2):
        feed.append(0)
        feed.retrain(0)
        assert "do not make up a grid" in (feed.anew[-1] or "")
