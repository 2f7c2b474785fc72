"""The time zone of a source that nobody declared, from the offsets in all of its rows."""

from __future__ import annotations

from collections.abc import Iterable

from models.errors import InputError, Problem
from models.gate import RowGate
from models.times import times_from_texts
from models.zones import Offsets
from service.ingest.chunks import Chunk
from service.ingest.layout import Layout

DATE = 16
"""A time in no more characters than this bears no zone."""


class ZoneFinder:
    """Collects the offsets of a file chunk by chunk.

    An instant written with its offset is the same in every zone, so that rows may be staged before the
    zone is known: a table in order of time may show only one half of the year in its first chunk.
    """

    def __init__(self, layout: Layout) -> None:
        name = {"events": "ts", "counts": "ds"}[layout.kind]
        self._columns = [layout.columns[name]] if name in layout.columns else list(layout.wide.values())
        self._due = layout.columns.get("due_on")
        self._offsets = Offsets()
        self._depends = False

    def begin(self, chunk: Chunk) -> str:
        """The zone that the first rows suggest."""
        self.add(chunk)
        return self._offsets.infer()[0]

    def add(self, chunk: Chunk) -> None:
        """Take note of a chunk; one text for each day and ending is enough."""
        for column in self._columns:
            times = times_from_texts(_distinct(chunk.columns.get(column, ())))
            self._offsets.add(times)
            self._depends |= bool((times.readable & ~times.zoned).any())
        if self._due is not None:
            dues = _distinct(text for text in chunk.columns.get(self._due, ()) if len(text) > DATE)
            self._depends |= bool(times_from_texts(dues).zoned.any())

    def settle(self, gate: RowGate) -> str:
        """Give the gate the zone that all rows suggest; a sentence about it.

        Raises InputError when days or naive times were read in the zone of the first rows, and that is another.
        """
        zone, note = self._offsets.infer()
        if zone != gate.timezone and self._depends:
            reason = f"the first rows look like {gate.timezone}, all rows like {zone}, and dates depend on it"
            raise InputError(Problem(reason, field="timezone", remedy=f"declare timezone, such as {zone}"))
        gate.timezone = zone
        return note


def _distinct(texts: Iterable[str]) -> list[str]:
    stripped = map(str.strip, texts)
    return list({text[:10] + text[-6:]: text for text in stripped}.values())
