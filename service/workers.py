"""Where the heavy arithmetic runs: here, or in a pool of processes of this machine.

A mapper applies a pure function to chunks (arrays in, plain data out) and returns the results in order; the
results are the same to the last bit wherever it runs. Workers never see the database.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from models.errors import NearcastError

Workers = Literal["inline", "process"]
Progress = Callable[[int, int], None]
"""Called with the chunks done and the chunks in all."""

ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""Read by the numeric libraries when they are loaded: as many workers as cores, and one thread each."""


class WorkerDiedError(NearcastError):
    """A worker process died under a chunk: killed, or out of memory."""

    slug = "worker-died"


class Mapper(Protocol):
    """Applies a function to every chunk; results in the order of the chunks."""

    def __call__(self, function: Callable[[Any], Any], chunks: Sequence[Any]) -> list[Any]:
        """Raise what the function raises; WorkerDiedError when a worker dies."""
        ...


@contextmanager
def make_mapper(
    workers: Workers, *, processes: int | None = None, progress: Progress | None = None
) -> Iterator[Mapper]:
    """A mapper for as long as the block lasts.

    Parameters
    ----------
    workers
        `inline`: in this process; `process`: in a pool, started when the first chunks come.
    processes
        Size of the pool; None: one a core.
    """
    report = progress or ignore_progress
    if workers == "inline":
        yield InlineMapper(report)
        return
    mapper = ProcessMapper(processes or os.cpu_count() or 1, report)
    try:
        yield mapper
    finally:
        mapper.close()


def ignore_progress(_done: int, _total: int) -> None:
    """Nobody watches."""


class InlineMapper:
    """One chunk after the other, in this process."""

    def __init__(self, report: Progress) -> None:
        self._report = report

    def __call__(self, function: Callable[[Any], Any], chunks: Sequence[Any]) -> list[Any]:
        """See `Mapper`."""
        results = []
        for chunk in chunks:
            results.append(function(chunk))
            self._report(len(results), len(chunks))
        return results


class ProcessMapper:
    """A pool of fresh interpreters: a fork would copy locks held by other threads."""

    def __init__(self, processes: int, report: Progress) -> None:
        self._processes = processes
        self._report = report
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, function: Callable[[Any], Any], chunks: Sequence[Any]) -> list[Any]:
        """See `Mapper`; a single chunk, or a pool of one, is not worth a process."""
        if len(chunks) < 2 or self._processes < 2:
            return InlineMapper(self._report)(function, chunks)
        try:
            with one_thread_each():
                pool = self._pool or self._start()
                futures = [pool.submit(function, chunk) for chunk in chunks]
                self._await(futures)
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            self._pool = None
            raise WorkerDiedError(
                "a worker process died, killed or out of memory; try again, with fewer processes or inline"
            ) from error

    def close(self) -> None:
        """Stop the workers; what has not begun is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(self._processes, mp_context=context, initializer=end_with_parent)
        return self._pool

    def _await(self, futures: Sequence[Future[Any]]) -> None:
        pending = set(futures)
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                if future.exception() is not None:
                    for other in pending:
                        other.cancel()
                    future.result()
            self._report(len(futures) - len(pending), len(futures))


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes started in the block load their numeric libraries with one thread.

    Set in the environment they inherit, as the libraries read it before any code of ours runs there.
    """
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def end_with_parent() -> None:
    """Run in each worker: end when the coordinator is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
