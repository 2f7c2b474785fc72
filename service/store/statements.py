"""Pieces of the set-based SQL that merges rows: put together from the names in `shapes` alone."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.store.shapes import Shape


def run(connection: Connection, statement: str, names: dict[str, object] | dict[str, int]) -> int:
    """Execute a statement; rows it changed."""
    return connection.execute(sa.text(statement), names).rowcount


def commas(names: Iterable[str]) -> str:
    """A list for SQL."""
    return ", ".join(names)


def same_key(shape: Shape, left: str, right: str) -> str:
    """Condition: both rows are about the same thing (funnel apart)."""
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in shape.key_names)
