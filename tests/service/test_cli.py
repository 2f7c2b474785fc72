"""The command line on a store of its own, from a file of events to forecasts, and what it refuses."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime

import orjson
import pytest
import sqlalchemy as sa

from service import __version__
from service.cli import COMMANDS
from service.store.database import Database
from service.store.funnels import get_funnel, set_schedule
from tests.service.processes import ROOT

PAST = datetime(2020, 1, 1, tzinfo=UTC)


def test_the_release_is_told(told):
    assert told("--version") == (0, f"nearcast {__version__}\n", "")


def test_ingest_says_what_it_inferred_and_a_second_time_that_nothing_changed(told, events):
    _, first, _ = told("ingest", str(events), "--funnel", "told")
    assert "stages lead -> offer -> won" in first
    assert "exits lost" in first
    _, again, _ = told("ingest", str(events), "--funnel", "told")
    assert "0 new, 0 revised" in again


def test_retrain_without_news_publishes_nothing(nearcast, trained):
    result = json.loads(nearcast("retrain", "--funnel", trained, "--json").stdout)
    assert result["version"] is None
    assert "nothing new" in result["reason"]


def test_forecast_prints_one_row_per_series_or_per_step(told, trained):
    _, everything, _ = told("forecast", "--funnel", trained)
    names = ("total", "north", "south")
    series = [line.split()[:2] for line in everything.splitlines() if line.strip().startswith(names)]
    assert series == [[segment, stage] for segment in names for stage in ("lead", "offer", "won")]
    _, one, _ = told("forecast", "--funnel", trained, "--stage", "won", "--segment", "total", "--horizon", "5")
    rows = [line.split() for line in one.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]


def test_forecast_as_json_is_what_http_answers(nearcast, trained, store, start_server, tmp_path):
    url = store["NEARCAST_DATABASE_URL"]
    with start_server(tmp_path, database_url=url) as server, server.client() as client:
        for query, options in (
            ({}, []),
            (
                {"stage": ["won", "lead"], "segment": "total", "horizon": 56, "level": "60,95"},
                ["--stage", "won", "--stage", "lead", "--segment", "total", "--horizon", "56", "--level", "60,95"],
            ),
            ({"as_of": "2999-01-01T00:00Z"}, ["--as-of", "2999-01-01T00:00Z"]),
        ):
            over_http = client.get(f"/v1/funnels/{trained}/forecast", params=query)
            printed = nearcast("forecast", "--funnel", trained, *options, "--json").stdout
            assert orjson.loads(printed) == over_http.json()


def test_status_lists_funnels_and_runs(told, trained):
    document = json.loads(told("status", "--json")[1])
    (funnel,) = [funnel for funnel in document["funnels"] if funnel["funnel"] == trained]
    assert funnel["version"] == 1
    assert document["runs"][0]["status"] == "succeeded"
    assert trained in told("status")[1]


def test_a_schedule_is_declared_with_a_file_and_shown_by_status(told, events):
    told("ingest", str(events), "--funnel", "nightly", "--schedule", "30 5 * * MON-FRI")
    document = json.loads(told("status", "--json")[1])
    (funnel,) = [funnel for funnel in document["funnels"] if funnel["funnel"] == "nightly"]
    assert funnel["schedule"] == "30 5 * * MON-FRI"
    assert funnel["next_due_at"].partition("T")[2] == "05:30:00+00:00"
    code, _, said = told("ingest", str(events), "--funnel", "nightly", "--schedule", "never")
    assert code == 2
    assert "not a schedule" in said
    assert "30 5 * * MON-FRI" in told("status")[1]
    told("ingest", str(events), "--funnel", "nightly", "--schedule", "")
    assert "30 5 * * MON-FRI" not in told("status")[1]


@pytest.mark.one_engine
def test_retrain_if_due_trains_what_is_due_once_and_says_of_the_others_why_not(told, events, store_url):
    store = {"NEARCAST_DATABASE_URL": store_url, "NEARCAST_WORKERS": "inline"}
    for name in ("late", "early", "bad", "never"):
        schedule = [] if name == "never" else ["--schedule", "0 5 * * *"]
        told("ingest", str(events), "--funnel", name, *schedule, **store)
    with Database(store["NEARCAST_DATABASE_URL"]) as database, database.write() as connection:
        for name in ("late", "bad"):
            record = set_schedule(connection, get_funnel(connection, name), None, now=PAST)
            set_schedule(connection, record, "0 5 * * *", now=PAST)
        connection.execute(sa.text("DELETE FROM events WHERE funnel_id = :id"), {"id": record.id})
    code, said, problems = told("retrain", "--if-due", "--json", **store)
    assert code == 2
    assert "insufficient-history" in problems  # of the bad one, which does not keep the others from their turn
    outcomes = {each["funnel"]: each for each in json.loads(said)["funnels"]}
    assert set(outcomes) == {"late", "early"}
    assert outcomes["late"]["version"] == 1
    assert outcomes["late"]["counts"]["missed"] == 1000
    assert "makes up for 1000 earlier due instants" in outcomes["late"]["reason"]
    assert outcomes["early"]["run"] is None
    assert "not due before" in outcomes["early"]["reason"]
    again = told("retrain", "--funnel", "late", "--if-due", **store)
    assert (again[0], again[1].startswith("late: not due before")) == (0, True)
    assert told("retrain", "--funnel", "never", "--if-due", **store)[0] == 2
    assert "--if-due" in told("retrain", **store)[2]


@pytest.mark.one_engine
def test_migrate_makes_a_store_once(told, tmp_path):
    url = f"sqlite:///{tmp_path / 'new.db'}"
    assert json.loads(told("migrate", "--json", NEARCAST_DATABASE_URL=url)[1])["changed"] is True
    assert "nothing to do" in told("migrate", NEARCAST_DATABASE_URL=url)[1]


def test_a_bad_row_exits_with_2_and_names_line_and_field(nearcast, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("entity_id,stage,ts\na,lead,2024-01-01\nb,lead,yesterday\n")
    text = nearcast("ingest", str(bad), "--funnel", "bad", code=2).stderr
    assert "line 3" in text
    assert "ts" in text
    document = json.loads(nearcast("ingest", str(bad), "--funnel", "bad", "--json", code=2).stderr)
    assert document["errors"][0]["line"] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["ingest", "no-such-file.csv", "--funnel", "x"],
        ["ingest", "events.csv.gz", "--funnel", "not a name"],
        ["ingest", "events.csv.gz", "--funnel", "x", "--map", "nonsense"],
        ["ingest", "events.csv.gz", "--funnel", "x", "--timezone", "Mars"],
        ["ingest", "events.csv.gz", "--funnel", "x", "--fresh-until", "soon"],
        ["ingest", "events.csv.gz"],
        ["retrain", "--funnel", "nobody"],
        ["forecast", "--funnel", "nobody"],
        ["forecast", "--funnel", "sales", "--stage", "wonn"],
        ["forecast", "--funnel", "sales", "--horizon", "0"],
        ["forecast", "--funnel", "sales", "--level", "81"],
        ["forecast", "--funnel", "sales", "--as-of", "2012-02-01"],
        ["backtest"],
        ["backtest", "events.csv.gz"],
        ["backtest", "events.csv.gz", "--cutoffs", "someday"],
        ["backtest", "events.csv.gz", "--cutoffs", "2024-03-01", "--horizon", "365"],
        ["backtest", "events.csv.gz", "--cutoffs", "1999-03-01"],
        ["backtest", "events.csv.gz", "--cutoffs", "2031-03-01"],
        ["backtest", "--case", "."],
        ["nonsense"],
        ["forecast", "--nonsense"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_asked_exits_with_2_and_says_why(told, trained, arguments):
    code, out, problem = told(*arguments)
    assert code == 2
    assert problem.strip()
    assert out == ""


def test_a_far_horizon_exits_with_2_and_shows_how_the_error_grows(told, trained):
    code, _, text = told("forecast", "--funnel", trained, "--horizon", "365")
    assert code == 2
    assert "up to 56 days are" in text
    assert "steps 2-3: wMAPE" in text


@pytest.mark.one_engine
@pytest.mark.parametrize(
    "settings",
    [
        {"NEARCAST_PORT": "x"},
        {"NEARCAST_DATABASE_URL": "mysql://somewhere/x"},
        {"NEARCAST_DATABASE_URL": "nonsense"},
        {"NEARCAST_DATABASE_URL": "sqlite:///:memory:"},
    ],
)
def test_a_setting_that_cannot_be_exits_with_2(told, settings):
    code, _, problem = told("status", **settings)
    assert code == 2
    assert problem.startswith("nearcast: ")


@pytest.mark.one_engine
def test_a_store_that_is_away_exits_with_1(told, tmp_path):
    away = "the database does not answer; try again in a moment: "
    missing = "there is no database file; `nearcast migrate` makes one: "
    for url, said in (
        ("postgresql://nobody@127.0.0.1:9/nowhere", away),
        (f"sqlite:///{tmp_path / 'none.db'}", missing),
    ):
        code, _, problem = told("status", NEARCAST_DATABASE_URL=url)
        assert code == 1
        assert problem.startswith(f"nearcast: {said}")


@pytest.mark.slow
def test_the_gate_is_declared_by_ingest_and_refuses_a_far_horizon_with_the_measured_error(nearcast, home, sales_events):
    few = [line for line in sales_events.splitlines() if line.startswith("entity_id") or ",2024-01" in line]
    (home / "few.csv").write_text("\n".join(few))
    nearcast("ingest", "few.csv", "--funnel", "gated", "--gate", "refuse")
    nearcast("retrain", "--funnel", "gated")
    refused = nearcast("forecast", "--funnel", "gated", "--horizon", "56", code=2)
    assert "refused by the funnel's gate" in refused.stderr
    assert "are left out" in nearcast("forecast", "--funnel", "gated").stdout
    nearcast("ingest", "few.csv", "--funnel", "gated", "--gate", "flag")
    assert "56" in nearcast("forecast", "--funnel", "gated", "--horizon", "56").stdout


def test_a_reader_that_stops_early_is_no_error_of_ours(nearcast, trained, home, store):
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | store
    command = f"{sys.executable} -m service.cli forecast --funnel {trained} --horizon 56 --json | head -c 100"
    done = subprocess.run(
        ["bash", "-c", command], check=False, cwd=home, env=environment, capture_output=True, timeout=60
    )
    assert len(done.stdout) == 100
    assert b"Traceback" not in done.stderr


@pytest.mark.one_engine
def test_every_command_explains_itself(told):
    _, listed, _ = told("--help")
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", listed, re.MULTILINE)
        assert f"Usage: nearcast {command}" in told(command, "--help")[1]


@pytest.mark.one_engine
def test_a_progress_bar_appears_on_terminals_only_and_only_past_two_seconds(monkeypatch):
    from service.cli import output

    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with output.LateProgress() as progress:
            progress("reading rows", 10, 100)
            assert progress._bar is None
            progress._started -= output.PATIENCE
            progress("reading rows", 50, 100)
            assert progress._bar is not None
    os.close(controller)
    with output.LateProgress() as progress:
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        progress._started -= output.PATIENCE
        progress("reading rows", 50, 100)
        assert progress._bar is None
