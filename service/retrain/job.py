"""The retrain job: read, clean, fit, and publish in one transaction; or leave everything as it was, and say why."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal

from sqlalchemy.engine import Connection

from models.errors import NearcastError
from service.retrain.ahead import Ahead
from service.retrain.basis import (
    Basis,
    champions_basis,
    clean_history,
    overtaken,
    read_basis,
    reason_to_publish,
)
from service.retrain.candidate import Candidate, Progress, fit_candidate, ignore_progress, memory_of
from service.retrain.challenge import judge
from service.retrain.live import live_after, with_live
from service.retrain.publication import Publication
from service.retrain.pulse import Pulse
from service.retrain.quarantine import check_quarantine, is_suspect, quarantined_in, reason_to_retry
from service.retrain.reading import keep
from service.retrain.start import Aside, RunEndedError, Started, start
from service.store.database import Database
from service.store.errors import StoreError
from service.store.funnels import get_funnel, lock_funnel
from service.store.lease import check_lease
from service.store.memories import forget, keep_only
from service.store.runs import Phase, finish_run
from service.store.versions import (
    Draft,
    Version,
    get_version,
    publish_version,
    read_live,
)
from service.workers import INLINE, Pool

if TYPE_CHECKING:
    from models.engine import Fitted

LEASE = timedelta(seconds=60)
"""How long a lease lasts that is not renewed: longer than another writer holds a SQLite file."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended; `version` is None when there was nothing new, `run_id` when it was not its turn to run."""

    run_id: int | None
    status: Literal["succeeded"]
    reason: str
    version: Version | None
    phases: tuple[Phase, ...]
    counts: dict[str, int]


def retrain(
    database: Database,
    funnel_name: str,
    *,
    now: datetime,
    pool: Pool = INLINE,
    run_id: int | None = None,
    if_due: bool = False,
    progress: Progress | None = None,
    lease: timedelta = LEASE,
) -> RunResult:
    """Retrain a funnel on all that has been recorded, and serve the result; unless another run is at it.

    Parameters
    ----------
    now
        The present instant, with a zone.
    pool
        Where series are fitted.
    run_id
        A queued run to carry out; None: a new one.
    if_due
        Only if the funnel's schedule says so, and no run is under way.
    lease
        How long another run waits for this one when it falls silent.

    Raises
    ------
    NearcastError
        FunnelNotFoundError, HistoryError, StoreError, ...; the run is marked failed with the reason, and
        what was served goes on being served. So it is for any other exception.
    """
    with database.write() as connection:
        started = start(connection, funnel_name, now=now, length=lease, run_id=run_id, if_due=if_due)
    if isinstance(started, Aside):
        return RunResult(started.run_id, "succeeded", started.reason, None, (), {})
    job = Job(database, started, length=lease, now=now, progress=progress or ignore_progress)
    try:
        with job.pulse:
            return job.carry_out(funnel_name, pool=pool)
    except BaseException as error:
        with suppress(StoreError):  # the store may be what failed; silence marks the run later
            job.fail(error)
        raise


class Job:
    """One run under way: its phases, and its one publishing transaction; `pulse` gives its signs of life."""

    def __init__(
        self,
        database: Database,
        started: Started,
        *,
        length: timedelta,
        now: datetime,
        progress: Progress,
    ) -> None:
        self._database = database
        self._started = started
        self._lease = started.lease
        self._run_id = started.lease.run_id
        self._began, self._clock = now, clock()
        self._progress = progress
        self._finished: list[Phase] = []
        self._open: tuple[str, float] | None = None
        self._counts = dict(started.counts)
        self.pulse = Pulse(database, self._lease, length=length, now=self._now, phases=self._phases)

    def carry_out(self, name: str, *, pool: Pool) -> RunResult:
        """Read, clean, fit, publish."""
        with self._phase("read"), self._database.read() as connection:
            basis = read_basis(connection, name)
            suspect = is_suspect(connection, basis.record.id, basis.active)
            issued = read_live(connection, basis.record.id)
        if basis.reading is None and basis.active is not None:
            return self._nothing_new(f"nothing new since version {basis.active.number}")
        with (
            Ahead(memory_of(self._database, basis.record.id)) as remembered,
            Publication(self._database, self._run_id) as publication,
        ):
            with self._phase("clean"):
                history, late = clean_history(basis)
            reason = reason_to_publish(basis, history.cutoff)
            if reason is None:
                assert basis.active is not None
                return self._nothing_new(f"nothing new since version {basis.active.number}")
            with self._phase("fit"):
                former = champions_basis(basis)
                basis = replace(basis, reading=basis.reading and basis.reading.without_rows())
                fit = partial(
                    fit_candidate,
                    reason=reason,
                    pool=pool,
                    apart=suspect,
                    remember=publication.remember if former is None else None,  # of two, one will be published
                    progress=self._progress,
                )
                chosen = fit(basis, history, late, before=remembered.payloads())
                rival = None
                if former is not None:
                    again = memory_of(self._database, former.record.id)
                    rival = fit(former, *clean_history(former), before=again)
            check_quarantine(chosen.fitted, active=basis.active)
            lost = set(chosen.fitted.quarantined)
            if reason == reason_to_retry(basis.active) and set(quarantined_in(basis.active)) <= lost:
                assert basis.active is not None
                said = f"nothing new since version {basis.active.number}; what is quarantined stays so"
                return self._nothing_new(said)
            with self._phase("publish"):
                return self._publish_better(chosen, rival, issued, publication)

    def _publish_better(
        self, chosen: Candidate, rival: Candidate | None, issued: bytes | None, publication: Publication
    ) -> RunResult:
        """Publish the candidate, unless what is served was made under conditions that score better."""
        basis, reason, series = chosen.basis, chosen.draft.reason, len(chosen.fitted.forecasts)
        theirs = None if rival is None else rival.draft
        verdict = judge(basis.active, chosen.draft, theirs, scorecard=basis.scorecard)
        promoted = verdict is not None and verdict.promoted
        kept = verdict is not None and not promoted
        self._counts |= {"promoted": series if promoted else 0, "kept": series if kept else 0}
        if verdict is not None:
            reason = f"{reason}; {verdict.reason}"
        if kept:
            if rival is None:
                return self._nothing_new(reason)
            chosen = rival
            check_quarantine(chosen.fitted, active=basis.active)
        for block in chosen.fitted.memory:
            publication.remember(block)
        live = live_after(issued, chosen.history, chosen.fitted)
        draft = with_live(replace(chosen.draft, reason=reason), live)
        return self._publish(chosen.basis, draft, chosen.fitted, publication)

    def fail(self, error: BaseException) -> None:
        """Mark the run failed, with the reason."""
        private = isinstance(error, self._database.driver_errors)  # they tell statements and rows
        said = "the log has it in full" if private else error
        reason = str(error) if isinstance(error, NearcastError) else f"{type(error).__name__}: {said}"
        with self._database.write() as connection:
            finish_run(connection, self._run_id, status="failed", reason=reason, now=self._now(), phases=self._phases())

    def _publish(self, basis: Basis, draft: Draft, fitted: Fitted, publication: Publication) -> RunResult:
        """Version, forecasts, states, what is served and the end of the run: all in one transaction, or none."""
        self._counts |= {
            "series": len(fitted.forecasts),
            "fallbacks": sum(forecast.fallback_reason is not None for forecast in fitted.forecasts),
            "changed_rows": basis.changed,
            "read_rows": 0 if basis.reading is None else basis.reading.rows,
            "appended": fitted.appended,
            "refitted": fitted.refitted,
            "quarantined": len(fitted.quarantined) * len(basis.record.funnel.stages),
        }
        with publication.transaction() as connection:
            lock_funnel(connection, basis.record.id)
            check_lease(connection, self._lease, now=self._now())
            stopped = self._chosen_meanwhile(connection, basis) or overtaken(connection, basis, draft)
            if stopped:
                forget(connection, self._run_id)
            version = None if stopped else self._publish_version(connection, basis, draft, fitted)
            reason = self._finish(connection, stopped or draft.reason, version)
        return self._result(reason, version)

    def _chosen_meanwhile(self, connection: Connection, basis: Basis) -> str | None:
        """Why not to publish over a version that somebody has activated since the run began; None: nobody has."""
        record = get_funnel(connection, basis.record.name)
        if record.activations == self._started.activations or record.active_version_id is None:
            return None
        chosen = get_version(connection, record.active_version_id)
        return f"version {chosen.number} was activated meanwhile; the next retrain continues from it"

    def _publish_version(self, connection: Connection, basis: Basis, draft: Draft, fitted: Fitted) -> Version:
        if basis.reading is not None:
            keep(connection, basis.record.id, basis.reading)
        return publish_version(
            connection,
            basis.record.id,
            draft,
            made=fitted.forecasts,
            responses=fitted.responses,
            drop=partial(keep_only, connection, basis.record.id, self._run_id),
            now=self._now(),
        )

    def _nothing_new(self, reason: str) -> RunResult:
        with self._database.write() as connection:
            reason = self._finish(connection, reason, None)
        return self._result(reason, None)

    def _finish(self, connection: Connection, reason: str, version: Version | None) -> str:
        """End the run in the transaction that does what it was for; the reason, with what it makes up for."""
        if version is not None:  # what was written may have taken longer than the lease lasted
            check_lease(connection, self._lease, now=self._now())
        if missed := self._started.missed:
            reason = f"{reason}; makes up for {missed} earlier due instant{'s' if missed > 1 else ''}"
        ended = finish_run(
            connection,
            self._run_id,
            status="succeeded",
            reason=reason,
            now=self._now(),
            phases=self._phases(),
            counts=self._counts,
            version_id=version.id if version else None,
        )
        if not ended:  # taken for dead, say after a long suspension: another run may have started since
            raise RunEndedError(f"run {self._run_id} was ended by another process; it publishes nothing")
        return reason

    def _result(self, reason: str, version: Version | None) -> RunResult:
        return RunResult(self._run_id, "succeeded", reason, version, tuple(self._phases()), self._counts)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self._progress(name, 0, 1)
        self._open = (name, time.monotonic())
        yield
        self._finished, self._open = self._phases(), None
        self._progress(name, 1, 1)

    def _phases(self) -> list[Phase]:
        """The phases so far; the last one is where a run failed."""
        if self._open is None:
            return self._finished
        name, began = self._open
        return [*self._finished, Phase(name, time.monotonic() - began)]

    def _now(self) -> datetime:
        return self._began + timedelta(seconds=clock() - self._clock)


def clock() -> float:
    """Seconds that go on while the machine sleeps, where the system tells them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
