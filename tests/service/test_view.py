"""The SQL view of served forecasts, read as a BI tool would: by a plain connection that knows nothing of nearcast."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from models.forecast import QUANTILES, Forecast
from models.funnel import Funnel
from service.store.database import Database
from service.store.funnels import declare_funnel
from service.store.versions import Draft, activate_version, publish_version

NOW = datetime(2026, 3, 2, 4, tzinfo=UTC)
CUTOFF = date(2026, 3, 1)
FUNNEL = Funnel(stages=("lead", "won"), timezone="Europe/Amsterdam")
COLUMNS = [
    "funnel", "segment", "stage", "version", "cutoff", "ds", "step", "mean",
    *(f"q{quantile:g}".replace(".", "_") for quantile in QUANTILES), "in_flight", "new", "reliable",
]  # fmt: skip


def forecast(stage: str = "won", *, segment: str = "total", level: float = 10.0, **said: Any) -> Forecast:
    mean = level + np.arange(56) / 7
    quantiles = mean[:, None] * np.linspace(0.5, 1.5, len(QUANTILES))
    parts = {"in_flight": mean * 0.25, "new": mean * 0.75} if stage == "won" else {}
    return Forecast(segment, stage, CUTOFF, "cascade", mean, quantiles, **{"reliable_until": 20} | parts | said)


def publish(database: Database, *made: Forecast, funnel: Funnel = FUNNEL, name: str = "sales") -> int:
    with database.write() as connection:
        record = declare_funnel(connection, name, funnel, now=NOW)
        draft = Draft(funnel, CUTOFF, 1, 56, "cascade", "none", "test", [], {})
        publish_version(connection, record.id, draft, made=made, now=NOW)
        return record.id


def plain(database: Database, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names and rows of a query on a connection of the driver's own."""
    if database.path is not None:
        connection = sqlite3.connect(f"file:{database.path}?mode=ro", uri=True)
    else:
        connection = psycopg.connect(database.engine.url.set(drivername="postgresql").render_as_string(False))
    try:
        cursor = connection.execute(query)
        return [column[0] for column in cursor.description], cursor.fetchall()
    finally:
        connection.close()


def test_the_view_has_a_row_for_each_step_of_the_default_horizon(database):
    publish(database, forecast(), forecast("lead"), forecast(segment="north", level=4.0))
    names, rows = plain(database, "SELECT * FROM nearcast_forecast ORDER BY segment, stage, step")
    assert names == COLUMNS
    assert len(rows) == 3 * 28
    won = [dict(zip(names, row, strict=True)) for row in rows if row[1:3] == ("total", "won")]
    made = forecast()
    for number, row in enumerate(won):
        assert (row["funnel"], row["version"], row["step"]) == ("sales", 1, number + 1)
        assert str(row["cutoff"]) == "2026-03-01"
        assert str(row["ds"]) == (CUTOFF + timedelta(days=number + 1)).isoformat()
        assert row["mean"] == pytest.approx(made.mean[number], abs=1e-4)
        told = [row[name] for name in COLUMNS if name.startswith("q0_")]
        np.testing.assert_allclose(told, made.quantiles[number], atol=1e-4)
        assert row["in_flight"] + row["new"] == pytest.approx(row["mean"], abs=2e-4)
        assert bool(row["reliable"]) == (number < 20)
    lead = [dict(zip(names, row, strict=True)) for row in rows if row[2] == "lead"]
    assert {(row["in_flight"], row["new"]) for row in lead} == {(None, None)}


def test_the_view_shows_what_is_served_and_nothing_of_other_versions(database):
    funnel_id = publish(database, forecast(level=10.0), forecast("lead"))
    publish(database, forecast(level=20.0))
    publish(database, forecast(level=5.0), name="other")
    query = "SELECT funnel, version, stage, mean FROM nearcast_forecast WHERE step = 1 ORDER BY funnel, stage"
    assert plain(database, query)[1] == [("other", 1, "won", 5.0), ("sales", 2, "won", 20.0)]
    with database.write() as connection:
        activate_version(connection, funnel_id, 1)
    assert plain(database, query)[1] == [
        ("other", 1, "won", 5.0),
        ("sales", 1, "lead", 10.0),
        ("sales", 1, "won", 10.0),
    ]


def test_the_view_shows_no_step_that_the_funnel_s_rules_refuse(database):
    publish(database, forecast())
    steps = "SELECT max(step) FROM nearcast_forecast"
    for funnel, last in (
        (Funnel(stages=FUNNEL.stages, timezone=FUNNEL.timezone, gate="refuse"), 20),
        (Funnel(stages=FUNNEL.stages, timezone=FUNNEL.timezone, max_horizon=7), 7),
    ):
        with database.write() as connection:
            declare_funnel(connection, "sales", funnel, now=NOW)
        assert plain(database, steps)[1] == [(last,)]


def test_weekly_steps_bear_the_last_day_of_their_week(database):
    made = Forecast("total", "won", CUTOFF, "baseline", np.ones(4), np.ones((4, len(QUANTILES))), frequency="week")
    publish(database, made, funnel=Funnel(stages=("lead", "won"), frequency="week"))
    _, rows = plain(database, "SELECT ds, step FROM nearcast_forecast ORDER BY step")
    assert [(str(ds), step) for ds, step in rows] == [
        ("2026-03-08", 1), ("2026-03-15", 2), ("2026-03-22", 3), ("2026-03-29", 4),
    ]  # fmt: skip


def test_a_role_that_may_read_the_view_may_read_nothing_else(empty_postgres_url):
    with Database(empty_postgres_url) as database:
        database.migrate()
        publish(database, forecast())
    with psycopg.connect(empty_postgres_url) as connection:
        role = "nearcast_view_reader"
        connection.execute(f"CREATE ROLE {role}")
        connection.execute(f"GRANT SELECT ON nearcast_forecast TO {role}")
        connection.execute(f"SET ROLE {role}")
        assert connection.execute("SELECT count(*) FROM nearcast_forecast").fetchone() == (28,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM events")
        connection.rollback()
