"""A file's rows without a store: the readers, the gate and the inference of an upload, kept in memory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from models.funnel import Funnel
from models.rows import Counts, Events, drop_repeated
from service.ingest.declaring import propose
from service.ingest.intake import Intake
from service.ingest.options import IngestOptions
from service.ingest.source import format_from_name, opened, read_chunks
from service.store.staging import Lines, Staging
from service.store.uploads import Kind


@dataclass(frozen=True, slots=True)
class Rows:
    """What a file holds; `events` or `counts`, and the funnel as said or inferred."""

    events: Events | None
    counts: Counts | None
    funnel: Funnel
    notes: tuple[str, ...]


class Collector:
    """Keeps in memory what `service.store.staging.Staging` would lay down in the store."""

    def __init__(self) -> None:
        self.events: list[Events] = []
        self.counts: list[Counts] = []
        self.lines: list[np.ndarray] = []

    def append_events(self, events: Events, *, lines: Lines) -> None:
        """Keep a chunk of events."""
        self.events.append(events)
        self.lines.append(np.asarray(lines))

    def append_counts(self, counts: Counts, *, lines: Lines) -> None:
        """Keep a chunk of counts."""
        self.counts.append(counts)
        self.lines.append(np.asarray(lines))

    def append_cleared(self, entity_ids: Sequence[str]) -> None:
        """Nothing to keep: there are no earlier events that such an entity could have had."""


def read_rows(path: Path, *, kind: Kind, options: IngestOptions, progress: Callable[[int], None] | None = None) -> Rows:
    """All rows of a file, checked as an upload would be.

    Raises
    ------
    InputError
        With up to 20 problems, each with line and field.
    FunnelError
        When the funnel cannot be as said, or nothing can be inferred.
    """
    intake = Intake(kind, options, None, latest=time.time_ns() // 1000)
    collector = Collector()
    with opened(path) as stream:
        chunks = read_chunks(
            stream,
            format=format_from_name(path),
            max_bytes=options.max_bytes,
            problems=intake.problems,
            repairs=intake.repairs,
        )
        intake.read(chunks, cast("Staging", collector), progress=progress)
    funnel, notes = propose(intake, options)
    notes = (*notes, *_notes_on_inference(options))
    lines = np.concatenate([np.empty(0, dtype=np.int64), *collector.lines])
    repairs: Counter[str] = Counter()
    if kind == "events":
        events = drop_repeated(Events.concat(collector.events), ["entity_id", "stage", "ts"], lines, repairs)
        return Rows(events, None, funnel, (*intake.notes, *notes))
    counts = drop_repeated(Counts.concat(collector.counts), ["segment", "stage", "ds"], lines, repairs)
    return Rows(None, counts, funnel, (*intake.notes, *notes))


def _notes_on_inference(options: IngestOptions) -> list[str]:
    """What rows after a cutoff have had a say in: the declaration, where it was not said."""
    unsaid = {
        "stages": options.stages is None and not options.wide,
        "exits": options.exits is None,
        "segments": options.segment_by is None and "segment" not in options.mapping,
    }
    if not any(unsaid.values()):
        return []
    listed = [name for name, open_ in unsaid.items() if open_]
    what = " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)
    flags = {"stages": "--stages", "exits": "--exits", "segments": "--segment-by"}
    remedy = ", ".join(f"{flags[name]} ..." for name in listed)
    return [
        f"{what} were inferred from the whole file, also from rows after the cutoffs: "
        f"declare them ({remedy}) for a backtest free of that"
    ]
