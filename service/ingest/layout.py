"""Which column of a file is what: by name, by the caller's mapping, and as a long or a wide table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.columns import Problems, missing_column, nearest
from models.errors import FunnelError, InputError, Problem
from models.inference import infer_segment_by
from models.records import Ints
from models.rows import COUNT_COLUMNS, EVENT_COLUMNS
from service.ingest.chunks import Chunk
from service.ingest.options import IngestOptions

REQUIRED = {"events": EVENT_COLUMNS, "counts": COUNT_COLUMNS}
OPTIONAL = {"events": ("value", "due_on"), "counts": ("value",)}
TOLD = {"events": "ts", "counts": "y"}
"""The column that a wide table has once per stage."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Our column names to the file's.

    columns
        Without the segment, and in a wide table without `stage` and what is told per stage.
    wide
        Stage to the file's column; empty for a long table.
    """

    kind: str
    columns: Mapping[str, str]
    wide: Mapping[str, str]
    segment_by: str | None
    ignored: tuple[str, ...]

    @property
    def labels(self) -> dict[str, str]:
        """What to call our columns in errors."""
        return {ours: theirs for ours, theirs in self.columns.items() if ours != theirs}

    @property
    def said(self) -> frozenset[str]:
        """Columns of the store, beside the key, that the file speaks of."""
        said = {name for name in OPTIONAL[self.kind] if name in self.columns}
        return frozenset(said | ({"segment"} if self.kind == "events" else {"y"}))

    def pieces(self, chunk: Chunk) -> Iterator[tuple[dict[str, Sequence[str]], Ints, dict[str, str]]]:
        """Columns, lines and labels for the gate: once for a long table, once a stage for a wide one."""
        empty = [""] * len(chunk.lines)
        columns = {ours: chunk.columns.get(theirs, empty) for ours, theirs in self.columns.items()}
        if not self.wide:
            yield columns, chunk.lines, self.labels
            return
        for stage, theirs in self.wide.items():
            texts = chunk.columns.get(theirs, empty)
            rows = [row for row, text in enumerate(texts) if text and not text.isspace()]
            piece: dict[str, Sequence[str]] = {name: [column[row] for row in rows] for name, column in columns.items()}
            piece |= {"stage": [stage] * len(rows), TOLD[self.kind]: [texts[row] for row in rows]}
            yield piece, chunk.lines[np.array(rows, dtype=np.int64)], {**self.labels, TOLD[self.kind]: theirs}


def make_layout(first: Chunk, *, kind: str, options: IngestOptions, segment_by: str | None) -> Layout:
    """Find each column. Raises InputError naming those that are absent, and the nearest that are there.

    `segment_by=None` looks for a column that can be one, "" says that there is none.
    """
    names = list(first.columns)
    known = [*REQUIRED[kind], *OPTIONAL[kind], *([segment_by] if segment_by else [])]
    problems = Problems()
    _check_mapping(options, known, names, problems)
    columns = {name: name for name in known if name in names} | dict(options.mapping)
    for stage, column in options.wide.items():
        if column not in names:
            problem = missing_column(column, names)
            problems.add(f"{problem.reason} for stage {stage!r}", field="wide", remedy=problem.remedy)
    told = {"stage", TOLD[kind]} if options.wide else set()
    for name in known:
        if name not in columns and name not in told and name not in OPTIONAL[kind]:
            _add_missing(name, segment_by, names, problems)
    problems.check()
    columns = {ours: theirs for ours, theirs in columns.items() if ours not in told}
    extra = [name for name in names if name not in {*columns.values(), *options.wide.values()}]
    if segment_by is None:
        segment_by = _find_segment(first, columns, extra)
        if segment_by is not None:
            columns[segment_by] = segment_by
            extra.remove(segment_by)
    return Layout(kind, columns, dict(options.wide), segment_by or None, tuple(extra))


def check_segment_by(segment_by: str | None, kind: str) -> None:
    """Raise FunnelError when the segment would be one of the columns that mean something else."""
    if segment_by in (*REQUIRED[kind], *OPTIONAL[kind]):
        raise FunnelError(f"{segment_by!r} cannot be the segment, it means something else", field="segment_by")


def _check_mapping(options: IngestOptions, known: Sequence[str], names: Sequence[str], problems: Problems) -> None:
    for ours, theirs in options.mapping.items():
        if ours not in known:
            near = nearest(ours, known)
            meant = f"did you mean {near!r}? " if near else ""
            problems.add(f"{ours!r} is none of our columns", field="map", remedy=f"{meant}ours: {', '.join(known)}")
        elif theirs not in names:
            problem = missing_column(theirs, names)
            problems.add(f"{problem.reason} to read {ours} from", field=f"map {ours}", remedy=problem.remedy)


def _add_missing(name: str, segment_by: str | None, names: Sequence[str], problems: Problems) -> None:
    problem = missing_column(name, names)
    near = nearest(name, names)
    if name == segment_by:
        remedy = f"{problem.remedy}; it holds the segment of this funnel: map it, or declare another segment_by"
    elif near:
        remedy = f"{problem.remedy}; map it: {name}={near}"
    else:
        remedy = f"{problem.remedy}; map the one that holds it: {name}=..."
    problems.add(problem.reason, line=1, field=name, remedy=remedy)


def _find_segment(first: Chunk, columns: Mapping[str, str], extra: Sequence[str]) -> str | None:
    candidates = {name: first.columns[name] for name in extra}
    if "entity_id" in columns:
        candidates["entity_id"] = first.columns[columns["entity_id"]]
    return infer_segment_by(candidates)


def require(options: IngestOptions, kind: str) -> None:
    """Raise InputError for options that contradict each other."""
    if options.wide and {"stage", TOLD[kind]} & set(options.mapping):
        raise InputError(
            Problem(
                f"stage and {TOLD[kind]} come from the wide columns",
                field="map",
                remedy="leave them out of the mapping",
            )
        )
