"""Two servers of one store: what one is told the other serves, and what is due one of them starts."""

import time
from contextlib import nullcontext as nothing
from datetime import UTC, datetime, timedelta

import pytest

from service.store.database import Database
from service.store.funnels import get_funnel, set_schedule

HEADERS = {"content-type": "text/csv"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def replicas(request, tmp_path_factory, scratch_postgres, start_server, sales_events, retrain_over_http):
    """Two servers with jobs, whose funnel `sales` has two versions."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    with (
        scratch_postgres() if request.param == "postgresql" else nothing(f"sqlite:///{first / 'store.db'}") as url,
        start_server(first, database_url=url, workers="inline", with_jobs="1") as one,
        start_server(second, database_url=url, workers="inline", with_jobs="1") as other,
        one.client() as client,
    ):
        for part in (sales_events.partition("2024-04-2")[0].rpartition("\n")[0], sales_events):
            assert client.post("/v1/funnels/sales/events", content=part, headers=HEADERS).status_code == 200
            assert retrain_over_http(client, "sales")["published"]
        yield one, other


@pytest.mark.slow
def test_a_version_activated_at_one_server_is_served_by_the_other_within_two_seconds(replicas, wait):
    one, other = replicas
    with one.client() as told, other.client() as asked:
        wait(lambda: asked.get("/v1/funnels/sales/forecast").json().get("version") == 2, seconds=10, what="version 2")
        for version in (1, 2):
            assert told.post(f"/v1/funnels/sales/versions/{version}/activate").status_code == 200
            end = time.monotonic() + 2
            served = set()
            while version not in served:
                answer = asked.get("/v1/funnels/sales/forecast")
                assert answer.status_code == 200
                served.add(answer.json()["version"])
                assert time.monotonic() < end, f"version {version} is not served by the other"
            assert told.get("/v1/funnels/sales/forecast").json()["version"] == version


@pytest.mark.slow
def test_what_is_due_is_started_by_one_of_two_servers(replicas, wait):
    one, other = replicas
    past = datetime.now(UTC) - timedelta(days=3, hours=1)
    with Database(one.database_url) as database, database.write() as connection:
        set_schedule(connection, get_funnel(connection, "sales"), "0 */12 * * *", now=past)
    with other.client() as client:

        def scheduled():
            runs = client.get("/v1/runs", params={"funnel": "sales"}).json()["runs"]
            return [run for run in runs if run["due_at"] is not None and run["finished_at"] is not None]

        (run,) = wait(scheduled, seconds=60, what="the scheduled run to end")
        time.sleep(6)  # each server has looked once more
        assert scheduled() == [run]
        assert run["status"] == "succeeded", run
        assert run["counts"]["missed"] in (5, 6)
        assert f"makes up for {run['counts']['missed']} earlier due instants" in run["reason"]
        assert datetime.fromisoformat(client.get("/v1/funnels/sales").json()["next_due_at"]) > datetime.now(UTC)
