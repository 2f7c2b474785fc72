"""No workers: one chunk after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from models.isolation import attempt
from service.workers.pool import Progress


class InlineMapper:
    """A chunk that raises is lost; one that dies, or hangs, takes this process along."""

    def __init__(self, report: Progress) -> None:
        self._report = report

    def __call__(self, function: Callable[[Any], Any], chunks: Sequence[Any]) -> list[Any]:
        """See `models.isolation.Mapper`."""
        results = []
        for chunk in chunks:
            results.append(attempt(function, chunk))
            self._report(len(results), len(chunks))
        return results
