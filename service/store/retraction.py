"""Retraction: what a source that tells all of something no longer holds is no longer so; its past stays readable."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy.engine import Connection

from service.store.shapes import EVENTS, Shape
from service.store.staging import CLEARED, scratch_table
from service.store.statements import commas, run, same_key


def retract(connection: Connection, funnel_id: int, upload_number: int, stages: tuple[str, ...] | None) -> int:
    """Retract the stored events that a whole table no longer holds; how many."""
    names: dict[str, object] = {"funnel": funnel_id, "upload": upload_number}
    told = ["EXISTS (SELECT 1 FROM staged_events AS s WHERE s.entity_id = o.entity_id AND s.stage = o.stage)"]
    if stages is not None:
        listed = listed_stages(stages, names)
        here = "EXISTS (SELECT 1 FROM staged_events AS s WHERE s.entity_id = o.entity_id)"
        bare = f"EXISTS (SELECT 1 FROM {CLEARED} AS c WHERE c.entity_id = o.entity_id) AND NOT {here}"  # noqa: S608
        # Two statements: joined by OR, PostgreSQL would look through the staged rows for each stored one.
        told = [f"o.stage IN ({listed}) AND {condition}" for condition in (here, bare)]
    return withdraw(connection, EVENTS, told, names)


def retract_absent(
    connection: Connection, shape: Shape, funnel_id: int, upload_number: int, stages: Collection[str]
) -> int:
    """Retract all that is stored of these stages and not staged: the source tells all there is; how many."""
    names: dict[str, object] = {"funnel": funnel_id, "upload": upload_number}
    return withdraw(connection, shape, [f"o.stage IN ({listed_stages(stages, names)})"], names)


def listed_stages(stages: Collection[str], names: dict[str, object]) -> str:
    """Stages as a list for SQL; their values are added to `names`."""
    names |= {f"stage{number}": stage for number, stage in enumerate(stages)}
    return commas(f":stage{number}" for number in range(len(stages))) or "NULL"


def withdraw(connection: Connection, shape: Shape, told: Sequence[str], names: dict[str, object]) -> int:
    """Retract the stored rows `o` of the funnel on which one of the conditions holds and that are not staged."""
    run(connection, scratch_table("gone", shape.key, dialect=connection.dialect.name), {})
    for condition in told:
        run(
            connection,
            f"INSERT INTO gone SELECT {commas('o.' + name for name in shape.key_names)} "  # noqa: S608
            f"FROM {shape.table} AS o WHERE o.funnel_id = :funnel AND NOT o.retracted AND {condition} "
            f"AND NOT EXISTS (SELECT 1 FROM {shape.staged} AS s WHERE {same_key(shape, 's', 'o')})",
            names,
        )
    columns = ("funnel_id", *shape.columns, "retracted", "upload")
    run(
        connection,
        f"INSERT INTO {shape.revisions} ({commas(columns)}, superseded_by) "  # noqa: S608
        f"SELECT {commas('o.' + name for name in columns)}, :upload FROM gone AS g CROSS JOIN {shape.table} AS o "
        f"WHERE o.funnel_id = :funnel AND {same_key(shape, 'g', 'o')}",
        names,
    )
    retracted = run(
        connection,
        f"UPDATE {shape.table} SET retracted = true, upload = :upload FROM gone AS g "  # noqa: S608
        f"WHERE {shape.table}.funnel_id = :funnel AND {same_key(shape, 'g', shape.table)}",
        names,
    )
    run(connection, "DROP TABLE gone", {})
    return retracted
