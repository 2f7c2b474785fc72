"""A run that a server started and that fails: who calls the API reads a reason, who runs the service reads the log."""

import json
import logging
import sys
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import IntegrityError

from models.funnel import Funnel
from service.cli import main
from service.logs import run_id as logged_run
from service.store.errors import StoreUnavailableError
from service.store.funnels import declare_funnel, get_funnel
from service.store.runs import get_run, queue_run


@pytest.fixture
def carry_out(sqlite_database, sqlite_url, monkeypatch, capsys):
    """Carries out a queued run as its server would: (exit status, the run, the lines of its log)."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    token = logged_run.set(None)
    now = datetime.now(UTC)  # a run that was queued a minute ago would be taken for dead
    with sqlite_database.write() as connection:
        declare_funnel(connection, "sales", Funnel(stages=("lead", "won")), now=now)
        run = queue_run(connection, get_funnel(connection, "sales").id, now=now)

    def carry():
        monkeypatch.setenv("NEARCAST_DATABASE_URL", sqlite_url)
        monkeypatch.setattr(sys, "argv", ["nearcast", "retrain", "--funnel", "sales", "--run", str(run.id), "--json"])
        with pytest.raises(SystemExit) as end:
            main()
        with sqlite_database.read() as connection:
            ended = get_run(connection, run.id)
        return end.value.code, ended, [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    yield carry
    logged_run.reset(token)
    root.handlers[:] = handlers
    root.setLevel(level)


def fail_with(monkeypatch, error):
    def read(*_):
        raise error

    monkeypatch.setattr("service.retrain.job.read_basis", read)


def test_what_the_driver_says_is_in_the_log_with_the_run_and_not_in_its_reason(carry_out, monkeypatch):
    fail_with(monkeypatch, StoreUnavailableError("the database does not answer", cause="10.0.0.7 port 5432 failed"))
    code, run, [line] = carry_out()
    assert code == 1
    assert (run.status, run.reason) == ("failed", "the database does not answer")
    assert (line["level"], line["message"], line["run_id"]) == ("warning", "the run failed", run.id)
    assert line["reason"] == "the database does not answer: 10.0.0.7 port 5432 failed"
    assert "exception" not in line


@pytest.mark.parametrize("bare", [False, True])
def test_a_statement_and_its_rows_are_in_the_log_and_not_in_the_reason(carry_out, sqlite_database, monkeypatch, bare):
    told = "INSERT INTO events VALUES ('someone@example.com')"
    driver = sqlite_database.engine.dialect.loaded_dbapi.IntegrityError(told)
    fail_with(monkeypatch, driver if bare else IntegrityError(told, (), driver))
    _, run, [line] = carry_out()
    assert run.reason == "IntegrityError: the log has it in full"
    assert "someone@example.com" in line["exception"]


def test_a_defect_is_in_the_log_with_its_traceback(carry_out, monkeypatch):
    fail_with(monkeypatch, FloatingPointError("a defect of ours"))
    code, run, [line] = carry_out()
    assert code == 1
    assert (line["level"], line["run_id"]) == ("error", run.id)
    assert line["exception"].endswith("FloatingPointError: a defect of ours")


def test_what_the_input_lacks_is_in_the_log_too(carry_out):
    code, run, [line] = carry_out()
    assert code == 2
    assert (line["level"], line["reason"]) == ("warning", run.reason)
    assert run.status == "failed"
