"""Workers: the same results wherever they are computed, and of what kills or holds up a worker only that is lost."""

from __future__ import annotations

import math
import operator
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from models.errors import InputError
from models.isolation import Lost
from service.settings import Settings
from service.workers import Pool, WorkersUnavailableError, make_mapper, pool_from_settings
from service.workers import pool as pools
from service.workers.process import ONE_THREAD

ROOT = Path(__file__).parents[2]
TWO = Pool("process", processes=2)


@pytest.fixture(params=["inline", "process", "dask"])
def pool(request) -> Pool:
    """Each kind of pool in turn."""
    address = request.getfixturevalue("dask_cluster").address if request.param == "dask" else None
    return Pool(request.param, processes=2, address=address)


@pytest.fixture(params=["process", "dask"])
def robust_pool(request) -> Pool:
    """Each pool that outlives what a chunk does to its worker; a chunk has eight seconds."""
    address = request.getfixturevalue("dask_cluster").address if request.param == "dask" else None
    return Pool(request.param, processes=2, address=address, deadline=8.0)


def test_results_come_in_the_order_of_the_chunks_and_progress_is_told(pool):
    told: list[tuple[int, int]] = []
    with make_mapper(pool, progress=lambda done, total: told.append((done, total))) as mapper:
        assert mapper(math.factorial, [5, 3, 4]) == [120, 6, 24]
        assert mapper(operator.neg, []) == []
    assert told[-1] == (3, 3)


def test_an_exception_is_lost_with_its_chunk_only(pool):
    with make_mapper(pool) as mapper:
        one, lost, other = mapper(math.factorial, [3, -1, 4])
    assert (one, other) == (6, 24)
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("ValueError: factorial() not defined for negative values")


def test_a_worker_that_dies_loses_its_chunk_only_and_is_replaced(robust_pool):
    with make_mapper(robust_pool) as mapper:
        one, lost, *others = mapper(eval, ["1 + 1", "__import__('os')._exit(3)", *["2 + 2"] * 6])
        assert (one, *others) == (2, *[4] * 6)
        assert isinstance(lost, Lost)
        assert "its worker" in lost.reason
        assert mapper(operator.neg, [1, 2, 3]) == [-1, -2, -3]


@pytest.mark.slow
def test_a_chunk_that_takes_too_long_is_lost_and_its_worker_ended(robust_pool, tmp_path):
    began, worker = time.monotonic(), tmp_path / "worker"
    tell = f"__import__('pathlib').Path({str(worker)!r}).write_text(str(__import__('os').getpid()))"
    with make_mapper(robust_pool) as mapper:
        lost, *others = mapper(eval, [f"{tell} and __import__('time').sleep(600)", "1 + 1", "2 + 2"])
        assert others == [2, 4]
        assert lost == Lost("it was not done after 8 s")
        assert mapper(operator.neg, [1, 2]) == [-1, -2]
        assert not is_alive(int(worker.read_text()))
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_a_worker_that_does_not_even_read_its_chunk_is_ended_in_time():
    with make_mapper(Pool("process", processes=2, deadline=8.0)) as mapper:
        stopped, _ = mapper(eval, ["__import__('os').getpid()", "__import__('time').sleep(1)"])
        os.kill(stopped, signal.SIGSTOP)
        found = mapper(len, [bytes(10**7)] * 2)  # more than a pipe holds
        assert sorted(found, key=str) == [10**7, Lost("it was not done after 8 s")]
        assert mapper(operator.neg, [1, 2]) == [-1, -2]


def test_what_cannot_be_sent_there_or_back_is_lost_with_its_chunk_only():
    odd = "type('Odd', (), {'__reduce__': lambda self: (int, ('odd',))})()"
    with make_mapper(Pool("process", processes=2)) as mapper:
        back, broken, fine = mapper(eval, ["lambda: 1", odd, "1 + 1"])
        assert "pickle" in back.reason
        assert broken.reason.startswith("ValueError: invalid literal for int()")
        assert fine == 2
        there, fine = mapper(operator.neg, [threading.Lock(), 3])
        assert there.reason.startswith("TypeError: cannot pickle")
        assert fine == -3


def test_each_worker_has_one_thread_and_this_process_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    names = list(ONE_THREAD)
    with make_mapper(TWO) as mapper:
        assert mapper(os.getenv, names) == ["1"] * len(names)
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("apart", [True, False])
def test_a_single_chunk_gets_a_process_only_where_it_may_take_it_down(apart):
    with make_mapper(Pool("process", processes=1), apart=apart) as mapper:
        (process,) = mapper(eval, ["__import__('os').getpid()"])
    assert (process != os.getpid()) is apart


@pytest.mark.parametrize(
    ("pool", "said"),
    [(Pool("dask"), "no address"), (Pool("dask", address="scheduler:8786"), "'scheduler:8786' is not the address")],
)
def test_a_cluster_needs_an_address(pool, said):
    with pytest.raises(InputError, match=said) as caught, make_mapper(pool):
        pass
    (problem,) = caught.value.problems
    assert "NEARCAST_DASK_ADDRESS" in problem.remedy


def test_a_cluster_needs_the_extra_and_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(pools, "find_spec", lambda name: None)
    with (
        pytest.raises(InputError, match="need the extra dask") as caught,
        make_mapper(Pool("dask", address="tcp://x:1")),
    ):
        pass
    assert caught.value.problems[0].remedy == "pip install 'nearcast[dask]'"


def test_a_cluster_that_does_not_answer_is_told(monkeypatch):
    from service.workers import dask

    monkeypatch.setattr(dask, "CONNECT_SECONDS", 1.0)
    with (
        make_mapper(Pool("dask", address="tcp://127.0.0.1:1")) as mapper,
        pytest.raises(WorkersUnavailableError, match=r"tcp://127.0.0.1:1 does not answer"),
    ):
        mapper(operator.neg, [1])


def test_the_settings_describe_a_pool(monkeypatch):
    monkeypatch.setenv("NEARCAST_WORKERS", "dask")
    monkeypatch.setenv("NEARCAST_DASK_ADDRESS", "tls://scheduler:8786")
    monkeypatch.setenv("NEARCAST_CHUNK_SECONDS", "5")
    assert pool_from_settings(Settings()) == Pool("dask", address="tls://scheduler:8786", deadline=5)


COORDINATOR = """
import threading, time
from pathlib import Path
from service.workers import Pool, make_mapper

def tell():
    while True:
        children = [child for task in Path("/proc/self/task").glob("*/children") for child in task.read_text().split()]
        if len(children) >= 3:  # two workers and the resource tracker; each is listed by the thread that started it
            print(*children, flush=True)
            return
        time.sleep(0.05)

if __name__ == "__main__":
    threading.Thread(target=tell, daemon=True).start()
    with make_mapper(Pool("process", processes=2)) as mapper:
        mapper(time.sleep, [60, 60])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="lists child processes through Linux's /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_when_their_coordinator_is_killed_or_interrupted(tmp_path, how):
    script = tmp_path / "coordinator.py"
    script.write_text(COORDINATOR)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as coordinator:
        assert coordinator.stdout is not None
        children = [int(child) for child in coordinator.stdout.readline().split()]
        assert len(children) >= 3
        assert all(map(is_alive, children))
        time.sleep(1.0)  # long enough for the workers to be at work
        coordinator.send_signal(how)
        coordinator.wait(20)
    deadline = time.monotonic() + 20
    while (left := [child for child in children if is_alive(child)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
