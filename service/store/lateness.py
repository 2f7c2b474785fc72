"""How old rows are when they arrive."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.store.shapes import EVENTS, Shape
from service.store.statements import same_key

DAY = 86_400_000_000
"""Microseconds."""


def count_by_age(
    connection: Connection, shape: Shape, funnel_id: int, upload: int, *, told: int, days: Sequence[int]
) -> list[int]:
    """Rows that are as this upload wrote them, by whole days from their own time until they were told.

    Called in the upload's transaction, while its rows are staged: the cost is that of the upload, not of the store.

    Parameters
    ----------
    told
        Up to when the source was complete, microseconds since the epoch.
    days
        Ends of the classes, exclusive, ascending; rows from the future are in the first.
    """
    instant = "ts" if shape is EVENTS else "ds"
    branches = " ".join(f"WHEN :told - s.{instant} < {end * DAY} THEN {place}" for place, end in enumerate(days))
    # CROSS JOIN: SQLite then goes from the staged rows to the stored ones, by their key.
    query = (
        f"SELECT age, count(*) AS n FROM (SELECT CASE {branches} END AS age "  # noqa: S608
        f"FROM (SELECT DISTINCT {', '.join(shape.key_names)} FROM {shape.staged}) AS s CROSS JOIN {shape.table} AS o "
        f"WHERE {same_key(shape, 's', 'o')} AND o.funnel_id = :funnel AND o.upload = :upload) AS aged GROUP BY age"
    )
    rows = connection.execute(sa.text(query), {"funnel": funnel_id, "upload": upload, "told": told})
    found = {row.age: int(row.n) for row in rows}
    return [found.get(place, 0) for place in range(len(days))]
