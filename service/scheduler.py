"""The schedule inside `nearcast serve --with-jobs`: looks for what is due, again and again, and starts it.

Any number of servers may look at the same store: which one starts a due run is decided in the transaction that
queues it. What was due while none was looking is made up for by one run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

from service.jobs import Jobs, TooManyJobsError
from service.store.database import Database
from service.store.errors import StoreError
from service.store.funnels import due_of, list_funnels
from service.store.runs import Run

LOOK_SECONDS = 5.0
"""Between two looks for due retrains."""

logger = logging.getLogger("nearcast.scheduler")


def present() -> datetime:
    """The present instant."""
    return datetime.now(UTC)


class Scheduler:
    """Starts due retrains, from a thread of its own.

    Parameters
    ----------
    clock
        Tells the present instant, with a zone.
    every
        Seconds between two looks.
    """

    def __init__(
        self, database: Database, jobs: Jobs, *, clock: Callable[[], datetime] = present, every: float = LOOK_SECONDS
    ) -> None:
        self._database, self._jobs = database, jobs
        self._clock, self._every = clock, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="nearcast-scheduler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking; what has been started goes on."""
        self._stop.set()
        self._thread.join()

    def look(self) -> tuple[Run, ...]:
        """Start what is due, and not under way; the runs started. What cannot be started now is due again next time.

        Raises StoreError when the store is away.
        """
        now = self._clock()
        with self._database.read() as connection:
            names = [record.name for record in list_funnels(connection) if due_of(record, now=now)]
        started = []
        for name in names:
            try:
                run = self._jobs.start_due(name, now=now)
            except TooManyJobsError:
                break
            if run is not None:
                logger.info("due", extra={"funnel": name, "run_id": run.id, "due_at": run.due_at, **run.counts})
                started.append(run)
        return tuple(started)

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self.look()
            except StoreError as error:
                logger.warning("cannot look for what is due", extra={"reason": error.in_full()})
            except Exception:
                logger.exception("what is due could not be started; looking again later")
