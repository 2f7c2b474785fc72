"""What will be asked for, fetched by a thread of its own while something else is worked on."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from queue import Full, Queue
from types import TracebackType
from typing import Self

DEPTH = 32
"""Payloads that may lie ready: they are large, and lie there beside all else that a run holds."""
PATIENCE = 0.05
"""Seconds between two looks whether anybody still wants what there is no place for."""


class Ahead:
    """The payloads of a source, which is run in a thread from now on; a context that ends it, wherever it is."""

    def __init__(self, source: Generator[bytes]) -> None:
        self._source = source
        self._ready: Queue[bytes | BaseException | None] = Queue(DEPTH)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._fetch, name="ahead", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def payloads(self) -> Generator[bytes]:
        """Each once; raises what the source raised, in its place. Closing this ends the source as well."""
        try:
            while (fetched := self._ready.get()) is not None:
                if isinstance(fetched, BaseException):
                    raise fetched
                yield fetched
        finally:
            self._end()

    def _end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _fetch(self) -> None:
        try:
            with closing(self._source) as source:
                for payload in source:
                    if not self._put(payload):
                        return
        except BaseException as error:  # noqa: BLE001 - whoever asks is told
            self._put(error)
        else:
            self._put(None)

    def _put(self, fetched: bytes | BaseException | None) -> bool:
        """Whether it was still wanted."""
        while not self._ended.is_set():
            try:
                self._ready.put(fetched, timeout=PATIENCE)
            except Full:
                continue
            return True
        return False
