"""The two shapes of observations: what identifies a row, and what it says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """A table of observations, its revisions and its staging table.

    Parameters
    ----------
    key
        Columns that identify a row of a funnel, with the type they are staged as.
    said
        Columns that a later upload may revise.
    """

    table: str
    revisions: str
    key: tuple[tuple[str, str], ...]
    said: tuple[tuple[str, str], ...]

    @property
    def staged(self) -> str:
        """Name of the temporary table of staged rows."""
        return f"staged_{self.table}"

    @property
    def staged_columns(self) -> tuple[tuple[str, str], ...]:
        """(name, type) of the staging table's columns."""
        return (("line", "BIGINT"), *self.key, *self.said)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns that come from the source."""
        return self.key_names + self.said_names

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of the identifying columns."""
        return tuple(name for name, _ in self.key)

    @property
    def said_names(self) -> tuple[str, ...]:
        """Names of the columns that may be revised."""
        return tuple(name for name, _ in self.said)


EVENTS = Shape(
    "events",
    "event_revisions",
    key=(("entity_id", "TEXT"), ("stage", "TEXT"), ("ts", "BIGINT")),
    said=(("value", "DOUBLE PRECISION"), ("due_on", "INTEGER"), ("segment", "TEXT")),
)
COUNTS = Shape(
    "counts",
    "count_revisions",
    key=(("segment", "TEXT"), ("stage", "TEXT"), ("ds", "BIGINT")),
    said=(("y", "DOUBLE PRECISION"), ("value", "DOUBLE PRECISION")),
)
