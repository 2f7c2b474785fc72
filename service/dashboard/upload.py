"""What the pages of an upload show: each column with what it is read as, and what would be stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from models.errors import InputError, Problem
from models.wording import worded
from service.store.runs import OPEN
from service.store.uploads import Kind
from service.waiting import Reading, WaitingUpload

if TYPE_CHECKING:
    from service.ingest import Rehearsal

MOST_COLUMNS = 60
"""Columns that can be given another meaning on the page."""
DATE, SEGMENT = "date", "segment"
ROLES: dict[Kind, dict[str, str]] = {
    "events": {
        "entity_id": "entity",
        "stage": "stage",
        "ts": "time it was reached",
        "value": "value",
        "due_on": "due date",
        SEGMENT: "segment",
        DATE: "date of a stage:",
    },
    "counts": {"ds": "day", "stage": "stage", "y": "count", "value": "value", SEGMENT: "segment"},
}
"""What a column can be read as, by our name for it."""
FIELDS = {
    "stages": ("Stages, in order", "lead,qualified,won"),
    "exits": ("Exits", "Where entities leave: lost,cancelled"),
    "due_stage": ("Due dates speak of", "The stage that the due date is about"),
    "timezone": ("Time zone", "In which days are cut: Europe/Amsterdam"),
    "country": ("Holidays of", "NL, or DE-BY; else found by the zone and the data"),
    "fresh_until": ("Complete up to", "Of an export made earlier: 2026-11-22T10:00+01:00"),
}
"""Label and hint of what else may be said."""
PHASES = ("read", "clean", "fit", "publish")
"""Of a retrain, in their order."""


def columns_page(upload: WaitingUpload) -> list[dict[str, Any]]:
    """The file's columns: name, first texts, what each is read as, and the stage whose date it holds."""
    columns, wide, segment = dict(upload.reading.mapping), upload.reading.wide, upload.reading.said.get("segment_by")
    if upload.found is not None:
        columns, wide = upload.found.columns, upload.found.wide
        segment = columns.get(upload.found.funnel.segment_by or "")
    ours = {theirs: name for name, theirs in columns.items() if name in ROLES[upload.kind]}
    stages = {theirs: stage for stage, theirs in wide.items()}
    rows = []
    for name, texts in list(upload.columns.items())[:MOST_COLUMNS]:
        role = DATE if name in stages else SEGMENT if name == segment else ours.get(name, "")
        if not role and upload.found is None and name in ROLES[upload.kind] and name != DATE:
            role = name
        rows.append({"name": name, "texts": texts, "role": role, "stage": stages.get(name, "")})
    return rows


def fields_of(upload: WaitingUpload) -> list[tuple[str, str, str, str]]:
    """What else may be said about the file: name, label, hint, and what holds now."""
    funnel = upload.found.funnel if upload.found else None
    now = (
        {}
        if funnel is None
        else {
            "stages": ",".join(funnel.stages),
            "exits": ",".join(funnel.exits),
            "due_stage": funnel.due_stage or "",
            "timezone": funnel.timezone,
            "country": funnel.country or "",
        }
    )
    return [(name, label, hint, now.get(name, "")) for name, (label, hint) in FIELDS.items()]


def phases_of(run: Mapping[str, Any]) -> list[tuple[str, float | None, str]]:
    """The phases of a run with their seconds: done, now, or still to come."""
    known = {phase["name"]: phase["seconds"] for phase in run["phases"]}
    latest = next(reversed(known), PHASES[0]) if run["status"] in OPEN else None
    return [
        (name, known.get(name), "now" if name == latest else "done" if name in known else "")
        for name in dict.fromkeys([*PHASES, *known])
    ]


def preview_page(found: Rehearsal) -> dict[str, Any]:
    """What the rows say, and what would become of them."""
    from service.ingest import REPAIRS  # noqa: PLC0415 - not needed to start

    funnel, report = found.funnel, found.report
    return {
        "funnel_as_declared": funnel,
        "stages": [(stage, found.stages.get(stage, 0)) for stage in funnel.stages],
        "exits": [(stage, found.stages.get(stage, 0)) for stage in funnel.exits],
        "more_segments": max(found.segment_count - len(found.segments), 0),
        "repairs": [worded(REPAIRS[kind], count) for kind, count in report.repairs.items()],
        "notes": notes_of(report.notes, report.repairs),
    }


def notes_of(notes: Sequence[str], repairs: Mapping[str, int]) -> list[str]:
    """Sentences of a report, without those that the repairs say as well."""
    from service.ingest import REPAIRS  # noqa: PLC0415 - not needed to start

    said = tuple(worded(REPAIRS[kind], count) for kind, count in repairs.items())
    return [note for note in notes if not note.endswith(said or ("\0",))]


def reading_from_roles(
    upload: WaitingUpload,
    roles: Sequence[str],
    names: Sequence[str],
    said: Mapping[str, str],
    *,
    segment_by: str | None,
    new: bool,
) -> Reading:
    """How to read the file when its columns mean what the form says: one role and one stage's name a column.

    Parameters
    ----------
    segment_by, new
        Of the funnel: the column of its segments as declared, and whether it is not there yet.

    Raises
    ------
    InputError
        For two columns of one meaning, and when the form is not that of the file.
    """
    columns = list(upload.columns)[:MOST_COLUMNS]
    if not len(roles) == len(names) == len(columns) or set(roles) - {"", *ROLES[upload.kind]}:
        raise InputError(Problem("this form is not that of the file", field="role", remedy="load the page again"))
    mapping: dict[str, str] = {}
    wide: dict[str, str] = {}
    texts = dict(said)
    for column, role, name in zip(columns, roles, names, strict=True):
        if role == DATE:
            put(wide, name.strip() or column, column)
        elif role == SEGMENT and new:
            put(mapping, SEGMENT, column)
        elif role:
            put(mapping, segment_by or SEGMENT if role == SEGMENT else role, column)
    if new:
        texts["segment_by"] = mapping.pop(SEGMENT, "")
    return Reading({ours: theirs for ours, theirs in mapping.items() if ours != theirs}, wide, texts)


def put(columns: dict[str, str], meaning: str, column: str) -> None:
    """Note what a column means; InputError when another one means it already."""
    if meaning in columns:
        reason = f"{columns[meaning][:60]!r} and {column[:60]!r} are both read as {meaning[:60]!r}"
        raise InputError(Problem(reason, field=column[:60], remedy="leave one of them out"))
    columns[meaning] = column
