"""What a caller may say about an upload, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from models.errors import InputError, Problem
from models.funnel import Gate

Format = Literal["csv", "ndjson", "json", "parquet"]
MAX_EXPANDED = 8 * 1024**3

REPAIRS: dict[str, str] = {
    "duplicate_row": "{count} [row that repeats|rows that repeat] another row of the file [was|were] kept once",
    "empty_row": "{count} [row|rows] without any content [was|were] passed over",
    "segment_unknown": "{count} [row|rows] without a segment [was|were] put into the segment 'unknown'",
    "clock_change": "{count} [time|times] in an hour that the clock repeats or skips [was|were] read as its first pass",
    "in_future": "{count} [row lies|rows lie] in the future: stored, and used once [its|their] day is over",
    "due_on_placeholder": "{count} due [date|dates] before 1970 or more than ten years ahead [was|were] read as none",
    "out_of_order": "{count} [entity reaches|entities reach] stages out of order: a later one implies the earlier",
    "exit_before_entry": "{count} [entity reaches|entities reach] an exit before the first stage",
    "no_stage_reached": "{count} [row of the wide table has|rows of the wide table have] no date at all",
}
"""What each kind of repair means, for `models.wording.worded`."""
AGES: dict[str, tuple[int, str]] = {
    "0": (1, "less than a day"),
    "1": (2, "one day"),
    "2-3": (4, "2 or 3 days"),
    "4-7": (8, "4 to 7 days"),
    "8-28": (29, "8 to 28 days"),
    "29-": (10**6, "more than 28 days"),
}
"""Ages of rows when they arrive: the first whole number of days past each, and what it is called."""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How to read an upload; whatever is not said is inferred, or as the funnel was declared.

    Parameters
    ----------
    mapping
        Our name of a column to the file's, where they differ: `{"entity_id": "lead_id"}`.
    wide
        Stage to the column that holds its date, for a table with one row per entity.
    stages, exits, segment_by, due_stage, timezone, country
        As in `models.funnel.Funnel`; said, they become the funnel's declaration. `segment_by=""`: no segments.
    gate
        What becomes of steps past `reliable_until`; it rules at once, and the rest stays inferred.
    schedule
        Cron expression, in the funnel's zone, of its retrains; "": none any more.
    fresh_until
        Up to when the source is complete; None: up to now.
    max_bytes
        Most bytes to read, after decompression.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    wide: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[str, ...] | None = None
    exits: tuple[str, ...] | None = None
    segment_by: str | None = None
    due_stage: str | None = None
    timezone: str | None = None
    country: str | None = None
    gate: Gate | None = None
    schedule: str | None = None
    fresh_until: datetime | None = None
    max_bytes: int = MAX_EXPANDED


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of an upload.

    Parameters
    ----------
    rows
        Rows taken, inserted + revised + unchanged + duplicates; of a wide table, one for each date.
    retracted
        Stored rows whose cells a wide table has emptied, of entities that are in the table; with a whole table
        also those of entities that are not.
    repairs
        How much was mended, by kind; `REPAIRS` says what the kinds mean.
    ages
        New and revised rows by age on arrival, see `AGES`; empty for the first upload, which is all history.
    unknown_stages
        Stages, with their rows, that the funnel does not declare: stored, but not forecast.
    inferred
        The declaration that was proposed, when the funnel had none.
    notes
        Sentences for a person: what was inferred, ignored or noticed.
    upload
        Number of the upload, per funnel.
    """

    funnel: str
    kind: str
    upload: int
    rows: int
    inserted: int
    revised: int
    unchanged: int
    duplicates: int
    retracted: int
    repairs: dict[str, int]
    ages: dict[str, int]
    unknown_stages: dict[str, int]
    inferred: dict[str, Any] | None
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def pairs_from_text(text: str, *, field: str) -> dict[str, str]:
    """`entity_id=lead_id,ts=created_at` to a dictionary; raises InputError naming `field`."""
    pairs: dict[str, str] = {}
    for part in text.split(","):
        left, equals, right = (piece.strip() for piece in part.partition("="))
        if not (left and equals and right):
            raise InputError(
                Problem(
                    f"{part.strip()[:60]!r} is not a pair",
                    field=field,
                    remedy="write pairs such as entity_id=lead_id,ts=created_at",
                )
            )
        if left in pairs:
            raise InputError(Problem(f"{left!r} is there twice", field=field, remedy="give each name once"))
        pairs[left] = right
    return pairs
