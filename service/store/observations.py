"""Observations: staged rows are merged into what is stored, by set-based SQL that both engines understand.

A row that says the same as the stored one changes nothing. A row that says something else supersedes it, and
the superseded state is kept in the revisions table with the numbers of both uploads, so that any past
knowledge can be read again (`service.store.reading`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from models.errors import InputError, Problem
from service.store.reading import read_counts, read_events
from service.store.retraction import retract
from service.store.shapes import COUNTS, EVENTS, Shape
from service.store.staging import Staging, scratch_table
from service.store.statements import commas, run, same_key

__all__ = ["MergeResult", "merge_counts", "merge_events", "read_counts", "read_events"]

MOST_PROBLEMS = 20
"""Conflicts named in one error."""


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What an upload did, rows by rows: rows = inserted + revised + unchanged + duplicates.

    Parameters
    ----------
    duplicates
        Rows that say again what another row of the same upload says.
    retracted
        Stored rows that the upload, as a whole table, no longer holds; not among `rows`.
    """

    rows: int
    inserted: int
    revised: int = 0
    unchanged: int = 0
    duplicates: int = 0
    retracted: int = 0

    @property
    def changed(self) -> int:
        """Rows inserted, revised or retracted."""
        return self.inserted + self.revised + self.retracted


def merge_events(
    connection: Connection,
    funnel_id: int,
    upload_number: int,
    staging: Staging,
    *,
    replace: bool | Collection[str] = False,
    columns: Collection[str] = EVENTS.said_names,
) -> MergeResult:
    """Merge the staged events into the funnel, inside `staging.write()`.

    Parameters
    ----------
    replace
        True: the upload tells all times of each (entity, stage) in it: their other stored times are retracted.
        A collection of stages: it tells all times of its entities at these stages, so that a date
        that was cleared is retracted too, also where all dates of an entity were (`Staging.append_cleared`).
    columns
        Which of value, due_on and segment the source has: a column that it has not says nothing,
        and what is stored there stays.

    Raises
    ------
    InputError
        Naming the lines, when rows of the upload contradict each other; roll back then.
    """
    stored = is_stored(connection, EVENTS, funnel_id)
    result = merge(connection, EVENTS, funnel_id, upload_number, staging, columns=columns)
    if replace is False or not stored:
        return result
    stages = None if replace is True else tuple(replace)
    retracted = retract(connection, funnel_id, upload_number, stages)
    return MergeResult(result.rows, result.inserted, result.revised, result.unchanged, result.duplicates, retracted)


def merge_counts(
    connection: Connection,
    funnel_id: int,
    upload_number: int,
    staging: Staging,
    *,
    columns: Collection[str] = COUNTS.said_names,
) -> MergeResult:
    """Merge the staged counts into the funnel; as `merge_events`."""
    return merge(connection, COUNTS, funnel_id, upload_number, staging, columns=columns)


def merge(
    connection: Connection,
    shape: Shape,
    funnel_id: int,
    upload_number: int,
    staging: Staging,
    *,
    columns: Collection[str],
) -> MergeResult:
    """Insert what is new, then deal with the rest: most uploads are new rows only, and end after one statement."""
    given = [name for name in shape.said_names if name in columns]
    names = {"funnel": funnel_id, "upload": upload_number}
    rows = staging.rows[shape.table]
    # Sorted, so that the pages of the table's tree are written one after the other.
    inserted = run(
        connection,
        f"INSERT INTO {shape.table} (funnel_id, {commas(shape.columns)}, retracted, upload) "  # noqa: S608
        f"SELECT :funnel, {commas(shape.columns)}, false, :upload FROM {shape.staged} "
        f"WHERE true ORDER BY {commas(shape.key_names)}, line ON CONFLICT DO NOTHING",
        names,
    )
    if inserted == rows:
        return MergeResult(rows, inserted)
    keys = count_keys(connection, shape, given)
    revised = supersede(connection, shape, given, names)
    return MergeResult(rows, inserted, revised, keys - inserted - revised, rows - keys)


def count_keys(connection: Connection, shape: Shape, given: Sequence[str]) -> int:
    """Distinct keys among the staged rows; InputError, naming lines, when rows of one key contradict each other."""
    keys = commas(shape.key_names)
    differs = {
        name: f"(min({name}) <> max({name}) OR (count({name}) > 0 AND count({name}) < count(*)))" for name in given
    }
    contradiction = f"count(*) > 1 AND ({' OR '.join(differs.values()) or 'false'})"
    query = (
        f"SELECT count(*) AS keys, sum(CASE WHEN contradiction THEN 1 ELSE 0 END) AS contradictions "  # noqa: S608
        f"FROM (SELECT {contradiction} AS contradiction FROM {shape.staged} GROUP BY {keys}) AS k"
    )
    found = connection.execute(sa.text(query)).one()
    if found.contradictions:
        field = " ".join(f"WHEN {test} THEN '{name}'" for name, test in differs.items())
        query = (
            f"SELECT {keys}, min(line) AS first, max(line) AS last, CASE {field} END AS field "  # noqa: S608
            f"FROM {shape.staged} "
            f"GROUP BY {keys} HAVING {contradiction} ORDER BY min(line) LIMIT {MOST_PROBLEMS}"
        )
        raise InputError([contradiction_problem(shape, row) for row in connection.execute(sa.text(query))])
    return int(found.keys)


def contradiction_problem(shape: Shape, row: Row[*tuple[Any, ...]]) -> Problem:
    """Two rows of one upload that say different things about the same key."""
    first, second, *_ = row
    what = "entity, stage and time" if shape is EVENTS else "segment, stage and period"
    return Problem(
        f"says something else than line {row.first} about the same {what} ({first!r}, {second!r})",
        line=row.last,
        field=row.field,
        remedy="keep one of the two rows",
    )


def supersede(connection: Connection, shape: Shape, given: Sequence[str], names: dict[str, int]) -> int:
    """Copy the rows that are about to change to the revisions, then change them; how many."""
    sources = ("funnel_id", *shape.columns, "retracted", "upload")
    run(connection, scratch_table("differing", shape.key + shape.said, dialect=connection.dialect.name), {})
    differing = run(
        connection,
        f"INSERT INTO differing SELECT {commas('s.' + name for name in shape.key_names)}, "  # noqa: S608
        f"{commas(f'min(s.{name})' for name in shape.said_names)} "
        f"FROM {shape.staged} AS s CROSS JOIN {shape.table} AS o WHERE {same_key(shape, 's', 'o')} "
        f"AND o.funnel_id = :funnel AND (o.retracted OR {said_otherwise(given, 's', 'o')}) "
        f"GROUP BY {commas('s.' + name for name in shape.key_names)}",
        names,
    )
    if differing:
        # CROSS JOIN: SQLite then goes from the few rows that differ to the stored ones, by their key.
        run(
            connection,
            f"INSERT INTO {shape.revisions} ({commas(sources)}, superseded_by) "  # noqa: S608
            f"SELECT {commas('o.' + name for name in sources)}, :upload FROM differing AS d CROSS JOIN "
            f"{shape.table} AS o WHERE o.funnel_id = :funnel AND {same_key(shape, 'd', 'o')}",
            names,
        )
        changes = commas((*(f"{name} = d.{name}" for name in given), "retracted = false", "upload = :upload"))
        run(
            connection,
            f"UPDATE {shape.table} SET {changes} FROM differing AS d "  # noqa: S608
            f"WHERE {shape.table}.funnel_id = :funnel AND {same_key(shape, 'd', shape.table)}",
            names,
        )
    run(connection, "DROP TABLE differing", {})
    return differing


def is_stored(connection: Connection, shape: Shape, funnel_id: int) -> bool:
    """Whether the funnel has any row of this shape."""
    query = sa.text(f"SELECT 1 FROM {shape.table} WHERE funnel_id = :funnel LIMIT 1")  # noqa: S608
    return connection.execute(query, {"funnel": funnel_id}).scalar() is not None


def said_otherwise(given: Sequence[str], left: str, right: str) -> str:
    """Condition: the rows differ in a given column, nulls being equal."""
    return "(" + (" OR ".join(f"{left}.{name} IS DISTINCT FROM {right}.{name}" for name in given) or "false") + ")"
