"""The gate over HTTP: steps that are not reliable are left out or refused, with the measured error."""

import pytest

from tests.service.answers import problem


def test_under_gate_refuse_steps_past_the_reliable_ones_are_left_out_with_the_reason(
    client, sales_events, retrain_over_http
):
    head, *rows = sales_events.splitlines()
    few = "\n".join([head, *(row for row in rows if ",2024-01" in row)])  # too short to show skill at eight weeks
    client.post("/v1/funnels/gated/events", content=few, headers={"content-type": "text/csv"})
    declaration = client.get("/v1/funnels/gated").json()["declaration"]
    assert client.put("/v1/funnels/gated", json={**declaration, "gate": "refuse"}).status_code == 200
    retrain_over_http(client, "gated")
    series = client.get("/v1/funnels/gated/forecast").json()["forecasts"]
    refused = [each for each in series if each["reliable_until"] < 28]
    assert refused
    for each in series:
        assert len(each["steps"]) == min(each["reliable_until"], 28)
        assert (each["refused"] is None) == (each["reliable_until"] >= 28)
    assert f"steps {refused[0]['reliable_until'] + 1} to 28" in refused[0]["refused"]


def test_under_gate_refuse_a_horizon_past_the_reliable_steps_is_refused_with_the_measured_error(
    client, sales_events, retrain_over_http
):
    head, *rows = sales_events.splitlines()
    few = "\n".join([head, *(row for row in rows if ",2024-01" in row or ",2024-02" in row)])
    client.post("/v1/funnels/guarded/events", content=few, headers={"content-type": "text/csv"})
    declaration = client.get("/v1/funnels/guarded").json()["declaration"]
    assert client.put("/v1/funnels/guarded", json={**declaration, "gate": "refuse"}).status_code == 200
    retrain_over_http(client, "guarded")
    until = {
        each["stage"]: each["reliable_until"]
        for each in client.get("/v1/funnels/guarded/forecast").json()["forecasts"]
        if each["segment"] == "total"
    }
    assert min(until.values()) < 56
    query = {"segment": "total", "horizon": 56}
    document = problem(client.get("/v1/funnels/guarded/forecast", params=query), 422, "horizon-not-served")
    assert document["longest_horizon"] == min(until.values())
    assert {row["stage"] for row in document["error_growth"]} <= {stage for stage in until if until[stage] < 56}
    assert "leave the horizon out" in document["detail"]
    scenario = {"levers": [{"kind": "inflow", "stage": "lead", "percent": 5}], "horizon": 56}
    problem(client.post("/v1/funnels/guarded/scenario", json=scenario), 422, "horizon-not-served")
    for stage, last in until.items():
        if last:
            query = {"segment": "total", "stage": stage, "horizon": last}
            (series,) = client.get("/v1/funnels/guarded/forecast", params=query).json()["forecasts"]
            assert len(series["steps"]) == last


@pytest.mark.slow
def test_an_answer_that_a_new_declaration_changes_is_sent_again(client, sales_events, retrain_over_http, wait):
    head, *rows = sales_events.splitlines()
    few = "\n".join([head, *(row for row in rows if ",2024-01" in row)])
    client.post("/v1/funnels/redeclared/events", content=few, headers={"content-type": "text/csv"})
    retrain_over_http(client, "redeclared")
    address, query = "/v1/funnels/redeclared/forecast", {"horizon": 56}
    first = client.get(address, params=query)
    assert first.status_code == 200
    headers = {"if-none-match": first.headers["etag"]}
    declaration = client.get("/v1/funnels/redeclared").json()["declaration"]

    def answered(status):
        answer = client.get(address, params=query, headers=headers)
        return answer if answer.status_code == status else None

    assert answered(304)
    client.put("/v1/funnels/redeclared", json={**declaration, "gate": "refuse"})
    refused = wait(lambda: answered(422), seconds=10, what="the gate to act")
    assert "gate" in refused.json()["detail"]
    client.put("/v1/funnels/redeclared", json=declaration)
    wait(lambda: answered(304), seconds=10, what="the gate to open")
    client.put("/v1/funnels/redeclared", json={**declaration, "max_horizon": 28})
    wait(lambda: answered(422), seconds=10, what="the longest horizon to act")
