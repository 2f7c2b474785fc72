"""What operators meet: start, readiness, metrics, logs, the store going away."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.store.database import Database

ROOT = Path(__file__).parents[2]
HEAVY = ["pandas", "numba", "scipy", "statsmodels", "alembic", "holidays", "pyarrow"]


def test_health_and_readiness(client):
    assert client.get("/healthz").json() == {"status": "ok", "detail": ""}
    assert client.get("/readyz").json() == {"status": "ready", "detail": ""}


def test_the_documentation_needs_no_address_outside(client):
    answer = client.get("/docs")
    assert answer.status_code == 200
    assert "/v1/funnels/{funnel}/forecast" in answer.text
    assert "script" not in answer.text
    assert not re.search(r"https?://", answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_an_unknown_path_and_a_wrong_method_are_problems(client):
    for answer, status in ((client.get("/v2"), 404), (client.delete("/v1/funnels"), 405)):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


def test_metrics_have_the_route_template_as_only_path_label(client, sales):
    client.get(f"/v1/funnels/{sales}/forecast")
    client.get("/nowhere/at/all")
    client.request("BREW", "/pot")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    paths = set(re.findall(r'path="([^"]*)"', answer.text))
    assert "/v1/funnels/{funnel}/forecast" in paths
    assert "unmatched" in paths
    assert not any("sales" in path or "nowhere" in path for path in paths)
    assert 'method="other"' in answer.text
    assert "BREW" not in answer.text
    assert 'nearcast_served_version{funnel="sales"} 1.0' in answer.text
    assert "nearcast_stale 0.0" in answer.text
    assert re.search(r'nearcast_uploaded_rows_total\{kind="events"\} \d', answer.text)


def test_every_request_has_an_id_and_one_log_line_of_json(client, server):
    answer = client.get("/healthz", headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    other = client.get("/healthz", headers={"x-request-id": "not sound; at all"}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", other)
    lines = server.log.read_text().splitlines()
    entries = [json.loads(line) for line in lines if not line.startswith("serving on")]
    mine = [entry for entry in entries if entry.get("request_id") == "mine-1"]
    assert [(entry["message"], entry["path"], entry["status"]) for entry in mine] == [("request", "/healthz", 200)]
    assert mine[0]["seconds"] >= 0


@pytest.mark.slow
def test_while_the_store_is_away_forecasts_are_served_and_marked_stale(
    start_server, sales_events, retrain_over_http, tmp_path, wait
):
    with start_server(tmp_path, workers="inline") as server, server.client() as client:
        client.post("/v1/funnels/kept/events", content=sales_events, headers={"content-type": "text/csv"})
        assert retrain_over_http(client, "kept")["status"] == "succeeded"
        address = "/v1/funnels/kept/forecast"
        before = client.get(address)
        away = tmp_path / "away"
        away.mkdir()
        for name in ("store.db", "store.db-wal", "store.db-shm"):
            if (tmp_path / name).exists():
                shutil.move(tmp_path / name, away / name)
        wait(lambda: client.get(address).json()["stale"], seconds=10, what="the answer to be stale")
        stale = client.get(address)
        assert stale.status_code == 200
        assert stale.json()["forecasts"] == before.json()["forecasts"]
        assert stale.headers["etag"] != before.headers["etag"]
        assert client.get("/readyz").status_code == 200
        assert "nearcast_stale 1.0" in client.get("/metrics").text
        refused = client.post("/v1/funnels/kept/events", content=sales_events, headers={"content-type": "text/csv"})
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:nearcast:problem:store-unavailable"
        assert refused.headers["retry-after"]
        for path in away.iterdir():
            shutil.move(path, tmp_path / path.name)
        wait(lambda: not client.get(address).json()["stale"], seconds=10, what="the store to be back")
        assert client.get(address).json() == before.json()


def test_a_server_whose_store_is_away_starts_is_alive_and_says_that_it_is_not_ready(start_server, tmp_path, wait):
    folder = tmp_path / "later"
    database_url = f"sqlite:///{folder / 'store.db'}"
    with start_server(tmp_path, until="/healthz", database_url=database_url) as server, server.client() as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        refused = client.get("/v1/funnels", headers={"x-request-id": "store-away"})
        assert refused.status_code == 503
        assert refused.json()["detail"] == "there is no database file; `nearcast migrate` makes one"
        page = client.get("/", headers={"x-request-id": "page-away"})
        assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert str(folder) not in page.text
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
        for asked in ("store-away", "page-away"):
            (line,) = [each for each in lines if each.get("request_id") == asked and each["message"] != "request"]
            assert (line["level"], line["message"]) == ("warning", "a request was refused")
            assert line["reason"].endswith(str(folder / "store.db")), "where it was looked for is for the log"
            assert "exception" not in line
        folder.mkdir()
        with Database(database_url) as database:
            database.migrate()
        wait(lambda: client.get("/readyz").status_code == 200, seconds=10, what="the server to be ready")
        assert client.get("/v1/funnels").json() == {"funnels": []}


def test_a_forecast_is_served_without_importing_what_only_training_needs(server, sales, tmp_path):
    script = f"""
import asyncio, sys
import httpx
from service.app import make_app
from service.settings import Settings

async def ask():
    app = make_app(Settings(database_url={server.database_url!r}))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for accept in ("application/json", "text/csv"):
                answer = await client.get("/v1/funnels/{sales}/forecast", headers={{"accept": accept}})
                assert answer.status_code == 200, answer.text
            scenario = {{"levers": [{{"kind": "inflow", "stage": "lead", "percent": 10}}]}}
            answer = await client.post("/v1/funnels/{sales}/scenario", json=scenario)
            assert answer.status_code == 200, answer.text
            for path in ("scorecard", "quality", "versions"):
                assert (await client.get(f"/v1/funnels/{sales}/{{path}}")).status_code == 200
            assert (await client.get("/metrics")).status_code == 200

asyncio.run(ask())
print(sorted(name for name in {HEAVY!r} if name in sys.modules))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEARCAST_")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a_start_listens_before_it_has_loaded_the_app_and_the_store():
    slow = [*HEAVY, "numpy", "sqlalchemy", "fastapi", "prometheus_client"]
    script = f"""
import sys
from service.cli import serve
from service.settings import Settings

class Listening:
    def run(self):
        print([name for name in {slow!r} if name in sys.modules])

serve.make_server = lambda *_, **__: Listening()
serve.run_server(Settings())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("url", ["mysql://root@localhost/x", "no url"])
def test_a_store_that_cannot_be_is_told_at_the_start_as_a_problem(url, tmp_path):
    environment = os.environ | {"NEARCAST_DATABASE_URL": url, "NEARCAST_PORT": "0"}
    command = [sys.executable, "-m", "service.cli", "serve"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "use sqlite:///file.db or postgresql://" in done.stderr
