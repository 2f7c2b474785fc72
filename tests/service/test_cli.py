"""The command line, as a subprocess on a real SQLite file."""

import csv
import gzip
import io
import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import orjson
import pytest
import sqlalchemy as sa

from models.forecast import QUANTILES
from service import __version__
from service.cli import COMMANDS, main
from service.store.database import Database
from service.store.funnels import get_funnel, set_schedule

ROOT = Path(__file__).parents[2]
PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(request, home, scratch_postgres):
    """Settings of a store on an engine, for this module."""
    if request.param == "sqlite":
        yield {"NEARCAST_DATABASE_URL": f"sqlite:///{home / 'nearcast.db'}"}
    else:
        with scratch_postgres() as url:
            yield {"NEARCAST_DATABASE_URL": url}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with a store of its own and the sales events in it."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def nearcast(home, store):
    """Runs `nearcast ...` in that directory; `code` is the exit status expected."""

    def run(*arguments, code=0, **settings):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEARCAST_")}
        environment |= {"NEARCAST_WORKERS": "inline", "PYTHONPATH": str(ROOT)} | store | settings
        command = [sys.executable, "-m", "service.cli", *arguments]
        done = subprocess.run(
            command, check=False, cwd=home, env=environment, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def told(home, store, monkeypatch, capsys):
    """Runs `nearcast ...` within this process, many times as fast: (exit status, standard output, standard error)."""

    def run(*arguments, **settings):
        monkeypatch.chdir(home)
        monkeypatch.setattr(sys, "argv", ["nearcast", *arguments])
        for name, value in (store | settings).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def events(home, sales_events):
    path = home / "events.csv.gz"
    path.write_bytes(gzip.compress(sales_events.encode()))
    return path


@pytest.fixture(scope="module")
def trained(nearcast, events):
    """Name of a funnel that has been ingested, into a store made for it, and trained."""
    report = json.loads(nearcast("ingest", str(events), "--funnel", "sales", "--json").stdout)
    assert report["inserted"] > 1000
    assert report["inferred"]["stages"] == ["lead", "offer", "won"]
    result = json.loads(nearcast("retrain", "--funnel", "sales", "--json").stdout)
    assert result["status"] == "succeeded"
    assert result["version"] == 1
    return "sales"


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
    for stage in ("lead", "offer", "won"):
        assert stage in everything
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


@pytest.mark.one_engine
def test_backtest_writes_every_step_of_every_series_at_every_cutoff(nearcast, events, tmp_path):
    out = tmp_path / "forecasts.csv"
    done = nearcast(
        "backtest", str(events), "--stages", "lead,offer,won", "--exits", "lost", "--segment-by", "segment",
        "--start", "2024-01-01", "--cutoffs", "2024-03-10,2024-03-24", "--horizon", "14", "--out", str(out),
    )  # fmt: skip
    assert "Scorecard" in done.stdout
    rows = list(csv.DictReader(out.read_text().splitlines()))
    quantiles = [f"q{quantile:g}" for quantile in QUANTILES]
    assert list(rows[0]) == ["cutoff", "segment", "stage", "step", "mean", *quantiles, "in_flight", "new", "model"]
    assert len(rows) == 2 * 3 * 3 * 14
    assert {row["cutoff"] for row in rows} == {"2024-03-10", "2024-03-24"}
    assert {row["segment"] for row in rows} == {"total", "north", "south"}
    for row in rows:
        values = [float(row[name]) for name in quantiles]
        assert values == sorted(values)


@pytest.mark.slow
@pytest.mark.one_engine
def test_backtest_draws_how_the_error_grows_with_the_steps(nearcast, events):
    command = [
        "backtest", str(events), "--stages", "lead,offer,won", "--exits", "lost", "--segment-by", "segment",
        "--cutoffs", "2024-03-10,2024-03-24", "--horizon", "14", "--by-step",
    ]  # fmt: skip
    growth = json.loads(nearcast(*command, "--json").stdout)["error_growth"]
    assert [(row["stage"], row["steps"]) for row in growth] == [
        (stage, steps) for stage in ("lead", "offer", "won") for steps in ("1", "2-3", "4-7", "8-14")
    ]
    drawn = nearcast(*command).stdout.partition("Measured error by steps ahead")[2].splitlines()[2:]
    lengths = [line.rstrip().count("#") + line.count("|") for line in drawn[: len(growth)]]
    assert min(lengths) > 0
    for row, line in zip(growth, drawn, strict=False):
        assert f"{row['wql']:.3f}" in line
        assert "|" in line


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


@pytest.mark.slow
@pytest.mark.one_engine
def test_backtest_forecasts_the_same_whatever_rows_come_later(nearcast, sales_events, tmp_path):
    head, *rows = sales_events.splitlines()
    cut = [row for row in rows if row.split(",")[2] < "2024-03-11"]
    outputs = []
    for name, kept in (("whole", rows), ("cut", cut)):
        path, out = tmp_path / f"{name}.csv", tmp_path / f"{name}-forecasts.csv"
        path.write_text("\n".join([head, *kept]))
        nearcast(
            "backtest", str(path), "--stages", "lead,offer,won", "--exits", "lost", "--cutoffs", "2024-03-10",
            "--out", str(out),
        )  # fmt: skip
        outputs.append(out.read_bytes())
    assert outputs[0] == outputs[1]


@pytest.mark.one_engine
def test_backtest_looks_first_whether_its_output_can_be_written(told, tmp_path, monkeypatch):
    monkeypatch.setattr("service.cli.backtest.run", lambda *_, **__: pytest.fail("it was computed"))
    for out in (tmp_path / "nowhere" / "x.csv", tmp_path):
        code, _, text = told("backtest", "events.csv.gz", "--cutoffs", "2024-03-10", "--out", str(out))
        assert code == 2
        assert f"--out: {out} cannot be written" in text


@pytest.mark.one_engine
def test_a_backtest_that_fails_leaves_its_output_as_it_was(told, events, tmp_path):
    kept, absent = tmp_path / "kept.csv", tmp_path / "absent.csv"
    kept.write_text("worth keeping")
    for out in (kept, absent):
        code, _, text = told("backtest", str(events), "--cutoffs", "2031-03-01", "--out", str(out))
        assert code == 2
        assert "later than 2024-04-28, the last complete day" in text
    assert kept.read_text() == "worth keeping"
    assert not absent.exists()


@pytest.mark.one_engine
def test_backtest_reads_a_case_and_prints_scores_as_json(nearcast, events, tmp_path):
    case = {"stages": ["lead", "won"], "exits": ["lost"], "segment_by": "segment", "horizon": 7}
    (tmp_path / "case.json").write_text(json.dumps({**case, "cutoffs": ["2024-03-31"], "start": "2024-01-01"}))
    (tmp_path / "events.csv.gz").write_bytes(events.read_bytes())
    document = json.loads(nearcast("backtest", "--case", str(tmp_path), "--json").stdout)
    assert document["stages"] == ["lead", "won"]
    assert {score["stage"] for score in document["scorecard"]} == {"lead", "won"}


@pytest.mark.one_engine
def test_the_demo_forecasts_and_a_second_run_finds_nothing_new(nearcast, home):
    arguments = ("demo", "--exit", "--days", "90", "--directory", "small-demo")
    first = nearcast(*arguments).stdout
    assert "simulated" in first
    assert "the first version" in first
    for word in (
        "lead",
        "qualified",
        "offer_sent",
        "negotiation",
        "won",
        "smb",
        "mid_market",
        "enterprise",
        "Scorecard",
    ):
        assert word in first
    second = nearcast(*arguments).stdout
    assert "simulated" not in second
    assert "nothing new" in second
    assert (home / "small-demo" / "nearcast.db").exists()
    assert not (home / "nearcast-demo").exists()


@pytest.mark.slow
@pytest.mark.one_engine
def test_the_demo_serves_what_it_trained(home, nearcast, wait, tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = os.environ | {"NEARCAST_PORT": str(port), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "service.cli", "demo", "--days", "90", "--directory", "served-demo"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}/v1/funnels/demo/forecast"

    def answer():
        try:
            return httpx.get(address, timeout=5)
        except httpx.TransportError:
            return None

    try:
        found = wait(answer, seconds=120, what="the demo to serve")
        assert found.status_code == 200
        assert len(found.json()["forecasts"]) == 5 * 5
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15)


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
        assert command in listed
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
