"""Real server processes on loopback: started, waited for, watched and stopped."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
PATIENCE = 60.0
"""Seconds that a server may take to answer for the first time."""
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and from its spawn to its first answer the seconds by the clock and of computing."""

    process: subprocess.Popen[bytes]
    port: int
    seconds: float
    cpu_seconds: float

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://{HOST}:{self.port}"


def service_command(port: int) -> list[str]:
    """How an operator starts ours."""
    return [sys.executable, "-m", "service.cli", "serve", "--host", HOST, "--port", str(port)]


def empty_command(port: int) -> list[str]:
    """An app with one route, under plain uvicorn."""
    return [sys.executable, "-m", "uvicorn", "benchmarks.empty_app:app", "--host", HOST, "--port", str(port)]


@contextmanager
def running(
    command: list[str], *, port: int, log: Path, environment: dict[str, str] | None = None, until: str = "/healthz"
) -> Iterator[Server]:
    """A server that has answered `GET` of `until`; its output goes to `log`. Stopped on leaving."""
    with log.open("ab") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
        try:
            while not answers(port, until):
                if process.poll() is not None or time.perf_counter() - start > PATIENCE:
                    raise RuntimeError(
                        f"{' '.join(command)} did not come up:\n{log.read_text(errors='replace')[-2000:]}"
                    )
                time.sleep(0.002)
            seconds = time.perf_counter() - start
            yield Server(process, port, seconds, cpu_seconds(process.pid))
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(port: int, path: str) -> bool:
    """Whether somebody answers 200 there."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def cpu_seconds(pid: int) -> float:
    """What a process has computed so far: unlike the clock it hardly feels what else the machine does (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Memory:
    """Resident memory of a process and its children, sampled in a thread (Linux only), MiB."""

    pid: int
    idle: float = 0.0
    peak: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Memory:
        self.idle = self.peak = resident(self.pid)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, resident(self.pid))

    @property
    def above_idle(self) -> float:
        """Highest sample less the first one."""
        return self.peak - self.idle


def resident(pid: int) -> float:
    """Resident memory of a process and all its descendants, MiB; 0 once it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in children_of(task)]
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE + sum(resident(child) for child in children)


def children_of(task: Path) -> list[str]:
    """Processes that this thread has started."""
    return (task / "children").read_text().split()


def high_water(pid: int) -> float:
    """Highest resident memory that the process itself ever had, by the kernel's count, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
