"""Real servers and clusters in processes of their own, and how tests wait for them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]


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


def retrained(client: httpx.Client, funnel: str) -> dict[str, Any]:
    """Retrain over HTTP and wait for the run's end."""
    answer = client.post(f"/v1/funnels/{funnel}/retrain")
    assert answer.status_code == 202, answer.text

    def ended() -> dict[str, Any] | None:
        run: dict[str, Any] = client.get(answer.headers["location"]).json()
        return run if run["status"] in ("succeeded", "failed") else None

    run: dict[str, Any] = wait_until(ended, seconds=300, what="the run to end")
    return run
