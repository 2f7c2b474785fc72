"""A migrated store on each engine, real servers, the command line, and funnels that are there already."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from service.store.database import Database
from service.store.tables import metadata
from tests.service.commands import run_apart, run_within
from tests.service.guarded import Guarded, guarded_servers
from tests.service.processes import Cluster, Running, clustered, retrained, running, wait_until
from tests.service.samples import DAYS, NIGHTS, retrained_nightly, sales_csv


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


@pytest.fixture(scope="session")
def worker_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests write modules that workers on the cluster can import."""
    return tmp_path_factory.mktemp("modules")


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory, worker_modules: Path) -> Iterator[Cluster]:
    """One cluster for all tests that leave it as they found it."""
    with clustered(tmp_path_factory.mktemp("cluster"), worker_modules) as cluster:
        yield cluster


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


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def guarded(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    scratch_postgres: Callable[[], AbstractContextManager[str]],
) -> Iterator[Guarded]:
    """Two servers of one store that ask for keys, on each engine in turn."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    on_file = nullcontext(f"sqlite:///{first / 'store.db'}")
    with (
        scratch_postgres() if request.param == "postgresql" else on_file as url,
        guarded_servers(first, second, url=url) as place,
    ):
        yield place


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


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory to run commands in, the module's own."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def store(
    request: pytest.FixtureRequest, home: Path, scratch_postgres: Callable[[], AbstractContextManager[str]]
) -> Iterator[dict[str, str]]:
    """Settings of a store that commands make for themselves, on each engine in turn."""
    on_file = nullcontext(f"sqlite:///{home / 'nearcast.db'}")
    with scratch_postgres() if request.param == "postgresql" else on_file as url:
        yield {"NEARCAST_DATABASE_URL": url}


@pytest.fixture(scope="module")
def nearcast(home: Path, store: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `nearcast ...` there on that store: `nearcast(*arguments, code=..., SETTING=...)`, see `run_apart`."""

    def run(*arguments: str, code: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        return run_apart(home, *arguments, code=code, **store | settings)

    return run


@pytest.fixture
def told(
    home: Path, store: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str | int, str, str]]:
    """Runs `nearcast ...` there within this process: `told(*arguments, SETTING=...)`, see `run_within`."""

    def run(*arguments: str, **settings: str) -> tuple[str | int, str, str]:
        return run_within(home, *arguments, monkeypatch=monkeypatch, capsys=capsys, **store | settings)

    return run


@pytest.fixture(scope="module")
def events(home: Path, sales_events: str) -> Path:
    """The sales events in a file there, `events.csv.gz`."""
    path = home / "events.csv.gz"
    path.write_bytes(gzip.compress(sales_events.encode()))
    return path


@pytest.fixture(scope="module")
def trained(nearcast: Callable[..., subprocess.CompletedProcess[str]], events: Path) -> str:
    """Name of a funnel that has been ingested, into a store made for it, and trained."""
    report = json.loads(nearcast("ingest", str(events), "--funnel", "sales", "--json").stdout)
    assert report["inserted"] > 1000
    assert report["inferred"]["stages"] == ["lead", "offer", "won"]
    result = json.loads(nearcast("retrain", "--funnel", "sales", "--json").stdout)
    assert result["status"] == "succeeded"
    assert result["version"] == 1
    return "sales"
