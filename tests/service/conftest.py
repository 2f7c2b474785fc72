"""A migrated store on each engine, and a real server in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest

from models.funnel import Funnel
from models.records import Counts
from service.retrain import retrain
from service.store.database import Database
from service.store.funnels import declare_funnel, get_funnel
from service.store.observations import merge_counts
from service.store.tables import metadata
from service.store.uploads import begin_upload, finish_upload

ROOT = Path(__file__).parents[2]
FIRST_NIGHT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAYS, NIGHTS = 100, 24
"""Days known on the first night, and nights that there are."""


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Address of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables, to be copied: quicker than making them each time."""
    path = tmp_path_factory.mktemp("migrated") / "store.db"
    with Database(f"sqlite:///{path}") as database:
        database.migrate()
    return path


@pytest.fixture(scope="session")
def reused_postgres_url(scratch_postgres: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """One scratch database for the stores of all tests: making and migrating one for each would take a second."""
    with scratch_postgres() as url:
        yield url


@pytest.fixture
def emptied_postgres_url(reused_postgres_url: str) -> Iterator[str]:
    """That database, its tables empty, if they are made."""
    yield reused_postgres_url
    with psycopg.connect(reused_postgres_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        names = ", ".join(f'"{name}"' for name in metadata.tables)
        connection.execute(f"TRUNCATE {names} RESTART IDENTITY")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Address of an empty store, on each engine in turn; on PostgreSQL with its tables for who asks for `database`."""
    on_postgres = "emptied_postgres_url" if "database" in request.fixturenames else "empty_postgres_url"
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else on_postgres))


@pytest.fixture
def database(store_url: str, migrated_file: Path) -> Iterator[Database]:
    """A migrated, empty store, on each engine in turn."""
    if store_url.startswith("sqlite:"):
        shutil.copyfile(migrated_file, store_url.removeprefix("sqlite:///"))
    with Database(store_url) as database:
        database.migrate()
        yield database


@pytest.fixture
def sqlite_database(sqlite_url: str, migrated_file: Path) -> Iterator[Database]:
    """A migrated, empty SQLite store."""
    shutil.copyfile(migrated_file, sqlite_url.removeprefix("sqlite:///"))
    with Database(sqlite_url) as database:
        yield database


@dataclass(frozen=True)
class Running:
    """A `nearcast serve` process, and the store it works on."""

    url: str
    database_url: str
    process: subprocess.Popen[bytes]
    log: Path

    def client(self, **options: Any) -> httpx.Client:
        """A client of it."""
        return httpx.Client(base_url=self.url, timeout=60, **options)


@contextmanager
def running(directory: Path, *, until: str = "/readyz", **settings: str) -> Iterator[Running]:
    """A server in a process of its own with these settings, once `until` answers; ended afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = {"database_url": f"sqlite:///{directory / 'store.db'}", "port": str(port)} | settings
    environment = os.environ | {f"NEARCAST_{name.upper()}": value for name, value in settings.items()}
    log = directory / "server.log"
    command = [sys.executable, "-m", "service.cli", "serve"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)
    server = Running(f"http://127.0.0.1:{port}", settings["database_url"], process, log)
    try:
        wait_until(lambda: answers(server, until), seconds=180, what=f"the server to answer: see {log}")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def answers(server: Running, path: str) -> bool:
    """Whether it answers there."""
    assert server.process.poll() is None, server.log.read_text()
    with suppress(httpx.TransportError):
        return httpx.get(f"{server.url}{path}", timeout=30).status_code == 200
    return False


def wait_until(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Ask again and again until there is a true answer, which is returned; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds:g} s in vain for {what}")


@dataclass(frozen=True)
class Cluster:
    """A Dask scheduler and two workers with a nanny each, on loopback."""

    address: str


@contextmanager
def clustered(directory: Path, modules: Path) -> Iterator[Cluster]:
    """A cluster of real processes; ended afterwards."""
    from distributed import Client

    found = directory / "scheduler.json"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(modules), str(ROOT)]), "PYTHONWARNINGS": "ignore"}
    scheduler = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(found)]
    worker = ["--scheduler-file", str(found), "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard"]
    commands = [["scheduler", *scheduler]] + [["worker", *worker, "--local-directory", str(directory)]] * 2
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate(commands):
            with (directory / f"dask-{number}.log").open("wb") as log:
                arguments = [sys.executable, "-m", "dask", *command]
                processes.append(subprocess.Popen(arguments, env=environment, cwd=directory, stdout=log, stderr=log))
            wait_until(found.exists, seconds=60, what="the scheduler to tell its address")
        address = wait_until(lambda: address_from(found), seconds=60, what="its address")
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        yield Cluster(address)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()  # a nanny's worker ends with it
            process.wait()


def address_from(path: Path) -> str | None:
    """The address in a scheduler file; None while it is being written."""
    with suppress(ValueError, KeyError):
        return str(json.loads(path.read_text())["address"])
    return None


@pytest.fixture(scope="session")
def worker_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests write modules that workers on the cluster can import."""
    return tmp_path_factory.mktemp("modules")


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory, worker_modules: Path) -> Iterator[Cluster]:
    """One cluster for all tests that leave it as they found it."""
    with clustered(tmp_path_factory.mktemp("cluster"), worker_modules) as cluster:
        yield cluster


def sales_csv(*, days: int = 120, first: date = date(2024, 1, 1)) -> str:
    """Events of a small sales funnel: lead -> offer -> won, side exit lost, two segments, the same every time."""
    generator = np.random.default_rng(7)
    lines = ["entity_id,stage,ts,segment"]
    for day in range(days):
        weekday = (first + timedelta(days=day)).weekday()
        for number in range(generator.poisson(12 if weekday < 5 else 4)):
            entity, segment = f"e{day}-{number}", ("north", "south")[int(generator.integers(2))]
            at, reached = day, ["lead"]
            if generator.random() < 0.6:
                reached += ["offer", "won" if generator.random() < 0.5 else "lost"]
            for stage in reached:
                if at < days:
                    lines.append(
                        f"{entity},{stage},{first + timedelta(days=at)}T{8 + number % 12:02d}:00:00Z,{segment}"
                    )
                at += int(generator.integers(1, 5))
    return "\n".join(lines) + "\n"


def retrained(client: httpx.Client, funnel: str) -> dict[str, Any]:
    """Retrain over HTTP and wait for the run's end."""
    answer = client.post(f"/v1/funnels/{funnel}/retrain")
    assert answer.status_code == 202, answer.text

    def ended() -> dict[str, Any] | None:
        run: dict[str, Any] = client.get(answer.headers["location"]).json()
        return run if run["status"] in ("succeeded", "failed") else None

    run: dict[str, Any] = wait_until(ended, seconds=300, what="the run to end")
    return run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Where the store matters, on each engine in turn; the second one is left to the slow tests."""
    engines: list[Any] = ["sqlite"]
    if not metafunc.definition.get_closest_marker("one_engine"):
        engines.append(pytest.param("postgresql", marks=pytest.mark.slow))
    for name, scope in (("server", "session"), ("store", "module")):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, engines, indirect=True, scope=scope)


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    scratch_postgres: Callable[[], AbstractContextManager[str]],
) -> Iterator[Running]:
    """One server for all tests that add to it and harm nothing, on each engine in turn."""
    home = tmp_path_factory.mktemp("server")
    on_file = nullcontext(f"sqlite:///{home / 'store.db'}")
    with (
        scratch_postgres() if request.param == "postgresql" else on_file as url,
        running(home, database_url=url, workers="inline", max_upload_bytes="20000000") as server,
    ):
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    """A client of that server."""
    with server.client() as client:
        yield client


@pytest.fixture(scope="session")
def sales(server: Running) -> str:
    """Name of a funnel on that server that has been ingested and trained once."""
    with server.client() as client:
        headers = {"content-type": "text/csv"}
        answer = client.post("/v1/funnels/sales/events", content=sales_csv(), headers=headers)
        assert answer.status_code == 200, answer.text
        run = retrained(client, "sales")
        assert run["status"] == "succeeded", run
    return "sales"


@pytest.fixture(scope="session")
def start_server() -> Callable[..., AbstractContextManager[Running]]:
    """Starts a server of the test's own: `with start_server(directory, setting=...) as server`."""
    return running


@pytest.fixture(scope="session")
def retrain_over_http() -> Callable[[httpx.Client, str], dict[str, Any]]:
    """Retrains a funnel and waits for the end of the run."""
    return retrained


@pytest.fixture(scope="session")
def wait() -> Callable[..., Any]:
    """Waits until a condition holds: `wait(condition, seconds=..., what=...)`."""
    return wait_until


@pytest.fixture(scope="session")
def sales_events() -> str:
    """The CSV that the funnel `sales` was made from."""
    return sales_csv()


def counts_until(night: int, *, outlier: int | None = None, unsettled: int | None = None) -> Counts:
    """Counts of two stages in two segments up to the day before `night`.

    outlier: a day of many more leads in the east. unsettled: from this day on leads in the west come in bursts.
    """
    days, unit = DAYS + night, 86_400_000_000
    first = int(FIRST_NIGHT.timestamp()) * 1_000_000 // unit - DAYS
    y = np.random.default_rng(9).poisson(30.0, (4, DAYS + NIGHTS)).astype(float)[:, :days]
    if outlier is not None and outlier < days:
        y[1, outlier] = 400.0
    if unsettled is not None:
        y[3, unsettled::3], y[3, unsettled + 1 :: 3] = 90.0, 2.0
    ds = np.tile((first + np.arange(days)) * unit, 4)
    segment = np.repeat(np.array(["east", "east", "west", "west"], dtype=object), days)
    stage = np.repeat(np.array(["visit", "lead", "visit", "lead"], dtype=object), days)
    return Counts(ds, stage, y.ravel(), np.full(y.size, np.nan), segment)


def retrained_nightly(database: Database, nights: range, *, name: str = "sales", **counts: int) -> None:
    """An upload of `counts_until` and a retrain for each night, all of them now: a server may be watching."""
    funnel = Funnel(stages=("visit", "lead"), segment_by="region", max_horizon=28)
    with database.write() as connection:
        declare_funnel(connection, name, funnel, now=datetime.now(UTC))
    for night in nights:
        now, told = datetime.now(UTC), FIRST_NIGHT + timedelta(days=night)
        with database.stage() as staging:
            staging.append_counts(counts_until(night, **counts), lines=2)
            with staging.write() as connection:
                funnel_id = get_funnel(connection, name).id
                taken = begin_upload(connection, funnel_id, kind="counts", now=now, fresh_until=told)
                merged = merge_counts(connection, funnel_id, taken.number, staging)
                finish_upload(connection, taken, changed=merged.changed, report={})
        retrain(database, name, now=now)


@pytest.fixture(scope="session")
def pass_nights() -> Callable[..., None]:
    """Lets nights pass on a store: `pass_nights(database, nights, outlier=...)`, see `retrained_nightly`."""
    return retrained_nightly


@pytest.fixture(scope="session")
def watched(server: Running) -> str:
    """Name of a funnel on that server whose published forecasts have met three weeks of actuals."""
    with Database(server.database_url) as database, server.client() as client:
        retrained_nightly(database, range(NIGHTS), name="watched", outlier=DAYS + 20, unsettled=DAYS + 4)
        wait_until(
            lambda: client.get("/v1/funnels/watched/forecast").json().get("version") == NIGHTS,
            seconds=60,
            what="the last version to be served",
        )
    return "watched"
