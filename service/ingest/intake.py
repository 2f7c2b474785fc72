"""One upload on its way in: chunks through the gate into staging, and what they say about the funnel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from models.columns import Problems
from models.funnel import MAX_NAME, check_timezone
from models.gate import RowGate
from service.ingest.chunks import Chunk
from service.ingest.layout import Layout, check_segment_by, make_layout, require
from service.ingest.options import IngestOptions
from service.ingest.sample import Sample
from service.ingest.zone import ZoneFinder
from service.store.funnels import FunnelRecord
from service.store.staging import Staging
from service.store.uploads import Kind


class Intake:
    """Reads one file.

    Parameters
    ----------
    record
        The funnel as it is declared; None when this upload is the first word about it.
    latest
        Microseconds since the epoch of the present instant.

    Attributes
    ----------
    rows
        Rows staged so far; of a wide table one for each date.
    notes
        What was taken for granted while reading.
    """

    def __init__(self, kind: Kind, options: IngestOptions, record: FunnelRecord | None, *, latest: int) -> None:
        require(options, kind)
        self.kind: Kind = kind
        self.rows = 0
        self.notes: list[str] = []
        self.problems = Problems()
        self.repairs: Counter[str] = Counter()
        self.sample = Sample()
        self._options = options
        self._latest = latest
        self._timezone = options.timezone or (record.funnel.timezone if record else None)
        declared = (record.funnel.segment_by or "") if record else None
        self._segment_by = options.segment_by if options.segment_by is not None else declared
        if not self._segment_by and "segment" in options.mapping:
            self._segment_by = "segment"
        check_segment_by(self._segment_by, kind)
        if self._timezone:
            check_timezone(self._timezone)
        self._layout: Layout | None = None
        self._names: dict[str, Sequence[str]] = {}
        self._zone: ZoneFinder | None = None
        self._gate: RowGate | None = None

    @property
    def layout(self) -> Layout:
        """What each column of the file is; known once the first chunk has been read."""
        assert self._layout is not None
        return self._layout

    @property
    def gate(self) -> RowGate:
        """The gate that the rows went through; likewise."""
        assert self._gate is not None
        return self._gate

    def read(self, chunks: Iterable[Chunk], staging: Staging, *, progress: Callable[[int], None] | None) -> None:
        """Check and stage all chunks. Raises InputError with up to 20 problems, once they are collected."""
        for chunk in chunks:
            if self._gate is None and not self._begin(chunk):
                continue
            self._take(chunk, staging)
            if self.problems.full:
                break
            if progress is not None:
                progress(self.rows)
        self.problems.check()
        if self._zone is not None:
            self.notes.insert(0, self._zone.settle(self.gate))

    def _begin(self, chunk: Chunk) -> bool:
        """Find the columns as soon as there are any, but the segment and the zone not before there are rows."""
        names_only = not len(chunk.lines)
        if names_only:
            self._names = chunk.columns
        else:  # of objects, those of the first chunk need not have all keys of the file
            bare = {name: [""] * len(chunk.lines) for name in self._names}
            chunk = Chunk(bare | chunk.columns, chunk.lines)
        segment_by = self._segment_by
        layout = make_layout(
            chunk, kind=self.kind, options=self._options, segment_by=segment_by or "" if names_only else segment_by
        )
        self._layout = layout
        if names_only:
            return False
        if self._timezone is None:
            self._zone = ZoneFinder(layout)
            self._timezone = self._zone.begin(chunk)
        self._gate = RowGate(timezone=self._timezone, segment_by=layout.segment_by, latest=self._latest)
        self._gate.problems, self._gate.repairs = self.problems, self.repairs
        return True

    def _take(self, chunk: Chunk, staging: Staging) -> None:
        """Put one chunk through the gate; once there are problems, only to find more of them."""
        dated = 0
        if self._zone is not None:
            self._zone.add(chunk)
        for columns, lines, labels in self.layout.pieces(chunk):
            self.gate.labels = labels
            dated += len(lines)
            if self.kind == "events":
                events = self.gate.events(columns, lines=lines)
                if not self.problems:
                    self.sample.add_events(events)
                    staging.append_events(events, lines=lines)
            else:
                counts = self.gate.counts(columns, lines=lines)
                if not self.problems:
                    self.sample.add_counts(counts)
                    staging.append_counts(counts, lines=lines)
            self.rows += len(lines)
        if self.layout.wide and (bare := _without_date(chunk, self.layout)):
            self.repairs["no_stage_reached"] += len(bare)
            if self.kind == "events":
                ids = chunk.columns.get(self.layout.columns["entity_id"], [""] * len(chunk.lines))
                staging.append_cleared([name for name in (ids[row].strip() for row in bare) if _may_be_stored(name)])


def _without_date(chunk: Chunk, layout: Layout) -> list[int]:
    """Rows of a wide table in which no stage has a date."""
    dates = [chunk.columns.get(column, [""] * len(chunk.lines)) for column in layout.wide.values()]
    return [place for place, row in enumerate(zip(*dates, strict=True)) if not any(text.strip() for text in row)]


def _may_be_stored(name: str) -> bool:
    """Whether the gate could have let this id through, so that there may be events of it."""
    return 0 < len(name) <= MAX_NAME and "\0" not in name and name.encode(errors="ignore").decode() == name
