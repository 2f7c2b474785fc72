"""Workers: the same results wherever they are computed, and an error when a worker dies."""

from __future__ import annotations

import math
import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.workers import ONE_THREAD, WorkerDiedError, make_mapper

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("workers", ["inline", "process"])
def test_results_come_in_the_order_of_the_chunks_and_progress_is_told(workers):
    told: list[tuple[int, int]] = []
    with make_mapper(workers, processes=2, progress=lambda done, total: told.append((done, total))) as mapper:
        assert mapper(math.factorial, [5, 3, 4]) == [120, 6, 24]
        assert mapper(operator.neg, []) == []
    assert told[-1] == (3, 3)


def test_each_worker_has_one_thread_and_this_process_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    names = list(ONE_THREAD)
    with make_mapper("process", processes=2) as mapper:
        assert mapper(os.getenv, names) == ["1"] * len(names)
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("workers", ["inline", "process"])
def test_an_error_in_a_chunk_is_raised_as_it_is(workers):
    with make_mapper(workers, processes=2) as mapper, pytest.raises(ValueError, match="factorial"):
        mapper(math.factorial, [3, -1, 4])


def test_a_worker_that_dies_is_an_error_and_the_next_chunks_get_a_new_pool():
    with make_mapper("process", processes=2) as mapper:
        with pytest.raises(WorkerDiedError):
            mapper(os._exit, [1, 2])
        assert mapper(operator.neg, [1, 2]) == [-1, -2]


COORDINATOR = """
import os, sys, threading, time
from service.workers import make_mapper

def tell():
    while True:
        children = open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read().split()
        if len(children) >= 3:  # two workers and the resource tracker
            print(*children, flush=True)
            return
        time.sleep(0.05)

if __name__ == "__main__":
    threading.Thread(target=tell, daemon=True).start()
    with make_mapper("process", processes=2) as mapper:
        mapper(time.sleep, [60, 60])
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="lists child processes through Linux's /proc")
def test_workers_end_when_their_coordinator_is_killed(tmp_path):
    script = tmp_path / "coordinator.py"
    script.write_text(COORDINATOR)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as coordinator:
        assert coordinator.stdout is not None
        children = [int(child) for child in coordinator.stdout.readline().split()]
        time.sleep(1.0)  # long enough for the workers to be at work
        coordinator.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while (left := [child for child in children if is_alive(child)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
