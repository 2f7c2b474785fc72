"""A server that asks for keys: who gets what, by bearer and by session, at two servers of one store, on each engine."""

import json
import re
import time
from contextlib import nullcontext as nothing
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest
from fastapi.routing import APIRoute

from service.app import NOUNS, make_app
from service.auth import digest_of, make_secret
from service.client import Client, ForbiddenError, UnauthenticatedError
from service.routes.access import OPEN, scope_needed
from service.settings import Settings
from service.store.database import Database
from service.store.keys import SCOPES, create_key, list_keys, revoke_key

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


def bearer(secret):
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def guarded(request, tmp_path_factory, scratch_postgres, start_server):
    """Two servers of one store that ask for keys; funnels `a` and `b`; a key of each scope, and one for `a` only."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    with (
        scratch_postgres() if request.param == "postgresql" else nothing(f"sqlite:///{first / 'store.db'}") as url,
        start_server(first, database_url=url, workers="inline", auth="keys") as one,
        start_server(second, database_url=url, workers="inline", auth="keys") as other,
        Database(url) as database,
        one.client() as client,
        other.client() as elsewhere,
    ):
        place = SimpleNamespace(one=one, other=other, client=client, elsewhere=elsewhere, database=database, url=url)
        place.key = {scope: new_key(place, scope, scope=scope) for scope in SCOPES}
        place.key["a"] = new_key(place, "only-a", scope="admin", funnels=["a"])
        for funnel in ("a", "b"):
            declared = client.put(
                f"/v1/funnels/{funnel}", json={"stages": ["lead", "won"]}, headers=bearer(place.key["write"])
            )
            assert declared.status_code == 201, declared.text
        yield place


def new_key(place, name, **options):
    """The secret of a key made past the servers."""
    secret = make_secret()
    with place.database.write() as connection:
        create_key(connection, name, sha256=digest_of(secret), **{"scope": "read", "now": datetime.now(UTC)} | options)
    return secret


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
        secret = new_key(guarded, f"race-{number}")
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
    secret = new_key(guarded, "old", expires_at=datetime.now(UTC) - timedelta(seconds=1))
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


@pytest.fixture
def browser(guarded):
    """A client that keeps cookies and says where its forms come from, as browsers do."""
    headers = {"accept": "text/html", "origin": guarded.one.url}
    with httpx.Client(base_url=guarded.one.url, timeout=60, headers=headers) as client:
        yield client


def sign_in(client, secret, **fields):
    return client.post("/signin", data={"key": secret, **fields})


def test_a_page_leads_to_the_sign_in_and_from_there_to_what_was_asked_for(guarded, browser):
    asked = browser.get("/runs", params={"funnel": "a"})
    assert (asked.status_code, asked.headers["location"]) == (303, "/signin?then=%2Fruns%3Ffunnel%3Da")
    form = browser.get(asked.headers["location"])
    assert form.status_code == 200
    assert 'value="/runs?funnel=a"' in form.text
    assert "default-src 'none'" in form.headers["content-security-policy"]
    assert not re.search(r"<nav|funnel=b|>b<", form.text), "nothing of what there is to see"
    refused = sign_in(browser, "nc_wrong", then="/runs?funnel=a")
    assert refused.status_code == 401
    assert "This key is not known" in refused.text
    assert "nc_wrong" not in refused.text
    assert not browser.cookies
    entered = sign_in(browser, guarded.key["read"], then="/runs?funnel=a")
    assert (entered.status_code, entered.headers["location"]) == (303, "/runs?funnel=a")
    rules = {part.strip().lower() for part in entered.headers["set-cookie"].split(";")[1:]}
    assert rules == {"httponly", "samesite=strict", "path=/", "max-age=43200"}
    assert guarded.key["read"] not in entered.headers["set-cookie"]
    page = browser.get("/runs?funnel=a")
    assert page.status_code == 200
    assert "Retrain now" not in page.text, "a key that may read is offered nothing else"
    assert "Sign out" in page.text
    assert browser.get("/v1/funnels").status_code == 200


def test_the_cookie_is_for_encrypted_connections_only_where_there_is_one(guarded, browser):
    secure = {"x-forwarded-proto": "https"}
    answer = browser.post("/signin", data={"key": guarded.key["read"]}, headers=secure)
    assert "secure" in {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}


@pytest.mark.parametrize(
    "then", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", "", "/a\r\nb"]
)
def test_signing_in_leads_nowhere_else(guarded, browser, then):
    assert sign_in(browser, guarded.key["read"], then=then).headers["location"] == "/"
    assert "evil" not in browser.get("/signin", params={"then": then}).text


def test_a_session_made_at_one_server_is_good_at_the_other_and_ends_at_both(guarded, browser):
    sign_in(browser, guarded.key["write"])
    cookie = {"cookie": f"nearcast_session={browser.cookies['nearcast_session']}"}
    assert guarded.elsewhere.get("/v1/funnels", headers=cookie).status_code == 200
    assert browser.post("/signout").headers["location"] == "/signin"
    assert not browser.cookies
    end = time.monotonic() + 2
    for client in (guarded.client, guarded.elsewhere):
        while client.get("/v1/funnels", headers=cookie).status_code != 401:
            assert time.monotonic() < end, "the session is still good"


def test_a_session_ends_with_its_key(guarded, browser):
    sign_in(browser, new_key(guarded, "leaver"))
    assert browser.get("/v1/funnels").status_code == 200
    with guarded.database.write() as connection:
        revoke_key(connection, "leaver", now=datetime.now(UTC))
    end = time.monotonic() + 2
    while browser.get("/v1/funnels").status_code != 401:
        assert time.monotonic() < end


@pytest.mark.parametrize(
    "said",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {},
    ],
)
@pytest.mark.parametrize("path", ["/runs?funnel=a", "/signout", "/v1/funnels/a/retrain", "/upload/t/confirm"])
def test_with_a_session_nothing_is_changed_by_what_another_site_sends(guarded, browser, path, said):
    sign_in(browser, guarded.key["admin"])
    cookie = {"cookie": f"nearcast_session={browser.cookies['nearcast_session']}"}
    answer = guarded.client.post(path, headers={**cookie, **said})
    assert answer.status_code == 403
    assert "another site" in answer.text
    assert browser.get("/v1/funnels").status_code == 200, "and the session goes on"


def test_another_site_cannot_sign_anybody_in(guarded):
    answer = guarded.client.post(
        "/signin", data={"key": guarded.key["read"]}, headers={"origin": "http://evil.example"}
    )
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_with_a_session_forms_of_the_dashboard_do_what_they_say(guarded, browser):
    sign_in(browser, guarded.key["write"])
    assert "Retrain now" in browser.get("/runs?funnel=a").text
    assert browser.post("/runs?funnel=a").headers["location"] == "/runs?funnel=a"


def test_metrics_are_for_a_key_of_scope_read(guarded):
    answer = guarded.client.get("/metrics", headers=bearer(guarded.key["read"]))
    assert answer.status_code == 200
    assert "nearcast_stale" in answer.text


def test_the_last_use_is_known_within_seconds_and_requests_are_logged_by_the_name_of_the_key(guarded, wait):
    secret = new_key(guarded, "seen")
    before = datetime.now(UTC)
    guarded.client.get("/v1/funnels", headers={**bearer(secret), "x-request-id": "by-seen"})

    def used():
        with guarded.database.read() as connection:
            return next(key.last_used_at for key in list_keys(connection) if key.name == "seen")

    assert wait(used, seconds=10, what="the last use") >= before
    lines = [json.loads(line) for line in guarded.one.log.read_text().splitlines() if line.startswith("{")]
    (line,) = [each for each in lines if each.get("request_id") == "by-seen"]
    assert line["key"] == "seen"


def test_no_secret_is_in_any_log(guarded, browser):
    sign_in(browser, guarded.key["admin"], then="/runs")
    browser.get("/runs", params={"key": guarded.key["admin"]})
    for server in (guarded.one, guarded.other):
        log = server.log.read_text()
        assert "request" in log
        assert not re.search(r"ncs?_[\w-]{20}", log)


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
