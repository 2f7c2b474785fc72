"""Forecasts over HTTP, from a real server on a real SQLite file."""

import csv
import io
from datetime import date, timedelta

import pandas as pd
import pytest

from models.forecast import QUANTILES
from service.problems import ProblemError
from service.routes import forecasts
from service.routes.forecasts import PARQUET
from tests.service.answers import problem

STAGES = ["lead", "offer", "won"]
SEGMENTS = ["total", "north", "south"]


@pytest.fixture
def forecast(client, sales):
    """Asks for a forecast of the trained funnel; keyword `headers`, the rest is the query."""

    def ask(headers=None, **query):
        return client.get(f"/v1/funnels/{sales}/forecast", params=query, headers=headers)

    return ask


def test_every_stage_of_every_segment_is_forecast_total_first(forecast):
    document = forecast().json()
    assert [(each["segment"], each["stage"]) for each in document["forecasts"]] == [
        (segment, stage) for segment in SEGMENTS for stage in STAGES
    ]
    assert document["funnel"] == "sales"
    assert document["version"] == 1
    assert document["stale"] is False
    assert document["frequency"] == "day"
    assert document["horizon"] == 28
    assert document["levels"] == [80, 95]


def test_steps_are_the_days_after_the_cutoff_with_ordered_quantiles_and_their_intervals(forecast):
    document = forecast(stage="won", segment="total").json()
    (series,) = document["forecasts"]
    cutoff = date.fromisoformat(document["cutoff"])
    assert [step["step"] for step in series["steps"]] == list(range(1, 29))
    for step in series["steps"]:
        assert date.fromisoformat(step["date"]) == cutoff + timedelta(days=step["step"])
        assert list(step["quantiles"]) == [f"{quantile:g}" for quantile in QUANTILES]
        values = list(step["quantiles"].values())
        assert values == sorted(values)
        assert values[0] >= 0
        assert step["intervals"]["80"] == [step["quantiles"]["0.1"], step["quantiles"]["0.9"]]
        assert step["intervals"]["95"] == [step["quantiles"]["0.025"], step["quantiles"]["0.975"]]
        assert step["reliable"] == (step["step"] <= series["reliable_until"])


def test_stage_segment_horizon_and_level_choose_what_is_answered(forecast):
    document = forecast(stage=["won", "lead"], segment="south", horizon=3, level="60").json()
    assert [(each["segment"], each["stage"]) for each in document["forecasts"]] == [("south", "lead"), ("south", "won")]
    assert document["horizon"] == 3
    for series in document["forecasts"]:
        assert len(series["steps"]) == 3
        assert list(series["steps"][0]["intervals"]) == ["60"]


def test_a_shorter_horizon_is_the_beginning_of_a_longer_one(forecast):
    short = forecast(stage="lead", segment="total", horizon=5).json()["forecasts"][0]["steps"]
    long = forecast(stage="lead", segment="total", horizon=56).json()["forecasts"][0]["steps"]
    assert len(long) == 56
    assert long[:5] == short


def test_csv_says_the_same_as_json(forecast):
    answer = forecast(headers={"accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    steps = [(series, step) for series in forecast().json()["forecasts"] for step in series["steps"]]
    assert len(rows) == len(steps)
    for row, (series, step) in zip(rows, steps, strict=True):
        assert (row["segment"], row["stage"], row["model"]) == (series["segment"], series["stage"], series["model"])
        assert (int(row["step"]), row["date"]) == (step["step"], step["date"])
        assert float(row["mean"]) == step["mean"]
        assert [float(row[f"q{name}"]) for name in step["quantiles"]] == list(step["quantiles"].values())
        assert [float(row["lower_95"]), float(row["upper_95"])] == step["intervals"]["95"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("text/csv;q=0.5, application/json;q=0.4", "text/csv"),
        ("text/*", "text/csv"),
        ("text/html, application/json;q=0.1", "application/json"),
        ("text/csv;q=0, */*", "application/json"),
    ],
)
def test_accept_decides_between_json_and_csv(forecast, accept, kind):
    assert forecast(headers={"accept": accept}).headers["content-type"].startswith(kind)


def test_another_media_type_is_refused_with_those_that_are_served(forecast):
    document = problem(forecast(headers={"accept": "image/png"}), 406, "not-acceptable")
    assert document["offered"] == ["application/json", "text/csv", PARQUET]


def test_parquet_and_the_long_form_say_the_same_as_json(forecast):
    document = forecast(horizon=3).json()
    steps = [(series, step) for series in document["forecasts"] for step in series["steps"]]
    told = [
        (series["segment"], series["stage"], step["date"], step["step"], float(name), value)
        for series, step in steps
        for name, value in step["quantiles"].items()
    ]
    names = ["segment", "stage", "ds", "step", "quantile", "value"]
    long = forecast(horizon=3, format="long").json()
    assert [tuple(row[name] for name in names) for row in long["rows"]] == told
    assert {name: long[name] for name in ("version", "cutoff", "levels")} == {
        name: document[name] for name in ("version", "cutoff", "levels")
    }
    rows = list(csv.DictReader(io.StringIO(forecast({"accept": "text/csv"}, horizon=3, format="long").text)))
    assert [(row["stage"], row["ds"], float(row["quantile"]), float(row["value"])) for row in rows] == [
        (stage, ds, quantile, value) for _, stage, ds, _, quantile, value in told
    ]
    frame = pd.read_parquet(io.BytesIO(forecast({"accept": PARQUET}, horizon=3).content))
    assert frame["mean"].tolist() == [step["mean"] for _, step in steps]
    frame = pd.read_parquet(io.BytesIO(forecast({"accept": PARQUET}, horizon=3, format="long").content))
    assert frame["value"].tolist() == [row[-1] for row in told]
    problem(forecast(format="short"), 422, "invalid-request")


def test_without_the_extra_a_caller_that_takes_nothing_but_parquet_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(forecasts, "parquet_installed", lambda: False)
    assert forecasts.forecast_type(f"{PARQUET}, text/csv;q=0.5") == "text/csv"
    with pytest.raises(ProblemError, match=r"Parquet needs the extra on the server: nearcast\[parquet\]") as error:
        forecasts.forecast_type(PARQUET)
    assert (error.value.status, error.value.slug) == (406, "not-acceptable")


def test_an_answer_that_the_caller_has_is_not_sent_again(forecast):
    first = forecast(stage="won")
    again = forecast(stage="won", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]
    assert forecast(stage="won", headers={"if-none-match": '"another"'}).status_code == 200


def test_each_different_answer_has_its_own_etag(forecast):
    queries = [{}, {"stage": "won"}, {"segment": "south"}, {"horizon": 3}, {"level": "80"}]
    tags = [forecast(**query).headers["etag"] for query in queries]
    tags.append(forecast(headers={"accept": "text/csv"}).headers["etag"])
    tags.append(forecast(headers={"accept": PARQUET}).headers["etag"])
    tags.append(forecast(format="long").headers["etag"])
    assert len(set(tags)) == len(tags)


def test_an_unknown_stage_is_answered_by_those_that_there_are(forecast):
    document = problem(forecast(stage="wonn"), 404, "series-not-found")
    assert document["stages"] == STAGES
    assert document["segments"] == SEGMENTS


def test_an_unknown_segment_likewise(forecast):
    assert problem(forecast(segment="west"), 404, "series-not-found")["segments"] == SEGMENTS


def test_a_year_is_refused_with_what_can_be_served_and_how_the_error_grows(forecast):
    document = problem(forecast(horizon=365), 422, "horizon-not-served")
    assert "365" in document["detail"]
    assert "56" in document["detail"]
    assert document["longest_horizon"] == 56
    growth = [row for row in document["error_growth"] if row["stage"] == "lead"]
    assert [row["steps"] for row in growth][:3] == ["1", "2-3", "4-7"]
    assert all(row["wmape"] is not None and row["wmape"] > 0 for row in growth[:3])


@pytest.mark.parametrize("horizon", ["0", "-1", "x", "1e999", "NaN", "99999999999999999999999", "\ud800"])
def test_a_horizon_that_is_none_is_a_problem_not_an_error_of_ours(client, sales, horizon):
    text = horizon.encode("utf-8", "surrogatepass")
    query = "horizon=" + "".join(f"%{byte:02X}" for byte in text)
    answer = client.get(f"/v1/funnels/{sales}/forecast?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("level", ["", "81", "80,", "abc", "80;95", "-80", "1e2", "²", "9" * 30])
def test_a_level_that_is_not_served_is_refused(forecast, level):
    problem(forecast(level=level), 422, "horizon-not-served")


def test_the_forecast_as_of_a_past_instant_is_what_was_published_then(forecast):
    published = forecast().json()["published_at"]
    assert forecast(as_of=published).json()["forecasts"] == forecast().json()["forecasts"]
    problem(forecast(as_of="2001-01-01T00:00Z"), 404, "version-not-found")


@pytest.mark.parametrize("as_of", ["yesterday", "2024-01-01", "2024-01-01T00:00", "", "9999-99-99T00:00Z"])
def test_an_instant_without_zone_or_sense_is_refused_with_what_to_write(forecast, as_of):
    document = problem(forecast(as_of=as_of), 422, "invalid-input")
    assert document["errors"][0]["field"] == "as_of"
    assert "2026-02-01T00:00Z" in document["errors"][0]["remedy"]


def test_a_plus_sign_that_the_query_string_swallowed_is_put_back(client, sales):
    assert client.get(f"/v1/funnels/{sales}/forecast?as_of=2999-01-01T00:00+01:00").status_code == 200


def test_a_funnel_that_is_not_there_and_one_without_a_forecast_are_told_apart(client):
    problem(client.get("/v1/funnels/nobody/forecast"), 404, "funnel-not-found")
    assert client.put("/v1/funnels/empty", json={"stages": ["a"]}).status_code == 201
    problem(client.get("/v1/funnels/empty/forecast"), 404, "version-not-found")


def test_the_scorecard_has_skill_and_coverage_by_stage_and_steps(client, sales):
    document = client.get(f"/v1/funnels/{sales}/scorecard").json()
    assert document["version"] == 1
    rows = {(score["segment"], score["stage"], score["steps"]): score for score in document["scores"]}
    score = rows["total", "lead", "1"]
    assert score["n"] > 0
    assert score["wql"] > 0
    assert 0 <= score["coverage80"] <= 1


def test_the_scorecard_has_a_live_part_and_alerts_are_listed(client, sales):
    live = client.get(f"/v1/funnels/{sales}/scorecard").json()["live"]
    assert set(live) == {"pooled", "scores", "drifting", "looked_at", "outside"}
    alerts = client.get(f"/v1/funnels/{sales}/alerts").json()
    assert (alerts["funnel"], alerts["level"], alerts["alerts"]) == (sales, 95, [])
    problem(client.get("/v1/funnels/nobody/alerts"), 404, "funnel-not-found")


def test_the_quality_report_has_repairs_and_uploads(client, sales):
    document = client.get(f"/v1/funnels/{sales}/quality").json()
    assert document["version"] == 1
    assert document["uploads"][-1]["inserted"] > 1000
    assert "repairs" in document["quality"]


def test_value_is_refused_where_no_row_carries_any_and_so_is_any_other_measure(forecast, client, sales):
    assert problem(forecast(measure="value"), 422, "no-value")["stages"] == []
    problem(client.get(f"/v1/funnels/{sales}/scorecard?measure=value"), 422, "no-value")
    problem(forecast(measure="price"), 422, "invalid-request")


def test_stages_whose_rows_carry_value_are_forecast_in_money_too(client, sales_events, retrain_over_http):
    lines = sales_events.splitlines()
    rows = [f"{line},{'' if ',lead,' in line else 50}" for line in lines[1:]]
    content = "\n".join([f"{lines[0]},value", *rows])
    answer = client.post("/v1/funnels/valued/events", content=content, headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert retrain_over_http(client, "valued")["status"] == "succeeded"

    def ask(**query):
        return client.get("/v1/funnels/valued/forecast", params=query).json()

    money, counts = ask(measure="value"), ask(stage=["offer", "won"])
    assert (money["measure"], counts["measure"]) == ("value", "count")
    assert [(each["segment"], each["stage"]) for each in money["forecasts"]] == [
        (segment, stage) for segment in SEGMENTS for stage in ("offer", "won")
    ]
    for worth, number in zip(money["forecasts"], counts["forecasts"], strict=True):
        ratio = sum(step["mean"] for step in worth["steps"]) / sum(step["mean"] for step in number["steps"])
        assert ratio == pytest.approx(50, rel=0.1)
        assert worth["coverage"]["80"]["samples"] > 0
        for step in worth["steps"]:
            assert step["in_flight"] + step["new"] == pytest.approx(step["mean"])
            assert step["in_flight_intervals"]["80"][0] <= step["in_flight"] <= step["in_flight_intervals"]["80"][1]
    problem(client.get("/v1/funnels/valued/forecast?measure=value&stage=lead"), 422, "no-value")
    scores = client.get("/v1/funnels/valued/scorecard?measure=value").json()["scores"]
    assert {score["stage"] for score in scores} == {"offer", "won"}
    assert {score["stage"] for score in client.get("/v1/funnels/valued/scorecard").json()["scores"]} == set(STAGES)
    table = csv.DictReader(
        io.StringIO(client.get("/v1/funnels/valued/forecast?measure=value", headers={"accept": "text/csv"}).text)
    )
    first = next(iter(table))
    assert float(first["mean"]) == money["forecasts"][0]["steps"][0]["mean"]
    assert float(first["new_upper_95"]) == money["forecasts"][0]["steps"][0]["new_intervals"]["95"][1]
