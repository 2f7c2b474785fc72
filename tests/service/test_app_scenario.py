"""Scenarios over HTTP and on the command line, from a real server and a real store."""

import json
import subprocess
import sys
from datetime import date, timedelta

import pytest
from numpy.testing import assert_allclose

from service.schemas.levers import ScenarioDocument

LEAD = {"kind": "inflow", "stage": "lead", "add": 10}


@pytest.fixture
def ask(client, sales):
    """Asks a scenario of the trained funnel."""

    def answer(*levers, **more):
        return client.post(f"/v1/funnels/{sales}/scenario", json={"levers": list(levers), **more})

    return answer


def by_series(document):
    return {(series["segment"], series["stage"]): series for series in document["series"]}


def test_further_leads_arrive_at_each_stage_in_turn(ask, client, sales):
    document = ask(LEAD).json()
    ScenarioDocument.model_validate_json(json.dumps(document))
    series = by_series(document)
    assert list(series) == [("total", stage) for stage in ("lead", "offer", "won")]
    lead, offer, won = series.values()
    assert lead["change"] == pytest.approx(280)
    assert lead["change"] > offer["change"] > won["change"] > 20
    assert lead["half_arrived"]["step"] <= offer["half_arrived"]["step"] <= won["half_arrived"]["step"]
    assert (lead["decided"], won["decided"] > 0) == (0, True)
    published = client.get(f"/v1/funnels/{sales}/forecast", params={"segment": "total"}).json()["forecasts"]
    for one, other in zip(series.values(), published, strict=True):
        assert [step["mean"] for step in one["steps"]] == [step["mean"] for step in other["steps"]]
        assert one["mean"] == pytest.approx(sum(step["mean"] for step in other["steps"]))


def test_twice_the_levers_are_twice_the_change_day_by_day(ask):
    once, twice = (by_series(ask(*levers).json()) for levers in ([LEAD], [LEAD, LEAD]))
    for key, series in once.items():
        change = [step["change"] for step in series["steps"]]
        assert_allclose([step["change"] for step in twice[key]["steps"]], [2 * each for each in change], atol=1e-9)


def test_a_lever_works_between_its_days_in_its_segment_and_in_the_total(ask, client, sales):
    cutoff = date.fromisoformat(client.get(f"/v1/funnels/{sales}/forecast").json()["cutoff"])
    days = {"start": str(cutoff + timedelta(days=3)), "end": str(cutoff + timedelta(days=5))}
    document = ask({**LEAD, "segment": "north", **days}).json()
    assert document["levers"] == [{**LEAD, "segment": "north", "percent": None, "days": None, **days}]
    series = by_series(document)
    assert {segment for segment, _ in series} == {"total", "north"}
    changed = [step["step"] for step in series["north", "lead"]["steps"] if step["change"]]
    assert changed == [3, 4, 5]
    for stage in ("lead", "offer", "won"):
        assert series["north", stage]["change"] == pytest.approx(series["total", stage]["change"])
        assert all(step["change"] == 0 for step in series["total", stage]["steps"][:2])


def test_conversion_and_delay_answer_too(ask):
    more = by_series(ask({"kind": "conversion", "stage": "won", "percent": 10}).json())["total", "won"]
    assert 0.08 < more["change"] / more["mean"] < 0.12  # of the cascade's mean, which the published one is near
    later = by_series(ask({"kind": "delay", "stage": "won", "days": 2}).json())["total", "won"]
    assert later["change"] < 0
    assert later["steps"][0]["scenario"] < 0.5 * later["steps"][0]["mean"]


@pytest.mark.parametrize(
    ("levers", "field"),
    [
        ([{**LEAD, "percent": 5}], "levers.0.inflow"),
        ([LEAD, {"kind": "delay", "stage": "lead", "days": 1}], "levers.1.stage"),
        ([{**LEAD, "stage": "lost"}], "levers.0.stage"),
        ([{**LEAD, "segment": "west"}], "levers.0.segment"),
        ([{**LEAD, "start": "2020-01-01"}], "levers.0.start"),
        ([{**LEAD, "add": -1e6}], "add"),
        ([{"kind": "conversion", "stage": "won", "percent": 900}], "percent"),
        ([{"kind": "delay", "stage": "won", "days": -1}], "levers.0.days"),
    ],
)
def test_what_cannot_be_is_refused_with_place_and_reason(ask, levers, field):
    answer = ask(*levers, horizon=56)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["type"] == "urn:nearcast:problem:invalid-lever"
    (place,) = document["errors"]
    assert place["field"] == field
    assert len(place["reason"]) > 10


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b'{"levers": []}', "application/json", 422),
        (b'{"levers": [{"kind": "price", "stage": "won"}]}', "application/json", 422),
        (b'{"levers": [{"kind": "inflow", "stage": "lead", "add": "x"}]}', "application/json", 422),
        (b'{"levers": [{"kind": "inflow", "stage": "lead", "add": 1}], "horizon": 99}', "application/json", 422),
        (b"levers", "text/csv", 415),
    ],
)
def test_a_body_that_is_no_scenario_is_refused(client, sales, body, kind, status):
    answer = client.post(f"/v1/funnels/{sales}/scenario", content=body, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_funnel_without_a_version_or_unknown_is_not_found(client):
    assert client.post("/v1/funnels/nowhere/scenario", json={"levers": [LEAD]}).status_code == 404


@pytest.fixture
def command(server, sales):
    """Runs `nearcast scenario` on the server's store."""

    def run(*arguments):
        line = [sys.executable, "-m", "service.cli", "scenario", "--funnel", sales, *arguments]
        environment = {"NEARCAST_DATABASE_URL": server.database_url, "PATH": "/usr/bin:/bin"}
        return subprocess.run(line, capture_output=True, text=True, check=False, env=environment)

    return run


def test_the_command_line_says_what_http_says(command, ask):
    done = command("--inflow", "lead=+10", "--conversion", "won=-5%", "--json")
    assert done.returncode == 0, done.stderr
    answer = ask(LEAD, {"kind": "conversion", "stage": "won", "percent": -5}).json()
    assert json.loads(done.stdout) == answer
    table = command("--delay", "won=+3", "--segment", "north").stdout
    assert "not a claim about causes" in table
    assert "half arrived" in table


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "no lever"),
        (["--inflow", "lead"], "is not a lever"),
        (["--conversion", "won=+5"], "write won=+10%"),
        (["--delay", "won=+1.5"], "whole number"),
        (["--delay", "won=+5%"], "write won=+3"),
        (["--inflow", "lead=+5", "--start", "tomorrow"], "is not a day"),
        (["--inflow", "lost=+5"], "there is no stage 'lost'"),
    ],
)
def test_the_command_line_refuses_with_the_reason(command, arguments, reason):
    done = command(*arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
