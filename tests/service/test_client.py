"""The Python client against a real server with a real store."""

import io
import subprocess
import sys
from datetime import timedelta

import httpx
import pandas as pd
import pytest

from service.client import (
    Client,
    ClientError,
    NotFoundError,
    ProblemError,
    RefusedError,
    RunFailedError,
    WaitError,
)

pytestmark = pytest.mark.one_engine

QUANTILES = ["q0.025", "q0.1", "q0.2", "q0.3", "q0.4", "q0.5", "q0.6", "q0.7", "q0.8", "q0.9", "q0.975"]


@pytest.fixture
def nearcast(server):
    with Client(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def events(sales_events):
    return pd.read_csv(io.StringIO(sales_events), parse_dates=["ts"])


@pytest.fixture(scope="module")
def pipeline(server, events):
    """A funnel that was declared, fed with a frame and trained through the client alone."""
    with Client(server.url) as client:
        client.declare("pipeline", stages=["lead", "offer", "won"], exits=["lost"], segment_by="segment")
        report = client.ingest("pipeline", events)
        assert report["rows"] == len(events)
        run = client.retrain("pipeline", seconds=120)
        assert (run["status"], run["published"]) == ("succeeded", True)
    return "pipeline"


def test_a_forecast_is_a_tidy_frame_of_what_the_server_publishes(nearcast, pipeline, client):
    frame = nearcast.forecast(pipeline)
    bounds = [
        f"{part}_{side}_{level}" for part in ("in_flight", "new") for level in (80, 95) for side in ("lower", "upper")
    ]
    parts = ["in_flight", "new", *bounds, "reliable"]
    assert list(frame) == ["segment", "stage", "ds", "step", "mean", *QUANTILES, *parts]
    assert len(frame) == 3 * 3 * 28
    assert frame["ds"].dt.tz is None
    published = client.get(f"/v1/funnels/{pipeline}/forecast").json()
    assert frame.attrs["version"] == published["version"]
    assert frame["mean"].tolist() == [step["mean"] for each in published["forecasts"] for step in each["steps"]]
    won = frame[frame["stage"] == "won"]
    assert (won["in_flight"] + won["new"] - won["mean"]).abs().max() < 1e-9
    assert (won["new_lower_80"] <= won["new_upper_80"]).all()


def test_a_forecast_is_selected_by_stage_segment_and_horizon(nearcast, pipeline):
    frame = nearcast.forecast(pipeline, stage="won", segment=["north", "south"], horizon=5)
    assert set(zip(frame["segment"], frame["stage"], strict=True)) == {("north", "won"), ("south", "won")}
    assert frame.groupby("segment")["step"].max().tolist() == [5, 5]
    published = pd.Timestamp(frame.attrs["published_at"]).to_pydatetime()
    past = nearcast.forecast(pipeline, stage="won", segment=["north", "south"], horizon=5, as_of=published)
    pd.testing.assert_frame_equal(past, frame)


def test_declared_days_ahead_come_with_what_they_did_before(nearcast, events, server):
    last = events["ts"].max().date()
    days = [str(last + timedelta(days)) for days in (-41, -32, -23, -14, 5)]
    declared = [{"name": "Sale", "start": day, "end": day} for day in days]
    nearcast.declare("days", stages=["lead", "offer", "won"], segment_by="segment", declared_days=declared)
    nearcast.ingest("days", events)
    nearcast.retrain("days", seconds=120)
    frame = nearcast.declared("days", stage=["lead", "won"], segment="total")
    assert frame[["stage", "name", "evidence"]].to_numpy().tolist() == [["lead", "Sale", 4], ["won", "Sale", 4]]
    assert str(frame["start"][0].date()) == days[-1]
    assert (frame["factor"] > 0).all()
    assert nearcast.declared("days", horizon=4).empty  # the day ahead is the fifth
    assert len(nearcast.declared("days", stage=["lead", "won"], segment="total", horizon=5)) == 2
    published = nearcast.forecast("days").attrs["published_at"]
    past = nearcast.declared("days", stage=["lead", "won"], segment="total", as_of=published)
    pd.testing.assert_frame_equal(past, frame)
    told = f"Sale, {days[-1]}: the forecast times {frame['factor'][0]:.2f}, learnt from 4 earlier days"
    page = httpx.get(f"{server.url}/stage", params={"funnel": "days", "stage": "lead"}).text
    assert f"<li>{told}</li>" in page
    assert f"<li>Sale, {days[0]}</li>" in page


def test_sending_the_same_frame_again_changes_nothing(nearcast, pipeline, events):
    report = nearcast.ingest(pipeline, events)
    assert (report["unchanged"], report["inserted"], report["revised"]) == (len(events), 0, 0)


def test_files_of_every_format_are_sent_as_what_they_are(nearcast, events, tmp_path):
    few = events.head(50)
    text = few.assign(ts=few["ts"].map(pd.Timestamp.isoformat))
    few.to_csv(tmp_path / "a.csv", index=False)
    few.to_csv(tmp_path / "a.csv.gz", index=False)
    text.to_json(tmp_path / "a.ndjson", orient="records", lines=True)
    text.to_json(tmp_path / "a.json", orient="records")
    few.to_parquet(tmp_path / "a.parquet", index=False)
    nearcast.ingest("formats", few)
    for path in sorted(tmp_path.iterdir()):
        report = nearcast.ingest("formats", path)
        assert (report["unchanged"], report["inserted"]) == (50, 0), path.name


def test_counts_and_reading_options_go_along(nearcast):
    days = pd.date_range("2024-01-01", periods=3)
    report = nearcast.ingest(
        "visits", pd.DataFrame({"day": days, "stage": "visit", "y": 3}), kind="counts", map="ds=day"
    )
    assert (report["kind"], report["inserted"]) == ("counts", 3)


def test_an_idempotency_key_is_replayed_and_never_used_for_another_body(nearcast, events):
    first = nearcast.ingest("once", events.head(20), idempotency_key="export-1")
    assert nearcast.ingest("once", events.head(20), idempotency_key="export-1") == first
    with pytest.raises(RefusedError, match="another body"):
        nearcast.ingest("once", events.head(21), idempotency_key="export-1")


def test_a_refused_row_is_named_by_line_field_and_remedy(nearcast, events):
    bad = events.head(3).assign(ts=["2024-01-01T00:00Z", "yesterday", "2024-01-02T00:00Z"])
    with pytest.raises(RefusedError) as caught:
        nearcast.ingest("refused", bad)
    error = caught.value
    assert (error.slug, error.status) == ("invalid-input", 422)
    (place,) = error.places
    assert (place.line, place.field) == (3, "ts")
    assert place.remedy is not None
    assert str(place) in str(error)
    assert str(error).count("line 3") == 1


def test_a_far_horizon_is_refused_with_the_growth_of_the_error(nearcast, pipeline):
    with pytest.raises(RefusedError, match="365 days is not served") as caught:
        nearcast.forecast(pipeline, horizon=365)
    assert caught.value.members["longest_horizon"] == 56
    assert {row["stage"] for row in caught.value.members["error_growth"]} == {"lead", "offer", "won"}


def test_what_is_not_there_is_not_found(nearcast, pipeline):
    for ask in (
        lambda: nearcast.forecast("nobody"),
        lambda: nearcast.run(2_000_000),
        lambda: nearcast.quality("nobody"),
    ):
        with pytest.raises(NotFoundError):
            ask()
    with pytest.raises(NotFoundError, match="no stage 'wom'") as caught:
        nearcast.forecast(pipeline, stage="wom")
    assert caught.value.members["stages"] == ["lead", "offer", "won"]
    with pytest.raises(ProblemError):
        nearcast.forecast("a/b?c")


def test_scorecard_quality_and_versions(nearcast, pipeline):
    scores = nearcast.scorecard(pipeline)
    assert {"segment", "stage", "steps", "n", "wql", "skill", "coverage80"} <= set(scores)
    assert scores["coverage80"].between(0, 1).all()
    quality = nearcast.quality(pipeline)
    assert quality["version"] == 1
    assert quality["uploads"][-1]["inserted"] > 0
    versions = nearcast.versions(pipeline)
    assert versions["active"].tolist() == [True]
    assert versions["published_at"].dt.tz is not None
    (listed,) = [each for each in nearcast.funnels() if each["funnel"] == pipeline]
    assert (listed["inferred"], listed["active_version"]) == (False, 1)


def test_a_version_is_activated_by_its_number(nearcast, events):
    for part in (events.head(400), events.head(500)):
        nearcast.ingest("rolled", part)
        nearcast.retrain("rolled", seconds=120)
    second = nearcast.forecast("rolled")
    assert nearcast.activate("rolled", 1)["active"] is True
    versions = nearcast.versions("rolled").set_index("version")["active"]
    assert versions.to_dict() == {2: False, 1: True}
    first = nearcast.forecast("rolled")
    assert (first.attrs["version"], second.attrs["version"]) == (1, 2)
    with pytest.raises(NotFoundError):
        nearcast.activate("rolled", 3)


def test_a_scenario_is_steps_and_their_sums(nearcast, pipeline):
    answer = nearcast.scenario(pipeline, {"kind": "inflow", "stage": "lead", "add": 10}, horizon=14)
    assert list(answer.steps) == ["segment", "stage", "ds", "step", "mean", "change", "scenario"]
    assert answer.sums["stage"].tolist() == ["lead", "offer", "won"]
    sums = answer.steps.groupby("stage")[["mean", "change", "scenario"]].sum()
    for column in sums:
        assert answer.sums.set_index("stage")[column].to_dict() == pytest.approx(sums[column].to_dict())
    assert answer.sums["change"].iloc[0] == pytest.approx(140)
    assert answer.sums["half_arrived"].notna().all()
    assert "not a claim about causes" in answer.basis
    with pytest.raises(RefusedError, match="percent") as caught:
        nearcast.scenario(pipeline, {"kind": "inflow", "stage": "lead", "percent": -200})
    assert caught.value.slug == "invalid-lever"


def test_a_run_that_fails_says_why_and_one_that_goes_on_can_be_waited_for(nearcast, pipeline, events):
    nearcast.declare("empty", stages=["lead"])
    with pytest.raises(RunFailedError, match=r"run .* of 'empty' failed") as caught:
        nearcast.retrain("empty", seconds=120)
    assert caught.value.run["status"] == "failed"
    run = nearcast.retrain(pipeline, wait=False)
    assert run["status"] in ("queued", "running")
    with pytest.raises(WaitError, match="after 0 s"):
        nearcast.wait(run["run"], seconds=0)
    ended = nearcast.wait(run["run"], seconds=120)
    assert (ended["status"], ended["published"]) == ("succeeded", False)


@pytest.mark.parametrize("name", ["rows.xlsx", "rows"])
def test_a_file_that_tells_no_format_is_refused_before_it_is_sent(nearcast, tmp_path, name):
    with pytest.raises(ClientError, match="tells no format"):
        nearcast.ingest("any", tmp_path / name)
    with pytest.raises(ClientError, match="no file"):
        nearcast.ingest("any", tmp_path / "absent.csv")


def test_the_client_is_imported_without_what_it_may_never_need():
    unwanted = "fastapi httpx models numba numpy pandas pydantic rich sqlalchemy starlette"
    code = f"import sys, service.client; print(sorted(set({unwanted!r}.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
