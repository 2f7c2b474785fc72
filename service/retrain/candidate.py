"""A candidate for the next version: what a fit makes of the data, under the conditions of its basis."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.retrain.basis import Basis, make_draft
from service.store.database import Database
from service.store.memories import read_memory
from service.store.versions import Draft
from service.workers import Pool, make_mapper

if TYPE_CHECKING:
    from models.engine import Fitted
    from models.history import History
    from models.lateness import Lateness

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with the phase, how many of its parts are done, and how many there are."""


def ignore_progress(_phase: str, _done: int, _total: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A fit, what it was made of, and the version that it would be."""

    basis: Basis
    history: History
    fitted: Fitted
    draft: Draft


def fit_candidate(  # noqa: PLR0913 - each is said by its name
    basis: Basis,
    history: History,
    late: Sequence[Lateness],
    *,
    before: Iterable[bytes],
    reason: str,
    pool: Pool,
    apart: bool,
    remember: Callable[[bytes], None] | None,
    progress: Progress,
) -> Candidate:
    """Fit a clean history, `history` and `late` from `basis.clean_history`, from what the last fit left, `before`.

    `apart`: as a series may take down the process that fits it. `remember`: see `models.engine.fit`.
    """
    from models import engine  # noqa: PLC0415 - loads the numeric libraries

    def report(done: int, total: int) -> None:
        progress("fit", done, total)

    with make_mapper(pool, progress=report, apart=apart) as mapper:
        fitted = engine.fit(
            history,
            calendar=basis.calendar,
            horizon=basis.record.funnel.horizon_limit,
            before=before,
            mapper=mapper,
            responses=True,
            apart=apart,
            remember=remember,
        )
    for segment, lost in fitted.quarantined.items():
        logger.warning("quarantined: %s", lost, extra={"funnel": basis.record.name, "segment": segment})
    return Candidate(basis, history, fitted, make_draft(basis, history, fitted, late, reason=reason))


def memory_of(database: Database, funnel_id: int) -> Generator[bytes]:
    """What the last fit of a funnel left, a block at a time."""
    with database.read() as connection:
        yield from read_memory(connection, funnel_id)
