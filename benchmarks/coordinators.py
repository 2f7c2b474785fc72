"""`nearcast retrain` as real processes that begin at once: forked from one that has everything loaded.

Starting Python and loading the numeric libraries takes longer than a small retrain; a moment of the retrain could
hardly be hit, and four would never meet. `python -m benchmarks.coordinators` is that one: it reads orders from standard
input, a line each, and answers a line each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from benchmarks.funnels import DAYS, make_funnel, store_url, upload
from service.store.database import Database

SOON = 0.02
"""Seconds from an order to the moment at which those who were told it begin together."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a retrain ended: its exit code, -9 when it was killed, and what it said."""

    code: int
    said: str

    def document(self) -> dict[str, Any]:
        """What it said on standard output, as JSON."""
        found: dict[str, Any] = json.loads(self.said)
        return found


class Coordinators:
    """Starts retrains on one store; ends the process that they are forked from, and nothing else, on leaving."""

    def __init__(self, database_url: str, *, lease_seconds: float = 60.0) -> None:
        settings = {
            "NEARCAST_DATABASE_URL": database_url,
            "NEARCAST_LEASE_SECONDS": str(lease_seconds),
            "NEARCAST_WORKERS": "inline",
            "OPENBLAS_NUM_THREADS": "1",  # threads do not survive a fork
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.coordinators"],
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        self._ask({})  # it has loaded everything
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def start(self, *funnels: str) -> list[int]:
        """Start a retrain of each, all at the same moment; their process ids."""
        at = time.monotonic() + SOON * len(funnels)
        return [int(self._ask({"funnel": funnel, "at": at})["pid"]) for funnel in funnels]

    def wait(self, pid: int) -> Ended:
        """Wait for the end of one."""
        answer = self._ask({"wait": pid})
        return Ended(answer["code"], answer["said"])

    def run(self, funnel: str) -> Ended:
        """A retrain from beginning to end."""
        return self.wait(*self.start(funnel))

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def serve() -> None:
    """Carry out orders until there are no more."""
    load_everything()
    said: dict[int, int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any] = {}
        if "funnel" in order:
            pid, reading = fork(order["funnel"], order["at"])
            said[pid] = reading
            answer = {"pid": pid}
        elif "wait" in order:
            with os.fdopen(said.pop(order["wait"])) as stream:
                text = stream.read()
            code = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
            answer = {"code": code, "said": text}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def load_everything() -> None:
    """What a retrain imports, compiles and remembers: by a first one and one more, on a store that is thrown away."""
    import service.cli.retrain  # noqa: F401, PLC0415 - the benchmark that starts this process needs none of it
    from service.retrain import retrain  # noqa: PLC0415

    with (
        tempfile.TemporaryDirectory(prefix="nearcast-bench-") as folder,
        store_url("sqlite", Path(folder)) as url,
        Database(url) as database,
    ):
        make_funnel(database, "warm")
        for days in (DAYS, 1):
            upload(database, "warm", last=days, days=days)
            retrain(database, "warm", now=datetime.now(UTC))
    if "postgresql" in os.environ["NEARCAST_DATABASE_URL"]:
        with Database(os.environ["NEARCAST_DATABASE_URL"]) as database:
            database.ping()


def fork(funnel: str, at: float) -> tuple[int, int]:
    """A process that runs `nearcast retrain` at a moment; its id, and where to read what it says."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.dup2(writing, 1)
    os.dup2(writing, 2)
    code = 1
    try:
        from service.cli import main  # noqa: PLC0415

        sys.argv = ["nearcast", "retrain", "--funnel", funnel, "--json"]
        sys.stdin.close()
        time.sleep(max(0.0, at - time.monotonic()))
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
