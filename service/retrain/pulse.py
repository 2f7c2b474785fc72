"""Signs of life of a run under way: each reports its phases and renews its lease."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Self

from service.store.database import Database
from service.store.errors import StoreError
from service.store.lease import Lease, renew_lease
from service.store.runs import Phase, report_run

logger = logging.getLogger(__name__)

HEARTBEAT = 5.0
"""Seconds between two signs of life at most."""


class Pulse:
    """A context within which a thread gives signs of life of the lease's run.

    `now` and `phases` tell the present instant and the phases so far; `length`: of the lease.
    """

    def __init__(
        self,
        database: Database,
        lease: Lease,
        *,
        length: timedelta,
        now: Callable[[], datetime],
        phases: Callable[[], Sequence[Phase]],
    ) -> None:
        self._database, self._lease, self._length = database, lease, length
        self._now, self._phases = now, phases
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"run-{lease.run_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        run_id = self._lease.run_id
        while not self._ended.wait(min(HEARTBEAT, self._length.total_seconds() / 4)):
            try:
                with self._database.write() as connection:
                    report_run(connection, run_id, now=self._now(), phases=self._phases())
                    renew_lease(connection, self._lease, now=self._now(), length=self._length)
            except StoreError as error:
                logger.warning("run %s cannot report: %s", run_id, error.in_full())
