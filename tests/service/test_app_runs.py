"""Retrains over HTTP: in a process of their own, and always ended, whatever becomes of that process."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from service.store.database import Database
from service.store.funnels import get_funnel
from service.store.runs import queue_run

HEADERS = {"content-type": "text/csv"}


def child_of(server, run):
    """Process id of the retrain of `run`, as the server's children tell."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes().split(b"\0")
                owner = (entry / "status").read_text().partition("PPid:\t")[2].split()[:1]
                if owner == [str(server.process.pid)] and b"retrain" in command and str(run).encode() in command:
                    return int(entry.name)
    return None


def test_a_retrain_answers_at_once_and_publishes_a_version(client, sales_events, retrain_over_http):
    client.post("/v1/funnels/runs/events", content=sales_events, headers=HEADERS)
    run = retrain_over_http(client, "runs")
    assert run["status"] == "succeeded", run
    assert run["published"] is True
    assert [phase["name"] for phase in run["phases"]][:1] == ["read"]
    assert run["counts"]["series"] == 9
    versions = client.get("/v1/funnels/runs/versions").json()["versions"]
    assert [(version["version"], version["active"]) for version in versions] == [(1, True)]
    assert client.get("/v1/funnels/runs").json()["active_version"] == 1


def test_a_retrain_without_new_data_publishes_nothing(client, sales, retrain_over_http):
    run = retrain_over_http(client, sales)
    assert run["status"] == "succeeded"
    assert run["published"] is False
    assert "nothing new" in run["reason"]


def test_a_new_version_is_served_when_its_run_is_answered_as_ended(client, sales_events, retrain_over_http):
    head, *rows = sales_events.splitlines()
    first = "\n".join([head, *(row for row in rows if ",2024-04" not in row)])
    client.post("/v1/funnels/growing/events", content=first, headers=HEADERS)
    retrain_over_http(client, "growing")
    assert client.get("/v1/funnels/growing/forecast").json()["cutoff"] == "2024-03-31"
    client.post("/v1/funnels/growing/events", content=sales_events, headers=HEADERS)
    retrain_over_http(client, "growing")
    document = client.get("/v1/funnels/growing/forecast").json()
    assert (document["version"], document["cutoff"] > "2024-04-01") == (2, True)
    versions = client.get("/v1/funnels/growing/versions").json()["versions"]
    past = client.get("/v1/funnels/growing/forecast", params={"as_of": versions[-1]["published_at"]}).json()
    assert (past["version"], past["cutoff"]) == (1, "2024-03-31")


def test_an_earlier_version_is_activated_and_served_at_once(client, sales_events, retrain_over_http):
    for part in (sales_events.partition("2024-04-2")[0].rpartition("\n")[0], sales_events):
        client.post("/v1/funnels/back/events", content=part, headers=HEADERS)
        retrain_over_http(client, "back")
    answer = client.post("/v1/funnels/back/versions/1/activate")
    assert (answer.status_code, answer.json()["version"], answer.json()["active"]) == (200, 1, True)
    assert (answer.json()["changed_settings"], answer.json()["note"]) == ([], None)
    assert client.get("/v1/funnels/back/forecast").json()["version"] == 1
    listed = client.get("/v1/funnels/back/versions").json()["versions"]
    assert [(version["version"], version["active"]) for version in listed] == [(2, False), (1, True)]
    for address, status in (("back/versions/9", 404), ("back/versions/0", 422), ("nobody/versions/1", 404)):
        assert client.post(f"/v1/funnels/{address}/activate").status_code == status


def test_a_retrain_that_cannot_be_fails_with_the_reason_and_what_was_served_stays(client, retrain_over_http):
    client.put("/v1/funnels/nothing", json={"stages": ["a", "b"]})
    run = retrain_over_http(client, "nothing")
    assert run["status"] == "failed"
    assert run["reason"]
    assert run["published"] is False


def test_a_second_retrain_joins_the_one_that_is_going_on(server, client):
    client.put("/v1/funnels/busy", json={"stages": ["a"]})
    with Database(server.database_url) as database, database.write() as connection:
        from datetime import UTC, datetime

        queued = queue_run(connection, get_funnel(connection, "busy").id, now=datetime.now(UTC))
    answer = client.post("/v1/funnels/busy/retrain")
    assert answer.status_code == 202
    assert answer.json()["run"] == queued.id
    assert answer.headers["location"] == f"/v1/runs/{queued.id}"


def test_a_run_whose_process_is_killed_is_marked_failed(server, client, sales_events, wait):
    client.post("/v1/funnels/killed/events", content=sales_events, headers=HEADERS)
    run = client.post("/v1/funnels/killed/retrain").json()["run"]
    os.kill(wait(lambda: child_of(server, run), seconds=20, what="the process of the run"), signal.SIGKILL)

    def ended():
        found = client.get(f"/v1/runs/{run}").json()
        return found if found["status"] not in ("queued", "running") else None

    found = wait(ended, seconds=20, what="the run to be marked")
    assert found["status"] == "failed"
    assert "SIGKILL" in found["reason"]
    assert client.get("/v1/funnels/killed/forecast").status_code == 404
    assert client.post("/v1/funnels/killed/retrain").json()["run"] != run


def test_stopping_the_server_ends_its_runs(start_server, sales_events, tmp_path, wait):
    with start_server(tmp_path) as server, server.client() as client:
        client.post("/v1/funnels/stopped/events", content=sales_events, headers=HEADERS)
        run = client.post("/v1/funnels/stopped/retrain").json()["run"]
        process = wait(lambda: child_of(server, run), seconds=20, what="the process of the run")
    assert not Path(f"/proc/{process}").exists()
    with Database(server.database_url) as database, database.read() as connection:
        from service.store.runs import get_run

        found = get_run(connection, run)
    assert found.status == "failed"
    assert found.finished_at is not None


def test_runs_are_listed_newest_first_of_all_funnels_or_one(client, sales, retrain_over_http):
    client.put("/v1/funnels/beside", json={"stages": ["a", "b"]})
    newest = retrain_over_http(client, "beside")["run"]
    everything = [run["run"] for run in client.get("/v1/runs").json()["runs"]]
    assert everything == sorted(everything, reverse=True)
    assert len(everything) > 1
    assert everything[0] == newest
    of_one = client.get("/v1/runs", params={"funnel": sales, "limit": 1}).json()["runs"]
    assert [run["funnel"] for run in of_one] == [sales]


@pytest.mark.parametrize("address", ["/v1/runs/999999", "/v1/runs?funnel=nobody", "/v1/funnels/nobody/versions"])
def test_what_is_not_there_is_a_404_problem(client, address):
    answer = client.get(address)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("address", ["/v1/runs/0", "/v1/runs/x", "/v1/runs/99999999999999999999", "/v1/runs?limit=0"])
def test_a_run_or_limit_that_cannot_be_is_a_422_problem(client, address):
    answer = client.get(address)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_retraining_a_funnel_that_is_not_there_is_a_404_problem(client):
    answer: httpx.Response = client.post("/v1/funnels/nobody/retrain")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:nearcast:problem:funnel-not-found"
