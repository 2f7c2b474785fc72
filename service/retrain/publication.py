"""The one transaction in which a run publishes; begun while the fit goes on, where that holds up nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Self

from sqlalchemy.engine import Connection

from service.store.database import Database
from service.store.memories import keep_block


class AbandonedError(Exception):
    """Nothing is published after all; no one sees this."""


class Publication:
    """What a run remembers, and then the transaction that publishes; a context that undoes all that was not published.

    What is remembered is most of what a run writes. PostgreSQL takes it block by block as a fit gives it (where series
    are continued, while the next ones are fitted): rows that nobody else asks for, and no lock that anybody waits for.
    SQLite has one writer at a time, and a fit must not keep others from their turn: there the blocks are held until the
    fit is over.
    """

    def __init__(self, database: Database, run_id: int) -> None:
        self._database, self._run_id = database, run_id
        self._transaction = ExitStack()
        self._connection: Connection | None = None
        self._held: list[bytes] = []
        self._kept = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(AbandonedError):
            self._transaction.__exit__(kind or AbandonedError, error or AbandonedError(), trace)

    def remember(self, payload: bytes) -> None:
        """One more block of what the next run is to start from."""
        if self._database.dialect == "postgresql":
            self._keep(payload)
        else:
            self._held.append(payload)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """With all that is remembered; committed, durably, when the block ends; rolled back when it raises."""
        connection = self._begun()
        for payload in self._held:
            self._keep(payload)
        yield connection
        self._transaction.close()

    def _keep(self, payload: bytes) -> None:
        keep_block(self._begun(), self._run_id, self._kept, payload)
        self._kept += 1

    def _begun(self) -> Connection:
        if self._connection is None:
            self._connection = self._transaction.enter_context(self._database.write())
        return self._connection
