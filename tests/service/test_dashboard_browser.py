"""The pages in a real Chromium: drawn, accessible, silent, and from one server only.

axe-core 4.14.1 (MPL-2.0) lies beside this file, as published on npm.
"""

from __future__ import annotations

import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

pytestmark = pytest.mark.one_engine

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
AXE = Path(__file__).parent / "axe-core" / "axe.min.js"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
PAGES = ["/", "/stage", "/scorecard", "/runs"]


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium."""
    if CHROMIUM is None:
        reason = "no chromium on this machine (Debian: apt install chromium)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--disable-sync"])
        yield browser
        browser.close()


def test_axe_is_what_was_published():
    assert sha256(AXE.read_bytes()).hexdigest() == AXE_SHA256


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_pages_are_accessible_and_silent_and_ask_nobody_else(browser, server, sales, width, scheme):
    # The policy forbids scripts that are not the page's own, so axe comes in past it.
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True, base_url=server.url
    )
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    for path in PAGES:
        page.goto(f"{path}?funnel={sales}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run().then(result => result.violations.map(each => [each.id, each.nodes[0].html]))")
        assert found == [], path
    assert said == []
    assert all(url.startswith(server.url) for url in asked)
    context.close()


@pytest.mark.parametrize("script", [True, False])
def test_the_forecast_is_drawn_with_and_without_script_under_the_policy(browser, server, sales, script):
    context = browser.new_context(java_script_enabled=script, base_url=server.url)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"/?funnel={sales}")
    page.get_by_role("link", name="won").first.click()
    drawn = page.locator("path.median").first.bounding_box()
    assert drawn is not None
    assert drawn["width"] > 100
    assert drawn["height"] > 20
    assert page.locator("path.observed").count() == 1
    assert said == []
    context.close()
