"""Prometheus and Grafana: a real one scrapes a real server, and answers what dashboard and alerts ask."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.observability import Metrics
from service.serving import Serving
from service.store.database import Database
from tests.service.processes import Running, wait_until

DOCS = Path(__file__).parents[2] / "docs"
RULES = DOCS / "prometheus" / "nearcast.rules.yml"
BOARD = json.loads((DOCS / "grafana" / "nearcast.json").read_text())
VARIABLES = {"$job": "nearcast", "$funnel": ".*", "$__rate_interval": "1m"}
MISSING = "no {} on this machine (Debian: apt install prometheus)"


def board_queries() -> dict[str, str]:
    """Queries by the panel that makes them, as Grafana would send them."""
    found = {}
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            query = target["expr"]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            found[f"{panel['title']} {target['refId']}"] = query
    return found


def alert_queries() -> dict[str, str]:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    return {rule["alert"]: rule["expr"] for rule in rules}


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "rules", "nearcast.rules.yml"],
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["test", "rules", "nearcast.rules.test.yml"],
    ],
)
def test_promtool_accepts_the_rules_and_what_they_say_of_made_up_days(arguments):
    if shutil.which("promtool") is None:
        pytest.skip(MISSING.format("promtool"))
    done = subprocess.run(
        ["promtool", *arguments], cwd=DOCS / "prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_that_dashboard_and_alerts_ask_for_is_one_of_ours(sqlite_database):
    metrics = Metrics()
    metrics.watch(Serving(sqlite_database), sqlite_database)
    ours = {"up"}
    for family in metrics.registry.collect():
        ending = "_total" if family.type == "counter" else ""
        ours |= {family.name + ending, family.name + "_bucket"}
    asked = " ".join([*board_queries().values(), *alert_queries().values()])
    names = set(re.findall(r"\b(nearcast_\w+|up)\b", asked))
    assert len(names) > 8
    assert names - ours == set()


def test_without_its_store_a_server_tells_the_metrics_that_it_has(tmp_path):
    with Database(f"sqlite:///{tmp_path / 'gone.db'}") as database:
        metrics = Metrics()
        metrics.watch(Serving(database), database)
        names = {family.name for family in metrics.registry.collect()}
    assert "nearcast_stale" in names
    assert "nearcast_runs" not in names


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, server: Running, sales: str) -> Iterator[httpx.Client]:
    """A Prometheus of the machine's own package that scrapes the server each second."""
    if shutil.which("prometheus") is None:
        pytest.skip(MISSING.format("prometheus"))
    path = tmp_path_factory.mktemp("prometheus")
    target = server.url.removeprefix("http://")
    job = {"job_name": "nearcast", "static_configs": [{"targets": [target]}]}
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (path / "prometheus.yml").write_text(
        yaml.safe_dump({"global": often, "scrape_configs": [job], "rule_files": [str(RULES)]})
    )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["prometheus", f"--config.file={path / 'prometheus.yml'}", f"--storage.tsdb.path={path / 'data'}"]
    with (path / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        with closing(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)) as client:
            wait_until(lambda: scraped(client, process), seconds=120, what=f"Prometheus to scrape: see {path / 'log'}")
            yield client
    finally:
        process.terminate()
        process.wait(20)


def scraped(client: httpx.Client, process: subprocess.Popen[bytes]) -> bool:
    """Whether it has scraped the server at least twice."""
    assert process.poll() is None
    try:
        found = answered(client, "count_over_time(nearcast_stale[1m])")
    except (httpx.TransportError, AssertionError):
        return False
    return bool(found) and float(found[0]["value"][1]) >= 2


def answered(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    """What Prometheus answers to a query."""
    answer = client.get("/api/v1/query", params={"query": query})
    assert answer.status_code == 200, answer.text  # 503 in plain words while it reads its store
    document = answer.json()
    assert document["status"] == "success", document
    found: list[dict[str, Any]] = document["data"]["result"]
    return found


@pytest.mark.slow
def test_a_real_prometheus_answers_every_query_of_the_dashboard(prometheus, sales):
    empty = [name for name, query in board_queries().items() if not answered(prometheus, query)]
    # What nobody has sent yet has no series; all else has one.
    assert [name for name in empty if not name.startswith(("Rows taken in", "Time to answer"))] == []
    (age,) = answered(prometheus, f'time() - nearcast_served_published_timestamp_seconds{{funnel="{sales}"}}')
    assert 0 <= float(age["value"][1]) < 3600
    (ended,) = answered(prometheus, f'nearcast_runs_total{{funnel="{sales}", status="succeeded"}}')
    assert float(ended["value"][1]) >= 1


@pytest.mark.slow
def test_a_real_prometheus_evaluates_the_alerts_without_an_error(prometheus):
    def evaluated() -> list[dict[str, Any]]:
        groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else []

    rules = wait_until(evaluated, seconds=120, what="the rules to be evaluated")
    assert {rule["name"] for rule in rules} == set(alert_queries())
    assert {rule["health"] for rule in rules} == {"ok"}
