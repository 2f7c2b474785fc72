"""The one transaction in which a run publishes; begun while the fit goes on, where that holds up nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Self

from sqlalchemy.engine import Connection

from service.store.database import Database
from service.store.memories import memory_of_run


class AbandonedError(Exception):
    """Nothing is published after all; no one sees this."""


class Publication:
    """What a run remembers, and then the transaction that publishes; a context that undoes all that was not published.

    What is remembered is most of what a run writes. PostgreSQL takes it block by block while the next ones are fitted:
    rows that nobody else asks for, and no lock that anybody waits for. SQLite has one writer at a time, and a fit must
    not keep others from their turn: there the blocks are held until the fit is over.
    """

    def __init__(self, database: Database, run_id: int) -> None:
        self._database, self._run_id = database, run_id
        self._transaction, self._blocks = ExitStack(), ExitStack()
        self._connection: Connection | None = None
        self._held: list[bytes] = []
        self._take: Callable[[bytes], None] = self._held.append

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(AbandonedError):
            self._transaction.__exit__(kind or AbandonedError, error or AbandonedError(), trace)

    def remember(self, payload: bytes) -> None:
        """One more block of what the next run is to start from."""
        if self._connection is None and self._database.dialect == "postgresql":
            self._begin()
        self._take(payload)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """With all that is remembered; committed, durably, when the block ends; rolled back when it raises."""
        connection = self._connection or self._begin()
        for payload in self._held:
            self._take(payload)
        self._blocks.close()
        yield connection
        self._transaction.close()

    def _begin(self) -> Connection:
        self._connection = self._transaction.enter_context(self._database.write())
        self._transaction.push(self._blocks)
        self._take = self._blocks.enter_context(memory_of_run(self._connection, self._run_id))
        return self._connection
