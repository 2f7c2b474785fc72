"""Signing in at a server that asks for keys: the session, what it is good for, and how it ends."""

import re
import time
from datetime import UTC, datetime

import httpx
import pytest

from service.store.keys import revoke_key
from tests.service.guarded import bearer, new_key


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
    sign_in(browser, new_key(guarded.database, "leaver"))
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


def test_no_secret_is_in_any_log(guarded, browser):
    sign_in(browser, guarded.key["admin"], then="/runs")
    browser.get("/runs", params={"key": guarded.key["admin"]})
    guarded.elsewhere.get("/v1/funnels", headers=bearer(guarded.key["read"]))
    for server in (guarded.one, guarded.other):
        log = server.log.read_text()
        assert "request" in log
        assert not re.search(r"ncs?_[\w-]{20}", log)
