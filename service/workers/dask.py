"""Workers on a Dask cluster: the address of its scheduler is all that is different.

Each chunk is sent to one worker, and to no other: what Dask would try again on the next worker by itself could kill
one after the other. TLS is Dask's own: `tls://` and its settings `distributed.comm.tls`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.config
from distributed import Client, Future, wait

from models.isolation import Lost, attempt
from service.workers.pool import Progress, WorkersUnavailableError

CONNECT_SECONDS = 10.0
LOOK_SECONDS = 0.25
"""Between two looks at which workers there are."""
PATIENCE = 60.0
"""Seconds to wait for a worker when there is none: a cluster may still be starting, or replacing one that died."""
CONFIG = {"distributed.admin.large-graph-warning-threshold": "1 GiB"}
"""A chunk is one argument of some megabytes on purpose."""
RUNNING = object()


@dataclass(frozen=True, slots=True)
class Task:
    """A chunk under way: which it is, where, and until when (monotonic)."""

    number: int
    worker: str
    until: float


class DaskMapper:
    """A client of a cluster; connected with the first chunks."""

    def __init__(self, address: str, report: Progress, *, deadline: float) -> None:
        self._address = address
        self._report = report
        self._deadline = deadline
        self._client: Client | None = None
        self._given_up: set[str] = set()

    def __call__(self, function: Callable[[Any], Any], chunks: Sequence[Any]) -> list[Any]:
        """See `models.isolation.Mapper`."""
        client = self._client or self._connect()
        results: list[Any] = [None] * len(chunks)
        waiting, running = deque(range(len(chunks))), dict[Future, Task]()
        seen = time.monotonic()
        while waiting or running:
            workers = self._workers(client)
            now = time.monotonic()
            seen = now if workers else seen
            if now - seen > PATIENCE:
                raise WorkersUnavailableError(f"the Dask scheduler at {self._address} has no worker")
            for worker in _free(workers, Counter(task.worker for task in running.values()))[: len(waiting)]:
                number = waiting.popleft()
                future = client.submit(partial(attempt, function), chunks[number], workers=[worker], pure=False)
                running[future] = Task(number, worker, now + self._deadline)
            _look(client, list(running))
            for future, task in list(running.items()):
                outcome = self._outcome(client, future, task, alive=task.worker in workers)
                if outcome is not RUNNING:
                    results[task.number] = outcome
                    del running[future]
                    self._report(len(chunks) - len(waiting) - len(running), len(chunks))
        return results

    def close(self) -> None:
        """Leave the cluster; what is under way there for us is dropped."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connect(self) -> Client:
        with dask.config.set(CONFIG):
            try:
                self._client = Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
            except (OSError, ValueError) as error:  # no answer, or no TLS where it is asked for
                detail = f"the Dask scheduler at {self._address} does not answer: {error}"
                raise WorkersUnavailableError(detail) from error
        return self._client

    def _workers(self, client: Client) -> dict[str, int]:
        """Threads of each worker, by its address; without those that hang."""
        try:
            workers: dict[str, int] = client.nthreads()
        except OSError as error:
            detail = f"the Dask scheduler at {self._address} no longer answers: {error}"
            raise WorkersUnavailableError(detail) from error
        return {address: threads for address, threads in workers.items() if address not in self._given_up}

    def _outcome(self, client: Client, future: Future, task: Task, *, alive: bool) -> Any:
        """The result of a task, or `Lost`; RUNNING while it is neither."""
        if future.done():
            if future.status != "finished":  # `attempt` raises nothing: it is the cluster that failed
                return Lost(f"the cluster gave it up: {future.status}, {future.exception(timeout=CONNECT_SECONDS)!r}")
            return future.result(timeout=self._deadline)
        if not alive:
            future.cancel()
            return Lost(f"its worker at {task.worker} died")
        if time.monotonic() > task.until:
            future.cancel()
            self._given_up.add(task.worker)
            with suppress(Exception):  # without a nanny it cannot be restarted: it is left to itself
                client.restart_workers([task.worker], timeout=CONNECT_SECONDS, raise_for_error=False)
            return Lost(f"it was not done after {self._deadline:g} s")
        return RUNNING


def _look(client: Client, running: list[Future]) -> None:
    """Wait until a task has ended, but not for long."""
    if not running:
        time.sleep(LOOK_SECONDS)
        return
    with client.as_current(), suppress(TimeoutError):
        wait(running, timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED")


def _free(workers: Mapping[str, int], busy: Mapping[str, int]) -> list[str]:
    """A worker's address for each thread that has nothing to do, one of each worker first."""
    rounds = range(max(workers.values(), default=0))
    return [address for taken in rounds for address, threads in workers.items() if busy[address] + taken < threads]
