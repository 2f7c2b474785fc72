"""Looking again and again, from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Watcher:
    """Calls `look`, which must not raise, every so many seconds until it is stopped."""

    def __init__(self, look: Callable[[], object], *, every: float, name: str) -> None:
        self._look, self._every, self._name = look, every, name
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; the first look is `every` seconds from now."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._watch, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, *, patience: float | None = None) -> None:
        """End, and wait for a look that is going on, for `patience` seconds at most; None: however long it takes."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(patience)
            self._thread = None

    def _watch(self) -> None:
        while not self._stopping.wait(self._every):
            self._look()
