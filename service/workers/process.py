"""Workers as processes of this machine: fresh interpreters, fed through pipes, each with one chunk at a time.

So it is known which chunk a worker died under, and a hanging one can be ended: what a ProcessPoolExecutor, which
breaks as a whole, cannot tell.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from models.isolation import Lost, attempt
from service.workers.exits import description_of_exit
from service.workers.inline import InlineMapper
from service.workers.pool import Progress

ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""Read by the numeric libraries when they are loaded: as many workers as cores, and one thread each."""
SPAWN = multiprocessing.get_context("spawn")
"""A fork would copy locks held by other threads."""


class ProcessMapper:
    """As many workers as are wanted, started when they are first needed, and again when one was lost."""

    def __init__(self, processes: int, report: Progress, *, deadline: float, apart: bool) -> None:
        self._processes = processes
        self._report = report
        self._deadline = deadline
        self._apart = apart
        self._workers: list[Worker] = []
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()

    def __call__(self, function: Callable[[Any], Any], chunks: Sequence[Any]) -> list[Any]:
        """See `models.isolation.Mapper`; a single chunk, or a single worker, is not worth a process."""
        if not self._apart and (len(chunks) < 2 or self._processes < 2):
            return InlineMapper(self._report)(function, chunks)
        while len(self._workers) < min(self._processes, len(chunks)):
            self._workers.append(Worker())
            self._idle.put(self._workers[-1])

        def run(chunk: Any) -> Any:
            worker = self._idle.get()
            try:
                return worker.run(function, chunk, deadline=self._deadline)
            finally:
                self._idle.put(worker)

        with one_thread_each(), ThreadPoolExecutor(max(1, len(self._workers))) as threads:
            futures = [threads.submit(run, chunk) for chunk in chunks]
            try:
                for done, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    self._report(done, len(futures))
            except BaseException:  # nobody waits for what is under way any more
                threads.shutdown(wait=False, cancel_futures=True)
                for worker in self._workers:
                    worker.kill()
                raise
        return [future.result() for future in futures]

    def close(self) -> None:
        """End the workers, whatever they are at."""
        for worker in self._workers:
            worker.end()


class Worker:
    """One process and the pipe to it; whatever happens to the process, the next chunk gets a new one."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def run(self, function: Callable[[Any], Any], chunk: Any, *, deadline: float) -> Any:
        """What the function makes of the chunk there, or `Lost`."""
        if self._process is None or not self._process.is_alive():
            self._start()
        process, pipe = self._process, self._pipe
        assert process is not None
        assert pipe is not None
        message = attempt(ForkingPickler.dumps, (function, chunk))
        if isinstance(message, Lost):
            return message
        with killed_after(deadline, process) as overdue:
            answer = exchange(pipe, message)
        if overdue.is_set():
            self.end()
            return Lost(f"it was not done after {deadline:g} s")
        if answer is None:
            process.join()
            code = process.exitcode
            self.end()
            return Lost(f"its worker {description_of_exit(code or 0)}")
        return attempt(ForkingPickler.loads, answer)

    def kill(self) -> None:
        """End the process, from any thread: who waits for it sees it."""
        process = self._process
        if process is not None:
            process.kill()

    def end(self) -> None:
        """Kill the process, as there is nothing that it would have to finish, and leave nothing of it behind."""
        self.kill()
        if self._process is not None and self._pipe is not None:
            self._process.join()
            self._pipe.close()
        self._process = self._pipe = None

    def _start(self) -> None:
        self.end()
        self._pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=serve, args=(theirs,), name="nearcast-worker", daemon=True)
        self._process.start()
        theirs.close()


def exchange(pipe: Connection, message: memoryview) -> bytes | None:
    """What is answered to a message; None when nobody is at the other end any more."""
    try:
        pipe.send_bytes(message)
        return pipe.recv_bytes()
    except (EOFError, OSError):
        return None


@contextmanager
def killed_after(seconds: float, process: BaseProcess) -> Iterator[threading.Event]:
    """Kill a process unless the block ends in time; the event says whether it did not.

    So a worker is ended too that does not even read its chunk, or stops in the middle of its answer.
    """
    overdue = threading.Event()

    def end() -> None:
        overdue.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield overdue
    finally:
        timer.cancel()
        timer.join()  # it has killed, or never will


def serve(pipe: Connection) -> None:
    """Compute chunks until the other end is closed, or gone."""
    end_with_parent()
    while True:
        try:
            message = pipe.recv_bytes()
        except EOFError:
            return
        answer = attempt(answered, message)
        pipe.send_bytes(ForkingPickler.dumps(answer) if isinstance(answer, Lost) else answer)


def answered(message: bytes) -> memoryview:
    """The result of one chunk, written; whatever reading, computing and writing raise concerns this chunk only."""
    function, chunk = ForkingPickler.loads(message)
    return ForkingPickler.dumps(function(chunk))


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
