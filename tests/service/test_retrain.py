"""The retrain job: publishes once and whole, or leaves what is served, and says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from models import engine, plan
from models.errors import HistoryError
from models.funnel import DeclaredDay
from models.state import bytes_from_forecast
from service.retrain import RunEndedError, retrain
from service.serving import Serving
from service.store.memories import read_memory
from service.store.runs import finish_run, get_run, list_runs, queue_run
from service.store.tables import memories
from service.store.versions import list_versions, read_forecasts, read_scorecard
from service.workers import Pool
from tests.service.retrains import FUNNEL, NOW, declare, upload, versions


def test_a_first_retrain_publishes_every_series_with_scorecard_states_and_a_run(database):
    declare(database)
    upload(database)
    told: list[str] = []
    result = retrain(database, "sales", now=NOW, progress=lambda phase, done, total: told.append(phase))
    assert (result.status, result.reason) == ("succeeded", "the first version")
    assert list(dict.fromkeys(told)) == ["read", "clean", "fit", "publish"]
    with database.read() as connection:
        run = get_run(connection, result.run_id)
        made, memory = read_forecasts(connection, result.version.id), list(read_memory(connection, run.funnel_id))
        scorecard = read_scorecard(connection, result.version.id)
    assert [phase.name for phase in run.phases] == ["read", "clean", "fit", "publish"]
    assert (run.status, run.version_id, run.counts["series"]) == ("succeeded", result.version.id, 6)
    assert {segment for segment, _ in made} == {"total", "east", "west"}
    assert {forecast.horizon for forecast in made.values()} == {14}
    assert len(memory) == 1
    assert (run.counts["appended"], run.counts["refitted"]) == (0, 6)
    assert {score["stage"] for score in scorecard} == {"lead", "won"}
    assert result.version.cutoff == (NOW - timedelta(days=1)).date()


def test_a_retrain_without_new_data_changes_nothing_and_says_so(database):
    declare(database)
    upload(database)
    retrain(database, "sales", now=NOW)
    again = retrain(database, "sales", now=NOW + timedelta(hours=1))
    upload(database)  # the same rows: a new upload that changes nothing
    resent = retrain(database, "sales", now=NOW + timedelta(hours=2))
    assert (again.version, resent.version) == (None, None)
    assert again.reason == resent.reason == "nothing new since version 1"
    assert versions(database) == [1]


def test_new_rows_a_changed_declaration_and_nothing_else_make_a_new_version(database):
    declare(database)
    upload(database)
    retrain(database, "sales", now=NOW)
    upload(database, add=5)
    assert retrain(database, "sales", now=NOW).reason == "4 rows changed in upload 2"
    declare(database, replace(FUNNEL, max_horizon=7))
    assert retrain(database, "sales", now=NOW).reason == "the declaration of the funnel changed: max_horizon"
    upload(database, add=6)
    upload(database, add=7)
    launch = DeclaredDay("launch", NOW.date(), NOW.date())
    declare(database, replace(FUNNEL, declared_days=(launch,)))
    rows, declaration = retrain(database, "sales", now=NOW).reason.split("; ")
    assert rows.endswith("rows changed in uploads 3 to 4")
    assert declaration == "the declaration of the funnel changed: declared_days, max_horizon"
    assert versions(database) == [4, 3, 2, 1]


def test_a_failed_retrain_leaves_what_is_served_and_says_where_it_failed(database, monkeypatch):
    declare(database)
    upload(database)
    retrain(database, "sales", now=NOW)
    serving = Serving(database)
    serving.refresh()
    before = serving.find("sales")
    upload(database, add=5)

    def explode(*_: object, **__: object) -> None:
        raise FloatingPointError("a defect of ours")

    monkeypatch.setattr(engine, "fit", explode)
    with pytest.raises(FloatingPointError):
        retrain(database, "sales", now=NOW)
    serving.refresh()
    assert serving.find("sales") is before
    with database.read() as connection:
        run = list_runs(connection)[0]
    assert (run.status, run.reason) == ("failed", "FloatingPointError: a defect of ours")
    assert run.phases[-1].name == "fit"


def test_a_funnel_without_a_usable_day_fails_with_the_reason(database):
    declare(database)
    with pytest.raises(HistoryError):
        retrain(database, "sales", now=NOW)
    with database.read() as connection:
        run = list_runs(connection)[0]
    assert run.status == "failed"
    assert "no complete day" in run.reason


def test_a_queued_run_is_carried_out_once(database):
    funnel_id = declare(database)
    upload(database)
    with database.write() as connection:
        queued, ended = (queue_run(connection, funnel_id, now=NOW).id for _ in range(2))
        finish_run(connection, ended, status="failed", reason="cancelled", now=NOW)
    assert retrain(database, "sales", now=NOW, run_id=queued).run_id == queued
    for run_id in (queued, ended):
        with pytest.raises(RunEndedError):
            retrain(database, "sales", now=NOW, run_id=run_id)


def test_a_pool_of_processes_publishes_the_same_forecasts(sqlite_database, monkeypatch):
    funnel_id = declare(sqlite_database)
    upload(sqlite_database)
    retrain(sqlite_database, "sales", now=NOW)
    declare(sqlite_database, replace(FUNNEL, gate="refuse"))
    with sqlite_database.write() as connection:
        connection.execute(memories.delete())  # what is remembered would be continued here, not in the pool
    monkeypatch.setattr(plan, "BLOCK", 2)
    result = retrain(sqlite_database, "sales", now=NOW, pool=Pool("process", processes=2))
    assert result.counts["refitted"] == 6
    with sqlite_database.read() as connection:
        second, first = (read_forecasts(connection, each.id) for each in list_versions(connection, funnel_id))
    assert {series: bytes_from_forecast(each) for series, each in first.items()} == {
        series: bytes_from_forecast(each) for series, each in second.items()
    }
