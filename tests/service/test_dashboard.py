"""The pages over a real server: what they show is what the API answers, and nothing comes from elsewhere."""

from __future__ import annotations

import re
from datetime import date
from html import escape
from types import SimpleNamespace

import pytest

from service.dashboard.overview import last_day_note
from service.dashboard.plot import axis
from service.dashboard.rendering import number, percent, signed

pytestmark = pytest.mark.one_engine

PAGES = ["/", "/stage", "/levers", "/scorecard", "/runs"]
HEAVIEST = 150_000
"""Bytes of a page, with its style and script."""


@pytest.fixture(params=PAGES)
def answer(request, client, sales):
    """A page of the funnel `sales`."""
    return client.get(request.param, params={"funnel": sales})


def test_every_page_is_whole_and_light_and_refers_to_nothing_outside(client, answer):
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?://|style=|<style|\son[a-z]+=", answer.text)
    assert "</html>" in answer.text
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text)
    assert len(files) in (3, 4)
    assert len(answer.content) + sum(len(client.get(file).content) for file in files) < HEAVIEST


def test_the_overview_sums_what_the_api_answers(client, sales):
    text = client.get("/", params={"funnel": sales}).text
    document = client.get(f"/v1/funnels/{sales}/forecast", params={"segment": "total", "horizon": 28}).json()
    for series in document["forecasts"]:
        means = [step["mean"] for step in series["steps"]]
        assert f"<strong>{number(sum(means[:7]))}</strong>" in text
        assert f"<strong>{number(sum(means))}</strong>" in text
    assert "in flight" in text
    assert "move on" in text


@pytest.mark.parametrize(("share", "said"), [(0.61, " (as far as it is told of, lead is 61 % complete)"), (1.0, "")])
def test_the_last_day_is_called_over_and_not_complete_where_it_is_not(share, said):
    days = [{"ds": date(2026, 10, 14), "share": share}, {"ds": date(2026, 10, 13), "share": 0.9}]
    quality = {"completeness": [{"stage": "lead", "days": days}]}
    served = SimpleNamespace(cutoff=date(2026, 10, 14), funnel=SimpleNamespace(frequency="day"), quality=quality)
    assert last_day_note(served).startswith(f"the last day that is over is that of 2026-10-14{said}; what came")


def test_a_stage_shows_the_steps_that_the_api_answers(client, sales):
    wanted = {"stage": "offer", "segment": "north", "horizon": 7}
    text = client.get("/stage", params={"funnel": sales, **wanted}).text
    [series] = client.get(f"/v1/funnels/{sales}/forecast", params=wanted).json()["forecasts"]
    for step in series["steps"]:
        assert f'<th scope="row">{step["date"]}</th><td class="num">{number(step["mean"])}</td>' in text
    assert text.count('<path class="observed"') == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/?funnel=nobody", 404),
        ("/stage?funnel=sales&stage=<script>", 404),
        ("/stage?funnel=sales&horizon=99", 422),
        ("/stage?funnel=sales&horizon=x", 422),
        ("/static/other.css", 404),
    ],
)
def test_what_cannot_be_shown_is_a_page_that_says_why(client, sales, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert "<h1>" in answer.text
    assert "<script>" not in answer.text
    assert "content-security-policy" in answer.headers


def test_the_scorecard_shows_the_scores_of_the_api(client, sales):
    text = client.get("/scorecard", params={"funnel": sales, "segment": "south"}).text
    scores = client.get(f"/v1/funnels/{sales}/scorecard").json()["scores"]
    own = [score for score in scores if score["segment"] == "south" and score["stage"] == "won"]
    assert own
    for score in own:
        assert f'<td class="num">{signed(score["skill"])}</td><td class="num">{percent(score["wmape"])}</td>' in text


def test_runs_are_shown_as_the_api_tells_them(client, sales):
    text = client.get("/runs", params={"funnel": sales}).text
    for run in client.get("/v1/runs", params={"funnel": sales}).json()["runs"]:
        assert f'<th scope="row">{run["run"]}</th>' in text
        assert escape(run["reason"]) in text


def test_what_was_repaired_is_shown_as_the_api_tells_it(client, retrain_over_http):
    days = [f"2024-{month:02}-{day:02},visit,{20 + day}" for month in (1, 2, 3) for day in range(1, 30)]
    rows = "\n".join(["ds,stage,y", *(row for row in days if "-02-1" not in row)])  # ten days are missing
    answer = client.post("/v1/funnels/gaps/counts", content=rows, headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert retrain_over_http(client, "gaps")["status"] == "succeeded"
    repairs = client.get("/v1/funnels/gaps/quality").json()["quality"]["repairs"]
    assert repairs
    text = client.get("/runs", params={"funnel": "gaps"}).text
    for repair in repairs:
        assert escape(repair["text"]) in text


def test_a_form_of_another_site_starts_nothing(client, sales):
    for headers in ({"origin": "https://elsewhere.example"}, {"sec-fetch-site": "cross-site"}):
        answer = client.post("/runs", params={"funnel": sales}, headers=headers)
        assert answer.status_code == 403
        assert "another site" in answer.text


def test_an_axis_ends_at_or_above_the_largest_value():
    for top in (0.3, 1, 7, 60, 61, 999, 12345):
        end, ticks = axis(top)
        assert end >= top
        assert ticks[-1] == end
        assert 3 <= len(ticks) <= 7
    assert axis(0.0) == (1.0, [0.0, 1.0])
