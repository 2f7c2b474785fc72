"""What an operator says of the workers, and whether it can be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from models.errors import InputError, NearcastError, Problem

if TYPE_CHECKING:
    from service.settings import Settings, Workers

Progress = Callable[[int, int], None]
"""Called with the chunks done and the chunks in all."""

SCHEMES = ("tcp://", "tls://")


class WorkersUnavailableError(NearcastError):
    """There is nobody to compute: the cluster does not answer, or has no worker."""

    slug = "workers-unavailable"


@dataclass(frozen=True, slots=True)
class Pool:
    """Where series are fitted.

    Parameters
    ----------
    workers
        `inline`: in this process; `process`: in fresh processes of this machine; `dask`: on a cluster.
    processes
        How many processes; None: one a core.
    address
        Of the Dask scheduler, tcp://host:port or tls://host:port.
    deadline
        Seconds that a worker has for one chunk; inline it cannot be held to them.
    """

    workers: Workers = "inline"
    processes: int | None = None
    address: str | None = None
    deadline: float = 600.0


INLINE = Pool()


def check_pool(pool: Pool) -> None:
    """Raise InputError for a cluster without an address, or without the library that speaks with it."""
    if pool.workers != "dask":
        return
    if find_spec("distributed") is None:
        remedy = "pip install 'nearcast[dask]'"
        raise InputError(Problem("workers on a Dask cluster need the extra dask", field="--workers", remedy=remedy))
    if pool.address is None or not pool.address.startswith(SCHEMES):
        said = "no address" if pool.address is None else f"{pool.address!r} is not the address"
        remedy = "set NEARCAST_DASK_ADDRESS, or give --dask-address tcp://host:8786 (tls:// beyond this machine)"
        raise InputError(Problem(f"{said} of a Dask scheduler", field="--dask-address", remedy=remedy))


def pool_from_settings(settings: Settings) -> Pool:
    """The pool that the settings describe."""
    return Pool(settings.workers, settings.processes, settings.dask_address, settings.chunk_seconds)
