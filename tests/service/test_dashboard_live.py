"""Live scores on the scorecard page: the figures of the API, and what is missing while there are none."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from html import unescape

import pytest

from models.calendar import number_from_day
from models.funnel import Funnel
from models.live import BLOCKS, first_scored
from service.dashboard.live import live_page
from service.dashboard.rendering import decimals, exact, number, percent, signed
from service.serving import Serving

pytestmark = pytest.mark.one_engine


def served_from(database):
    serving = Serving(database)
    serving.refresh()
    return serving.find("sales")


def test_the_page_shows_what_the_api_says_of_published_forecasts(client, watched):
    text = unescape(client.get("/scorecard", params={"funnel": watched, "segment": "west"}).text)
    live = client.get(f"/v1/funnels/{watched}/scorecard").json()["live"]
    own = [score for score in live["scores"] if score["segment"] == "west"]
    assert {score["steps"] for score in own} == {"1-7", "8-14", "15-28"}
    for score in own:
        figures = [number(score["n"]), percent(score["coverage80"]), percent(score["coverage95"])]
        figures += [decimals(score["wql"]), signed(score["bias"]), percent(score["revision"], 1)]
        cells = "".join(f'<td class="num">{figure}</td>' for figure in figures)
        assert f'<th scope="row">{score["stage"]}</th><td>{score["steps"]}</td>{cells}' in text
    assert "west" in {each["segment"] for each in live["drifting"]}
    for each in live["drifting"]:
        assert f"the recent loss of steps 1-7 is {exact(each['ratio'])} times the backtest's" in text
    alerts = client.get(f"/v1/funnels/{watched}/alerts").json()["alerts"]
    own = [alert for alert in alerts if alert["segment"] == "west"]
    assert own
    for alert in own[:20]:
        assert f'<th scope="row">{alert["date"]}</th>' in text
    assert f"{len(own)} of {2 * 23} actuals left the interval" in text
    assert "The last forecasts, and what came" in text
    assert "Not scored yet" not in text


def test_a_first_version_says_what_is_missing_and_from_when_on_it_will_be_there(client, sales):
    text = " ".join(client.get("/scorecard", params={"funnel": sales}).text.split())
    assert client.get(f"/v1/funnels/{sales}/scorecard").json()["live"]["scores"] == []
    assert "No published forecast has come due yet" in text
    for first, last in BLOCKS:
        assert f"(steps {first}-{last})" in text
    assert "total has 0 so far" in text
    assert "puts its forecasts here, beside what came" in text
    assert "Told when an actual has arrived after a version was published" in text


def test_the_first_day_that_is_promised_is_the_one_that_is_scored(sqlite_database, pass_nights):
    pass_nights(sqlite_database, range(1))
    served = served_from(sqlite_database)
    began, promised = served.cutoff, live_page(served, segment="total").later
    assert [steps for steps, _ in promised] == ["1-7", "8-14", "15-28"]
    (_, first), (_, second), _ = promised
    nights = 0
    for upto, wanted in ((first - timedelta(days=1), []), (first, ["1-7"]), (second, ["1-7", "8-14"])):
        pass_nights(sqlite_database, range(nights + 1, (upto - began).days + 1))
        nights = (upto - began).days
        page = live_page(served_from(sqlite_database), segment="total")
        assert [score["steps"] for score in page.scores[0][2] if score["n"]] == wanted if page.scores else not wanted
        assert [steps for steps, _ in page.later] == [f"{a}-{b}" for a, b in BLOCKS[len(wanted) : 3]]


def test_weeks_are_promised_by_their_last_days_and_a_version_from_before_promises_nothing(sqlite_database, pass_nights):
    pass_nights(sqlite_database, range(1))
    served = served_from(sqlite_database)
    sunday = date(2026, 3, 1)
    weekly = replace(served, funnel=Funnel(stages=("visit", "lead"), frequency="week"), cutoff=sunday, horizon=13)
    (_, first), (_, second) = live_page(weekly, segment="total").later
    week = number_from_day(sunday - timedelta(days=6)) // 7
    weeks = [(day - sunday).days / 7 for day in (first, second)]
    assert [week + ahead for ahead in weeks] == first_scored(week, horizon=13)[:2]
    assert live_page(replace(served, live={}), segment="total") is None
