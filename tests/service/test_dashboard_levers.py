"""The page of levers over a real server: its figures are those of `POST …/scenario`, and what cannot be is said."""

from __future__ import annotations

import re

import pytest

from service.dashboard.rendering import exact, more

LEVERS = [
    ("inflow", "lead", "20", "", ""),
    ("conversion", "won", "10", "", ""),
    ("add", "offer", "1.5", "", ""),
    ("delay", "won", "2", "", ""),
]
NAMES = ("kind", "stage", "amount", "start", "end")


def query_of(funnel, levers, **others):
    """The address of the form with these levers in it."""
    return [("funnel", funnel), *others.items(), *(pair for lever in levers for pair in zip(NAMES, lever, strict=True))]


def asked_of(levers, segment):
    """The same levers as the API takes them."""
    names = {"inflow": "percent", "conversion": "percent", "add": "add", "delay": "days"}
    return [
        {"kind": "inflow" if kind == "add" else kind, "stage": stage, "segment": segment, names[kind]: float(amount)}
        for kind, stage, amount, *_ in levers
    ]


def scenario(client, funnel, levers, *, segment="total", horizon=28):
    body = {"levers": asked_of(levers, segment), "horizon": horizon}
    answer = client.post(f"/v1/funnels/{funnel}/scenario", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", ["/levers", "/levers/answer"])
@pytest.mark.parametrize("segment", ["total", "north"])
def test_several_levers_change_what_the_api_says_they_change(client, sales, path, segment):
    query = query_of(sales, LEVERS, segment=segment, horizon=14)
    text = client.get(path, params=query).text
    for series in scenario(client, sales, LEVERS, segment=segment, horizon=14)["series"]:
        row = re.search(
            rf'<tr><th scope="row">{series["stage"]}</th>.*?</tr>', text[text.index(f", {series['segment']}<") :]
        )
        assert row is not None
        assert f"<strong>{exact(series['scenario'])}</strong>" in row[0]
        assert f">{more(series['change'])}<" in row[0]
        if series["segment"] == segment:
            for step in series["steps"]:
                line = re.search(rf'<tr><th scope="row">{step["date"]}</th>.*?</tr>', text)
                assert line is not None
                assert f'<td class="num">{exact(step["scenario"])}</td>' in line[0]


def test_without_a_query_a_tenth_more_comes_in_at_the_top(client, sales):
    text = client.get("/levers", params={"funnel": sales}).text
    (top, *_) = scenario(client, sales, [("inflow", "lead", "10")])["series"]
    assert f"<strong>{exact(top['scenario'])}</strong>" in text
    assert text.count("<fieldset") == 1


def test_a_lever_acts_from_its_day_to_its_day(client, sales):
    steps = client.get(f"/v1/funnels/{sales}/forecast", params={"stage": "lead"}).json()["forecasts"][0]["steps"]
    first, last = steps[2]["date"], steps[4]["date"]
    text = client.get("/levers", params=query_of(sales, [("add", "lead", "7", first, last)])).text
    assert f">{more(21.0)}<" in text
    assert f'value="{first}"' in text
    assert f'value="{last}"' in text


def test_levers_are_added_and_removed_without_script(client, sales):
    query = query_of(sales, LEVERS)
    assert client.get("/levers", params=[*query, ("more", "1")]).text.count("<fieldset") == len(LEVERS) + 1
    text = client.get("/levers", params=[*query, ("without", "1")]).text
    assert text.count("<fieldset") == len(LEVERS) - 1
    kept = scenario(client, sales, [lever for lever in LEVERS if lever[0] != "conversion"])["series"]
    assert f"<strong>{exact(kept[2]['scenario'])}</strong>" in text


@pytest.mark.parametrize(
    ("lever", "said"),
    [
        (("conversion", "lead", "10", "", ""), "nothing comes before"),
        (("inflow", "lead", "-101", "", ""), "must be within -100 and 1000"),
        (("inflow", "lead", "many", "", ""), "is not a number"),
        (("delay", "won", "1.5", "", ""), "whole number of steps"),
        (("inflow", "nowhere", "1", "", ""), "there is no stage"),
        (("inflow", "lead", "1", "yesterday", ""), "is not a day"),
        (("magic", "lead", "1", "", ""), "is no kind of lever"),
    ],
)
def test_a_lever_that_cannot_be_moved_so_is_said_beside_the_form(client, sales, lever, said):
    for path in ("/levers", "/levers/answer"):
        answer = client.get(path, params=query_of(sales, [lever]))
        assert answer.status_code == (422 if path == "/levers" else 200)
        assert said in answer.text
        assert 'role="alert"' in answer.text
    assert "<fieldset" in client.get("/levers", params=query_of(sales, [lever])).text


def test_parts_that_do_not_fit_together_and_too_many_levers_are_refused(client, sales):
    assert client.get("/levers", params=[("funnel", sales), ("kind", "inflow")]).status_code == 422
    assert client.get("/levers", params=query_of(sales, LEVERS * 4)).status_code == 422
    assert client.get("/levers", params={"funnel": sales, "segment": "nowhere"}).status_code == 404
