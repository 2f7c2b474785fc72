"""Where the heavy arithmetic runs: here, in processes of this machine, or on a Dask cluster.

A mapper applies a pure function to chunks (arrays in, plain data out) and returns the results in order; the
results are the same to the last bit wherever it runs. Workers never see the database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from models.isolation import Mapper
from service.workers.inline import InlineMapper
from service.workers.pool import INLINE, Pool, Progress, WorkersUnavailableError, check_pool, pool_from_settings
from service.workers.process import ProcessMapper

__all__ = [
    "INLINE",
    "Mapper",
    "Pool",
    "Progress",
    "WorkersUnavailableError",
    "check_pool",
    "make_mapper",
    "pool_from_settings",
]


@contextmanager
def make_mapper(pool: Pool, *, progress: Progress | None = None, apart: bool = False) -> Iterator[Mapper]:
    """A mapper for as long as the block lasts; workers are started, or connected to, when the first chunks come.

    A chunk that raises, kills its worker or passes the deadline gives `models.isolation.Lost`.

    Parameters
    ----------
    progress
        Called with the chunks done and the chunks in all.
    apart
        Whether even a chunk that is not worth a process gets one, as it may take it down.

    Raises
    ------
    InputError
        When the pool cannot be used as it is described, see `check_pool`.
    WorkersUnavailableError
        When a cluster does not answer; by the mapper, when it loses its last worker.
    """
    check_pool(pool)
    report = progress or ignore_progress
    if pool.workers == "inline":
        yield InlineMapper(report)
    elif pool.workers == "process":
        processes = ProcessMapper(pool.processes or os.cpu_count() or 1, report, deadline=pool.deadline, apart=apart)
        try:
            yield processes
        finally:
            processes.close()
    else:
        from service.workers.dask import DaskMapper  # noqa: PLC0415 - an extra, and half a second to load

        assert pool.address is not None
        cluster = DaskMapper(pool.address, report, deadline=pool.deadline)
        try:
            yield cluster
        finally:
            cluster.close()


def ignore_progress(_done: int, _total: int) -> None:
    """Nobody watches."""
