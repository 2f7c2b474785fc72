"""What the run that published last left for the next one to continue from, see `models.memory`: a payload a block."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.store.bulk import insert_rows, stream_rows
from service.store.tables import memories, runs, states, versions

OF_OLD = ("memory/", "memory0")
"""How releases before schema 0010 named it among the states: from this name on and before that one, as an index finds
it. One of their runs may have published after the upgrade.
"""


def read_memory(connection: Connection, funnel_id: int) -> Iterator[bytes]:
    """Block by block, as all of it at once would be most of what a retrain holds; nothing before the first version.

    Not by a join: SQLite would begin with the runs, and sort all blocks, payloads and all, before it gives the first.
    """
    of_funnel = sa.select(runs.c.id).where(runs.c.funnel_id == funnel_id)
    query = sa.select(memories.c.payload).where(memories.c.run_id.in_(of_funnel)).order_by(*memories.primary_key)
    return (payload for (payload,) in stream_rows(connection, query))


def keep_block(connection: Connection, run_id: int, number: int, payload: bytes) -> None:
    """Keep a block of what a run leaves; by a statement of its own, as COPY stores up to 1,000 rows at its very end."""
    insert_rows(connection, memories, [(run_id, number, payload)])


def keep_only(connection: Connection, funnel_id: int, run_id: int) -> None:
    """Drop what earlier runs of the funnel left; in the transaction that publishes what this one made."""
    earlier = sa.select(runs.c.id).where(runs.c.funnel_id == funnel_id, runs.c.id != run_id)
    connection.execute(sa.delete(memories).where(memories.c.run_id.in_(earlier)))
    made = sa.select(versions.c.id).where(versions.c.funnel_id == funnel_id)
    first, end = OF_OLD
    named = (states.c.name >= first) & (states.c.name < end)
    connection.execute(sa.delete(states).where(states.c.version_id.in_(made), named))


def forget(connection: Connection, run_id: int) -> None:
    """Drop what a run left, as it publishes nothing."""
    connection.execute(sa.delete(memories).where(memories.c.run_id == run_id))
