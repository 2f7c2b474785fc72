"""Retrain jobs of the API: each in a process of its own, watched to its end, so that every run ends somehow."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Self

from service.settings import Settings
from service.store.database import Database
from service.store.errors import StoreError
from service.store.funnels import get_funnel, lock_funnel
from service.store.idempotency import forget_keys
from service.store.runs import OPEN, Run, fail_silent_runs, finish_run, get_run, list_runs, queue_run
from service.workers.exits import description_of_exit
from service.workers.pool import check_pool, pool_from_settings

MOST_JOBS = 4
"""Retrain processes at once; more are asked to come back."""
TIDY_SECONDS = 10.0
"""Between two looks for runs whose process has died and for keys that may be forgotten."""
GRACE_SECONDS = 5.0
"""A job has this long to end when the server stops."""

logger = logging.getLogger("nearcast.jobs")


class TooManyJobsError(Exception):
    """As many retrain processes as the server starts are running."""


class Jobs:
    """Starts retrain processes and marks the runs of those that die."""

    def __init__(self, database: Database, settings: Settings) -> None:
        check_pool(pool_from_settings(settings))  # now, not at every retrain
        self._database = database
        self._settings = settings
        self._lock = threading.Lock()
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._watchers: list[threading.Thread] = []
        self._stop = threading.Event()
        self._tidier = threading.Thread(target=self._tidy, name="nearcast-tidy", daemon=True)

    def __enter__(self) -> Self:
        self._tidier.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End all jobs; their runs are marked failed."""
        self._stop.set()
        with self._lock:
            children = list(self._children.values())
        for child in children:
            child.terminate()
        for watcher in self._watchers:
            watcher.join(GRACE_SECONDS)
        for child in children:
            if child.poll() is None:
                child.kill()
        for watcher in self._watchers:
            watcher.join(GRACE_SECONDS)
        if self._tidier.is_alive():
            self._tidier.join(GRACE_SECONDS)

    def start(self, funnel: str) -> Run:
        """Start a run of `funnel`, or join the one that has not ended.

        Raises
        ------
        FunnelNotFoundError
            When there is no such funnel.
        TooManyJobsError
            When the server has enough to do.
        """
        now = datetime.now(UTC)
        with self._lock:
            with self._database.write() as connection:
                funnel_id = get_funnel(connection, funnel).id
                lock_funnel(connection, funnel_id)
                fail_silent_runs(connection, now=now)
                for run in list_runs(connection, funnel_id=funnel_id, limit=10):
                    if run.status in OPEN:
                        return run
                if len(self._children) >= MOST_JOBS:
                    raise TooManyJobsError(f"{MOST_JOBS} retrains are running already")
                run = queue_run(connection, funnel_id, now=now)
            self._launch(run)
        return run

    def start_due(self, funnel: str, *, now: datetime) -> Run | None:
        """Start the run that is due of a funnel; None when none is, or one is under way, here or elsewhere.

        Raises as `start`.
        """
        from service.retrain.start import queue_due  # noqa: PLC0415 - loads what most servers need no more of

        with self._lock:
            if len(self._children) >= MOST_JOBS:
                raise TooManyJobsError(f"{MOST_JOBS} retrains are running already")
            with self._database.write() as connection:
                run_id = queue_due(connection, funnel, now=now)
                run = None if run_id is None else get_run(connection, run_id)
            if run is not None:
                self._launch(run)
        return run

    def _launch(self, run: Run) -> None:
        """Start the process of a queued run, and the thread that waits for its end."""
        command = [
            sys.executable,
            "-m",
            "service.cli",
            "retrain",
            "--funnel",
            run.funnel,
            "--run",
            str(run.id),
            "--json",
        ]
        try:
            child = subprocess.Popen(  # noqa: S603 - our own command, and a checked name
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=self._environment()
            )
        except OSError as error:
            self._end(run.id, f"its process could not be started: {error}")
            return
        self._children[run.id] = child
        watcher = threading.Thread(target=self._watch, args=(run.id, child), name=f"nearcast-run-{run.id}", daemon=True)
        self._watchers = [each for each in self._watchers if each.is_alive()] + [watcher]
        watcher.start()
        logger.info("retrain started", extra={"run_id": run.id, "funnel": run.funnel, "child": child.pid})

    def _environment(self) -> dict[str, str]:
        """The server's own settings, however they were given, for the job; never as arguments that `ps` shows."""
        settings = self._settings.model_dump(mode="json", exclude_none=True)
        return os.environ | {f"NEARCAST_{name.upper()}": str(value) for name, value in settings.items()}

    def _watch(self, run_id: int, child: subprocess.Popen[bytes]) -> None:
        """Wait for the process; when it left its run open, say how it ended."""
        code = child.wait()
        with self._lock:
            self._children.pop(run_id, None)
        self._end(run_id, f"its process {description_of_exit(code)} before the run had ended")
        logger.info("retrain ended", extra={"run_id": run_id, "exit_code": code})

    def _end(self, run_id: int, reason: str) -> None:
        """Mark a run failed unless it has ended; a store that is away leaves it to the tidier."""
        try:
            with self._database.write() as connection:
                finish_run(connection, run_id, status="failed", reason=reason, now=datetime.now(UTC))
        except StoreError as error:
            logger.warning("could not mark the run", extra={"run_id": run_id, "reason": error.in_full()})

    def _tidy(self) -> None:
        """Now and then mark silent runs failed and forget old idempotency keys, until told to stop."""
        kept = timedelta(hours=self._settings.idempotency_hours)
        while not self._stop.wait(TIDY_SECONDS):
            now = datetime.now(UTC)
            try:
                with self._database.write() as connection:
                    fail_silent_runs(connection, now=now)
                    forget_keys(connection, before=now - kept)
            except StoreError as error:
                logger.warning("could not tidy the store", extra={"reason": error.in_full()})
