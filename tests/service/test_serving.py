"""Serving: what is published is served within moments, whole, and goes on being served without the store."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from models.forecast import QUANTILES, Forecast
from models.funnel import Funnel
from models.state import DamagedPayloadError
from service.serving import Serving
from service.store.database import Database
from service.store.errors import FunnelNotFoundError, StoreUnavailableError, VersionNotFoundError
from service.store.funnels import declare_funnel
from service.store.tables import forecasts
from service.store.versions import Draft, Version, activate_version, publish_version

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FUNNEL = Funnel(stages=("lead", "won"))
SERIES = [("total", "lead"), ("total", "won"), ("east", "lead"), ("east", "won")]


def publish(database: Database, *, level: float, name: str = "sales", now: datetime = NOW) -> Version:
    mean = np.full(3, level)
    quantiles = np.outer(mean, np.ones(len(QUANTILES)))
    made = [Forecast(segment, stage, date(2026, 2, 28), "m", mean, quantiles) for segment, stage in reversed(SERIES)]
    draft = Draft(FUNNEL, date(2026, 2, 28), 1, 3, "m", "no holidays", "a test", [], {})
    with database.write() as connection:
        funnel_id = declare_funnel(connection, name, FUNNEL, now=NOW).id
        return publish_version(connection, funnel_id, draft, made=made, now=now)


def level_of(serving: Serving, name: str = "sales") -> float:
    served = serving.find(name)
    assert served is not None
    (level,) = {float(forecast.mean[0]) for forecast in served.forecasts.values()}
    return level


def test_nothing_is_served_before_the_first_version(database):
    serving = Serving(database)
    assert serving.refresh()
    assert (serving.loaded, serving.stale, serving.find("sales"), serving.names()) == (True, False, None, ())


def test_a_new_version_replaces_the_old_one_whole_and_the_total_comes_first(database):
    serving = Serving(database)
    publish(database, level=1.0)
    serving.refresh()
    before = serving.find("sales")
    publish(database, level=2.0, now=NOW + HOUR)
    serving.refresh()
    after = serving.find("sales")
    assert (before.version, after.version) == (1, 2)
    assert level_of(serving) == 2.0
    assert list(after.forecasts) == SERIES
    assert {float(forecast.mean[0]) for forecast in before.forecasts.values()} == {1.0}


def test_a_version_known_to_be_published_is_served_without_waiting_for_the_next_look(database):
    serving = Serving(database)
    first = publish(database, level=1.0)
    serving.catch_up("sales", first.id)
    assert level_of(serving) == 1.0
    second = publish(database, level=2.0, now=NOW + HOUR)
    serving.catch_up("sales", first.id)
    assert level_of(serving) == 1.0
    serving.catch_up("sales", second.id)
    assert level_of(serving) == 2.0


def test_what_has_not_changed_is_not_loaded_again(database):
    publish(database, level=1.0)
    serving = Serving(database)
    serving.refresh()
    first = serving.find("sales")
    publish(database, level=5.0, name="other")
    serving.refresh()
    assert serving.find("sales") is first
    assert serving.names() == ("other", "sales")


def test_a_changed_gate_applies_to_the_version_that_is_served(database):
    publish(database, level=1.0)
    serving = Serving(database)
    serving.refresh()
    with database.write() as connection:
        strict = Funnel(stages=("lead", "won", "paid"), gate="refuse", max_horizon=2)
        declare_funnel(connection, "sales", strict, now=NOW + HOUR)
    serving.refresh()
    served = serving.find("sales")
    assert (served.funnel.stages, served.funnel.gate, served.funnel.horizon_limit) == (("lead", "won"), "refuse", 2)


def test_the_background_thread_finds_a_version_published_by_another_process(database, store_url):
    serving = Serving(database, every=0.05)
    serving.start()
    try:
        with Database(store_url) as other:
            publish(other, level=3.0)
        deadline = time.monotonic() + 10
        while serving.find("sales") is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert level_of(serving) == 3.0
    finally:
        serving.stop()


def test_without_its_sqlite_file_the_last_version_is_served_stale_until_it_is_back(sqlite_database, tmp_path):
    publish(sqlite_database, level=1.0)
    serving = Serving(sqlite_database)
    serving.refresh()
    (tmp_path / "store.db").rename(tmp_path / "away.db")
    assert serving.refresh() is False
    assert (serving.stale, level_of(serving)) == (True, 1.0)
    with pytest.raises(StoreUnavailableError):
        serving.as_of("sales", NOW)
    (tmp_path / "away.db").rename(tmp_path / "store.db")
    publish(sqlite_database, level=2.0)
    assert serving.refresh() is True
    assert (serving.stale, level_of(serving)) == (False, 2.0)


def test_without_its_server_the_last_version_is_served_stale_until_it_is_back(empty_postgres_url):
    name = sql.Identifier(empty_postgres_url.rpartition("/")[2])
    with Database(empty_postgres_url) as database:
        database.migrate()
        publish(database, level=1.0)
        serving = Serving(database)
        serving.refresh()
        admin = psycopg.connect(empty_postgres_url.rpartition("/")[0] + "/postgres", autocommit=True)
        with admin:
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [empty_postgres_url.rpartition("/")[2]],
            )
            assert serving.refresh() is False
            assert (serving.stale, level_of(serving)) == (True, 1.0)
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
        assert serving.refresh() is True
        assert (serving.stale, level_of(serving)) == (False, 1.0)


def test_started_without_a_store_it_serves_nothing_and_recovers(sqlite_url):
    with Database(sqlite_url) as database:
        serving = Serving(database)
        assert serving.refresh() is False
        assert (serving.loaded, serving.stale) == (False, True)
        database.migrate()
        publish(database, level=1.0)
        assert serving.refresh() is True
        assert level_of(serving) == 1.0


def test_a_damaged_version_is_not_served_and_the_others_are(database):
    publish(database, level=1.0)
    serving = Serving(database)
    serving.refresh()
    damaged = publish(database, level=2.0)
    with database.write() as connection:
        change = sa.update(forecasts).where(forecasts.c.version_id == damaged.id, forecasts.c.stage == "won")
        connection.execute(change.values(payload=b"not a forecast"))
    publish(database, level=7.0, name="other")
    assert serving.refresh() is True
    assert serving.stale is True
    assert (level_of(serving), level_of(serving, "other")) == (1.0, 7.0)


def test_a_past_instant_is_answered_by_the_version_of_then(database):
    serving = Serving(database)
    publish(database, level=1.0)
    publish(database, level=2.0, now=NOW + 2 * HOUR)
    assert serving.as_of("sales", NOW - HOUR) is None
    assert serving.as_of("sales", NOW + HOUR).version == 1
    assert serving.as_of("sales", NOW + 3 * HOUR).version == 2
    with pytest.raises(FunnelNotFoundError):
        serving.as_of("other", NOW)


def test_an_activated_version_is_served_by_every_server_and_a_damaged_one_is_never_activated(database, store_url):
    first, second = publish(database, level=1.0), publish(database, level=2.0)
    with Database(store_url) as other:
        here, there = Serving(database), Serving(other)
        here.refresh()
        with database.write() as connection:
            assert activate_version(connection, first.funnel_id, 1).id == first.id
        here.refresh()
        there.refresh()
        assert (level_of(here), level_of(there)) == (1.0, 1.0)
    with database.write() as connection:
        connection.execute(sa.update(forecasts).where(forecasts.c.version_id == second.id).values(payload=b"damaged"))
    for number, error in ((2, DamagedPayloadError), (3, VersionNotFoundError)):
        with pytest.raises(error), database.write() as connection:
            activate_version(connection, first.funnel_id, number)
