"""The pages in a real Chromium: drawn, accessible, silent, and from one server only.

axe-core 4.14.1 (MPL-2.0) lies beside this file, as published on npm.
"""

from __future__ import annotations

import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from service.dashboard.rendering import exact, more, number

pytestmark = [pytest.mark.one_engine, pytest.mark.slow]

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
AXE = Path(__file__).parent / "axe-core" / "axe.min.js"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
PAGES = ["/", "/stage", "/levers", "/scorecard", "/runs", "/upload"]


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
def test_pages_are_accessible_and_silent_and_ask_nobody_else(browser, server, sales, watched, width, scheme):
    # The policy forbids scripts that are not the page's own, so axe comes in past it.
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True, base_url=server.url
    )
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    addresses = [f"{path}?funnel={sales}" for path in PAGES]
    for path in (*addresses, f"/scorecard?funnel={watched}", f"/scorecard?funnel={watched}&segment=west"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert violations(page) == [], path
    assert said == []
    assert all(url.startswith(server.url) for url in asked)
    context.close()


@pytest.fixture
def page(browser, server):
    """A page under the policy; whatever the browser had to say of it, and whom it asked beside the server, fails."""
    context = browser.new_context(base_url=server.url)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert said == []
    assert all(url.startswith(server.url) for url in asked)


def figures_of(page, stage):
    """Of a stage on the page of levers: forecast, with levers, change."""
    row = page.locator("table.totals").first.get_by_role("row").filter(has=page.get_by_role("rowheader", name=stage))
    return row.get_by_role("cell").all_inner_texts()[:3]


def test_moving_a_slider_draws_at_once_what_the_api_answers(page, client, sales):
    from playwright.sync_api import expect

    page.goto(f"/levers?funnel={sales}")
    before = page.locator("path.median").last.get_attribute("d")
    slider = page.get_by_role("slider", name="Lever 1, slide")
    slider.focus()
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    expect(page.locator("[name=amount]").first).to_have_value("25")
    lever = {"kind": "inflow", "stage": "lead", "percent": 25}
    document = client.post(f"/v1/funnels/{sales}/scenario", json={"levers": [lever], "horizon": 28}).json()
    won = document["series"][-1]
    wanted = [exact(won["mean"]), exact(won["scenario"]), more(won["change"])]
    page.locator("table.totals").filter(has_text=wanted[2]).wait_for()
    assert figures_of(page, "won") == wanted
    assert page.locator("path.median").last.get_attribute("d") != before
    page.wait_for_url("**amount=25**")  # the address follows the answer; a reload before it would be cut off
    assert "won:" in page.locator("#told").inner_text()
    page.reload()
    assert figures_of(page, "won") == wanted


def test_the_charts_follow_while_the_slider_is_dragged(page, sales):
    page.goto(f"/levers?funnel={sales}")
    box = page.get_by_role("slider").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    seen = set()
    for part in range(5, 10):
        page.mouse.move(box["x"] + box["width"] * part / 10, box["y"] + box["height"] / 2)
        page.wait_for_timeout(150)
        seen.add(tuple(figures_of(page, "won")))
    page.mouse.up()
    assert len(seen) >= 4


def violations(page):
    """What axe finds on a page that lets its script in."""
    page.evaluate(AXE.read_text())
    return page.evaluate("axe.run().then(result => result.violations.map(each => [each.id, each.nodes[0].html]))")


def test_from_a_file_to_a_lever_in_one_sitting(page, client, sales_events, tmp_path):
    from playwright.sync_api import expect

    (tmp_path / "Shop.csv").write_text(sales_events)
    page.goto("/upload")
    page.get_by_label("A file of events or counts").set_input_files(tmp_path / "Shop.csv")
    expect(page.locator("input[name=funnel]")).to_have_value("shop")  # once the script is loaded
    page.get_by_role("button", name="Look at it").click()
    page.get_by_role("heading", name="What was inferred").wait_for()
    assert page.locator(".chain").inner_text().split()[::2] == ["lead", "offer", "won"]
    assert client.get("/v1/funnels/shop").status_code == 404
    page.get_by_role("button", name="Store and train").click()
    page.get_by_role("heading", name="Training").wait_for()
    page.get_by_role("heading", name="The forecast is ready").wait_for(timeout=300_000)
    page.get_by_role("link", name="See the forecast").click()
    document = client.get("/v1/funnels/shop/forecast", params={"segment": "total"}).json()
    totals = page.locator(".sums strong").all_inner_texts()
    assert totals[-1] == number(sum(step["mean"] for step in document["forecasts"][-1]["steps"]))
    page.get_by_role("link", name="won").click()
    assert page.locator("path.median").first.bounding_box()["width"] > 100
    page.get_by_role("link", name="Levers").click()
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    levers = [{"kind": "inflow", "stage": "lead", "percent": 11}]
    answer = client.post("/v1/funnels/shop/scenario", json={"levers": levers, "horizon": 28}).json()
    wanted = [exact(answer["series"][-1][name]) for name in ("mean", "scenario")]
    page.locator("table.totals").filter(has_text=wanted[1]).wait_for()
    assert figures_of(page, "won")[:2] == wanted


def test_a_file_names_a_new_funnel_where_others_are_served(
    page, client, sales, sales_events, retrain_over_http, tmp_path
):
    from playwright.sync_api import expect

    client.post("/v1/funnels/second/events", content=sales_events, headers={"content-type": "text/csv"})
    assert retrain_over_http(client, "second")["status"] == "succeeded"
    (tmp_path / "Third.csv").write_text(sales_events)
    page.goto("/upload")
    expect(page.locator("select[name=funnel]")).to_be_visible()  # the choice of funnels is no field of the form
    page.get_by_label("A file of events or counts").set_input_files(tmp_path / "Third.csv")
    expect(page.locator("input[name=funnel]")).to_have_value("third")


def test_a_file_is_dropped_on_the_page(page):
    page.goto("/upload?funnel=dropped")
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["entity_id,stage,ts\\na,lead,someday\\n"], "dropped.csv"));
            document.querySelector(".drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }"""
    )
    page.get_by_role("button", name="Look at it").click()
    assert page.get_by_role("row").filter(has_text="someday").first.inner_text().split()[:2] == ["2", "ts"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_what_was_found_in_a_file_is_accessible_and_fits(browser, server, sales_events, width, scheme):
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True, base_url=server.url
    )
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    for text in (sales_events, "entity_id,stage,ts\na,lead,someday\n"):
        page.goto("/upload?funnel=looked")
        page.set_input_files("input[type=file]", {"name": "a.csv", "mimeType": "text/csv", "buffer": text.encode()})
        page.get_by_role("button", name="Look at it").click()
        page.get_by_role("heading", name="Read it otherwise").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert violations(page) == []
    assert said == []
    context.close()


def focused(page):
    """Name and tag of what has the focus, and whether that can be seen."""
    return page.evaluate(
        """() => {
            const it = document.activeElement, seen = getComputedStyle(it).outlineStyle !== "none";
            return [it.tagName, (it.ariaLabel || it.labels?.[0]?.innerText || it.innerText || "").trim(), seen];
        }"""
    )


@pytest.mark.parametrize(
    ("path", "reached"),
    [("/", "won"), ("/stage", "Forecast by day"), ("/levers", "Lever 1, slide"), ("/upload", "Look at it")],
)
def test_pages_are_walked_through_by_keyboard_and_the_focus_is_seen(page, sales, path, reached):
    page.goto(f"{path}?funnel={sales}")
    page.keyboard.press("Tab")
    assert focused(page) == ["A", "Skip to content", True]
    page.keyboard.press("Enter")
    assert focused(page)[0] == "MAIN"
    stops = []
    while len(stops) < 40 and (not stops or stops[-1][1] != reached):
        page.keyboard.press("Tab")
        stops.append(focused(page))
    assert stops[-1][1] == reached
    assert all(seen for _, _, seen in stops)


def test_without_script_a_file_is_looked_at_stored_and_followed_by_plain_forms(browser, server, client, sales_events):
    context = browser.new_context(java_script_enabled=False, base_url=server.url)
    page = context.new_page()
    page.goto("/upload?funnel=plain")
    page.set_input_files("input[type=file]", {"name": "a.csv", "mimeType": "text/csv", "buffer": sales_events.encode()})
    page.get_by_role("button", name="Look at it").click()
    page.get_by_label("Time zone").fill("Europe/Amsterdam")
    page.get_by_role("button", name="Read it so").click()
    page.get_by_role("button", name="Store and train").click()
    page.get_by_role("heading", name="The forecast is ready").wait_for(timeout=300_000)
    assert client.get("/v1/funnels/plain").json()["declaration"]["timezone"] == "Europe/Amsterdam"
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


PICTURES = [("overview", "/"), ("stage", "/stage"), ("levers", "/levers"), ("upload", "/upload")]


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("picture", PICTURES, ids=[name for name, _ in PICTURES])
def test_pictures_of_the_readme_are_taken(browser, server, sales, tmp_path, picture, width):
    """Those in docs/ are the demo's: `PICTURES_OF=http://127.0.0.1:8000 PICTURES_IN=docs` while `make demo` serves."""
    (name, path), elsewhere = picture, os.environ.get("PICTURES_OF")
    context = browser.new_context(viewport={"width": width, "height": 900}, base_url=elsewhere or server.url)
    page = context.new_page()
    page.goto(path if elsewhere else f"{path}?funnel={sales}")
    file = Path(os.environ.get("PICTURES_IN", tmp_path)) / f"dashboard-{name}-{width}.png"
    page.screenshot(path=file, full_page=True, timeout=120_000)
    context.close()
    head = file.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    assert int.from_bytes(head[16:20], "big") == width
    assert int.from_bytes(head[20:24], "big") >= 900
