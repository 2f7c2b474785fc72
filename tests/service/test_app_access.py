"""A server that asks for keys: who gets what, at two servers of one store, on each engine."""

import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.routing import APIRoute

from service.app import NOUNS, make_app
from service.client import Client, ForbiddenError, UnauthenticatedError
from service.routes.access import OPEN, scope_needed
from service.settings import Settings
from service.store.keys import SCOPES, list_keys, revoke_key
from tests.service.guarded import bearer, new_key

CSV = {"content-type": "text/csv"}
ROUTES = [
    (method, route.path)
    for noun in NOUNS
    for route in noun.router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods)
]
PLACES = {"{funnel}": "a", "{run}": "1", "{version}": "1", "{token}": "t", "{name}": "dashboard.css"}


def filled(path, **places):
    """An address from a route's template."""
    for name, value in {**PLACES, **places}.items():
        path = path.replace(name, value)
    return path


def problem(answer):
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.json()["type"].rpartition(":")[2]


@pytest.mark.slow
def test_nothing_but_what_is_meant_to_be_open_is_answered_without_a_good_key(guarded):
    answered = set()
    for method, path in ROUTES:
        for headers in ({}, bearer("nc_" + "A" * 43), {"cookie": "nearcast_session=ncs_" + "A" * 43}):
            answer = guarded.client.request(method, filled(path), headers=headers)
            if answer.status_code != 401:
                answered.add(path)
            else:
                assert answer.headers["www-authenticate"] == "Bearer"
    assert answered == OPEN
    assert {path for _, path in ROUTES} > OPEN


def test_each_route_needs_its_scope_and_no_more(guarded):
    needed = {(method, path): scope_needed(method, path) for method, path in ROUTES}
    assert {path for (_, path), scope in needed.items() if scope == "admin"} == {
        "/v1/funnels/{funnel}/versions/{version}/activate"
    }
    for (method, path), scope in needed.items():
        for held in SCOPES:
            # Of a funnel that is not there, so that what is allowed does nothing either.
            address, headers = filled(path, **{"{funnel}": "not-there"}), bearer(guarded.key[held])
            answer = guarded.client.request(method, address, params={"funnel": "not-there"}, headers=headers)
            lacking = scope is not None and SCOPES.index(held) < SCOPES.index(scope)
            assert (f"this needs a key of scope {scope}; " in answer.text) == lacking, (method, path, held, answer.text)
            assert (answer.status_code == 403) == lacking, (method, path, held, answer.text)


def test_a_key_for_one_funnel_reaches_no_other_and_sees_no_other(guarded):
    headers = bearer(guarded.key["a"])
    for method, path in ROUTES:
        if "{funnel}" in path:
            answer = guarded.client.request(method, filled(path, **{"{funnel}": "b"}), headers=headers)
            assert (answer.status_code, problem(answer)) == (403, "forbidden"), path
            missing = guarded.client.request(method, filled(path, **{"{funnel}": "not-there"}), headers=headers)
            assert missing.json()["detail"] == answer.json()["detail"], "what is not there is told the same"
    get = lambda path, **query: guarded.client.get(path, params=query, headers=headers)  # noqa: E731
    assert [each["funnel"] for each in get("/v1/funnels").json()["funnels"]] == ["a"]
    assert get("/metrics").status_code == 403
    assert get("/v1/runs", funnel="b").status_code == 403
    for page in ("/", "/stage", "/levers", "/levers/answer", "/scorecard", "/runs"):
        assert get(page, funnel="b").status_code == 403, page
        shown = get(page)
        assert shown.status_code in (200, 404), page
        assert "funnel=b" not in shown.text
        assert ">b<" not in shown.text
    form = {"data": {"funnel": "b", "kind": "events"}, "files": {"file": ("x.csv", b"entity_id,stage,ts\n")}}
    assert guarded.client.post("/upload", headers=headers, **form).status_code == 403
    assert guarded.client.post("/runs", params={"funnel": "b"}, headers=headers).status_code == 403


def test_runs_and_waiting_uploads_of_other_funnels_are_not_shown(guarded):
    run = guarded.client.post("/v1/funnels/b/retrain", headers=bearer(guarded.key["write"])).json()["run"]
    form = {"data": {"funnel": "b", "kind": "events"}, "files": {"file": ("x.csv", b"entity_id,stage,ts\n")}}
    waiting = guarded.client.post("/upload", headers=bearer(guarded.key["write"]), **form).headers["location"]
    for headers, status in ((bearer(guarded.key["a"]), 403), (bearer(guarded.key["read"]), 200)):
        assert guarded.client.get(f"/v1/runs/{run}", headers=headers).status_code == status
        assert guarded.client.get(waiting, headers=headers).status_code == status
    for action in ("read", "confirm", "discard"):
        answer = guarded.client.post(f"{waiting}/{action}", headers=bearer(guarded.key["a"]))
        assert answer.status_code == 403, action
    own, every = (
        guarded.client.get("/v1/runs", headers=bearer(guarded.key[name])).json()["runs"] for name in ("a", "read")
    )
    assert "b" not in {each["funnel"] for each in own}
    assert run in {each["run"] for each in every}


@pytest.mark.slow
def test_a_new_key_is_good_at_once_and_a_revoked_one_is_refused_at_the_other_server_within_two_seconds(guarded):
    for number in range(3):
        secret = new_key(guarded.database, f"race-{number}")
        headers = bearer(secret)
        assert guarded.client.get("/v1/funnels", headers=headers).status_code == 200
        assert guarded.elsewhere.get("/v1/funnels", headers=headers).status_code == 200
        with guarded.database.write() as connection:
            revoke_key(connection, f"race-{number}", now=datetime.now(UTC))
        end = time.monotonic() + 2
        for client in (guarded.client, guarded.elsewhere):
            while (answer := client.get("/v1/funnels", headers=headers)).status_code != 401:
                assert time.monotonic() < end, "the revoked key is still good"
            assert (problem(answer), answer.json()["detail"]) == (
                "unauthenticated",
                f"the key 'race-{number}' is revoked; ask for a new one",
            )


def test_an_expired_key_is_refused_and_says_so(guarded, wait):
    secret = new_key(guarded.database, "old", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    answer = guarded.client.get("/v1/runs", headers={**bearer(secret), "x-request-id": "by-old"})
    assert "'old' is expired" in answer.json()["detail"]

    def logged():
        lines = [json.loads(line) for line in guarded.one.log.read_text().splitlines() if line.startswith("{")]
        return [each for each in lines if each.get("request_id") == "by-old"]

    (line,) = wait(logged, seconds=10, what="the line of the request")
    assert (line["status"], line.get("key")) == (401, "old")


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "Bearer", "nc_x", "Bearer é", "Bearer a b c", ""])
def test_any_other_authorization_is_refused_and_never_echoed(guarded, header):
    answer = guarded.client.get("/v1/funnels", headers=[(b"authorization", header.encode())])
    assert (answer.status_code, problem(answer)) == (401, "unauthenticated")
    assert "dXNl" not in answer.text


def test_health_readiness_and_the_description_are_open_and_the_description_says_what_is_needed(guarded):
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert guarded.client.get(path).status_code == 200
    document = guarded.client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    activate = document["paths"]["/v1/funnels/{funnel}/versions/{version}/activate"]["post"]
    assert activate["security"] == [{"key": ["admin"]}]
    assert {"401", "403"} <= activate["responses"].keys()
    assert "security" not in document["paths"]["/healthz"]["get"]
    optional = make_app(Settings()).openapi()["paths"]["/v1/funnels"]["get"]["security"]
    assert optional == [{"key": ["read"]}, {}], "where no keys are asked for, none need be sent"


def test_every_documented_route_answers_401_and_403_as_documented(guarded):
    import schemathesis

    api = schemathesis.openapi.from_url(f"{guarded.one.url}/openapi.json")
    for path, operations in guarded.client.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            if "security" in operation:
                for headers in ({}, bearer(guarded.key["a"])):
                    places = dict.fromkeys(re.findall(r"{(\w+)}", path), "b")
                    case = api[path][method.upper()].Case(path_parameters=places, headers=headers)
                    answer = case.call()
                    api[path][method.upper()].validate_response(answer)
                    assert answer.status_code in ((401,) if not headers else (200, 202, 403, 422))


def test_metrics_are_for_a_key_of_scope_read(guarded):
    answer = guarded.client.get("/metrics", headers=bearer(guarded.key["read"]))
    assert answer.status_code == 200
    assert "nearcast_stale" in answer.text


def test_the_last_use_is_known_within_seconds_and_requests_are_logged_by_the_name_of_the_key(guarded, wait):
    secret = new_key(guarded.database, "seen")
    before = datetime.now(UTC)
    guarded.client.get("/v1/funnels", headers={**bearer(secret), "x-request-id": "by-seen"})

    def used():
        with guarded.database.read() as connection:
            return next(key.last_used_at for key in list_keys(connection) if key.name == "seen")

    assert wait(used, seconds=10, what="the last use") >= before
    lines = [json.loads(line) for line in guarded.one.log.read_text().splitlines() if line.startswith("{")]
    (line,) = [each for each in lines if each.get("request_id") == "by-seen"]
    assert line["key"] == "seen"


def test_the_client_sends_its_key_and_tells_401_from_403(guarded, monkeypatch):
    url = guarded.one.url
    with Client(url) as nobody, pytest.raises(UnauthenticatedError, match="send a key"):
        nobody.funnels()
    with Client(url, key=guarded.key["read"] + "\n") as reader:  # as read from a file
        assert [each["funnel"] for each in reader.funnels()] == ["a", "b"]
        with pytest.raises(ForbiddenError, match="needs a key of scope write"):
            reader.declare("c", stages=["lead"])
    monkeypatch.setenv("NEARCAST_KEY", guarded.key["a"])
    with Client(url) as by_environment:
        assert [each["funnel"] for each in by_environment.funnels()] == ["a"]
    with Client(url, key=guarded.key["read"]) as said, Client(url, headers={"Authorization": "Bearer x"}) as header:
        assert len(said.funnels()) == 2
        with pytest.raises(UnauthenticatedError):
            header.funnels()


@pytest.mark.parametrize("key", ["nc_é", "two words", "a\x00b", "nc_secret\nx"])
def test_the_client_refuses_what_cannot_be_a_key_without_telling_it(key):
    with pytest.raises(ValueError, match="begins with nc_") as caught:
        Client("http://127.0.0.1:9", key=key)
    assert key not in str(caught.value)
