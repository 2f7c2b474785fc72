"""Signing in and out in a real Chromium, with and without script."""

from datetime import UTC, datetime

import pytest

from service.auth import digest_of, make_secret
from service.store.database import Database
from service.store.keys import create_key, revoke_key
from tests.service.test_dashboard_browser import browser, violations  # noqa: F401 - a fixture

pytestmark = [pytest.mark.one_engine, pytest.mark.slow]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, start_server):
    """A server that asks for keys, with a funnel that has no forecast yet."""
    with start_server(tmp_path_factory.mktemp("guarded"), workers="inline", auth="keys") as server:
        secret = new_key(server, "me", "admin")
        with server.client(headers={"authorization": f"Bearer {secret}"}) as client:
            assert client.put("/v1/funnels/shop", json={"stages": ["lead", "won"]}).status_code == 201
        yield server, secret


def new_key(server, name, scope):
    """The secret of a new key."""
    secret = make_secret()
    with Database(server.database_url) as database, database.write() as connection:
        create_key(connection, name, sha256=digest_of(secret), scope=scope, now=datetime.now(UTC))
    return secret


@pytest.mark.parametrize("script", [True, False])
def test_somebody_signs_in_works_and_signs_out(browser, guarded, script):  # noqa: F811
    server, secret = guarded
    context = browser.new_context(base_url=server.url, java_script_enabled=script)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.goto("/runs?funnel=shop")
    page.get_by_role("heading", name="Sign in").wait_for()
    assert page.get_by_role("navigation").count() == 0
    assert said == []
    page.get_by_label("Key").fill("nc_wrong")
    page.get_by_role("button", name="Sign in").click()
    assert page.get_by_role("alert").inner_text() == "This key is not known."
    said.clear()  # a browser reports the status 401 to its console
    page.get_by_label("Key").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/runs?funnel=shop")
    if script:
        assert page.evaluate("document.cookie") == ""
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Strict", False)
    page.get_by_role("button", name="Retrain now").click()
    page.get_by_role("rowheader", name="1").first.wait_for()
    assert page.locator(".who").inner_text().split() == ["me", "Sign", "out"]
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/signin")
    assert context.cookies() == []
    page.goto("/runs?funnel=shop")
    page.get_by_role("heading", name="Sign in").wait_for()
    assert said == []
    context.close()


def test_who_is_signed_in_with_a_revoked_key_is_led_to_the_sign_in(browser, guarded):  # noqa: F811
    server, _ = guarded
    secret = new_key(server, "leaver", "read")
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    page.goto("/signin?then=/upload")
    page.get_by_label("Key").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/upload")
    assert "may read only" in page.locator("main").inner_text()
    with Database(server.database_url) as database, database.write() as connection:
        revoke_key(connection, "leaver", now=datetime.now(UTC))
    page.wait_for_timeout(2000)
    page.goto("/")
    page.get_by_role("heading", name="Sign in").wait_for()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_the_sign_in_is_accessible_and_fits(browser, guarded, width, scheme):  # noqa: F811
    server, secret = guarded
    context = browser.new_context(
        viewport={"width": width, "height": 700}, color_scheme=scheme, bypass_csp=True, base_url=server.url
    )
    page = context.new_page()
    page.goto("/signin")
    for wrong in (False, True):
        if wrong:
            page.get_by_label("Key").fill("wrong")
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("alert").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert violations(page) == []
    page.get_by_label("Key").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []
    context.close()
