"""What each upload changed in the counts of recent days: from this a retrain learns how late a stage is told of.

Written while an upload is merged, from the rows it changed alone; read by a retrain without touching any observation.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from models.arrivals import Arrivals
from models.calendar import days_from_instants
from service.store.instants import micros_from_datetime
from service.store.shapes import EVENTS, Shape
from service.store.statements import same_key
from service.store.tables import arrivals, uploads
from service.store.uploads import Kind, Upload

DAY = 86_400_000_000
QUARTER = 900_000_000
"""µs; midnight of every zone is a whole number of quarters of an hour after that of UTC."""
NOTED = 60
"""Days back from an upload that are noted: enough to tell a backfill from a late row."""
READ = 180
"""Days of uploads that are read."""


def write_arrivals(connection: Connection, shape: Shape, upload: Upload, *, timezone: str) -> None:
    """Note what an upload changed, in its transaction, once its rows are merged; of the first upload nothing is."""
    if upload.number == 1:
        return
    instant, each = ("ts", "1") if shape is EVENTS else ("ds", "{row}.y")
    now, before = (f"CASE WHEN {row}.retracted THEN 0 ELSE {each.format(row=row)} END" for row in ("o", "r"))
    query = (
        f"SELECT o.stage, o.{instant} / {QUARTER} AS quarter, "  # noqa: S608
        f"sum({now} - CASE WHEN r.stage IS NULL THEN 0 ELSE {before} END) AS change "
        f"FROM {shape.table} AS o LEFT JOIN {shape.revisions} AS r "
        f"ON r.funnel_id = o.funnel_id AND {same_key(shape, 'r', 'o')} AND r.superseded_by = o.upload "
        f"WHERE o.funnel_id = :funnel AND o.upload = :upload AND o.{instant} >= :since GROUP BY o.stage, quarter"
    )
    since = micros_from_datetime(upload.fresh_until) - NOTED * DAY
    rows = connection.execute(
        sa.text(query), {"funnel": upload.funnel_id, "upload": upload.number, "since": max(since, 0)}
    ).all()
    days = days_from_instants(np.array([row.quarter * QUARTER for row in rows], dtype=np.int64), timezone=timezone)
    changes: defaultdict[tuple[str, int], float] = defaultdict(float)
    for row, day in zip(rows, days.tolist(), strict=True):
        changes[row.stage, day] += float(row.change)
    noted = [
        {"funnel_id": upload.funnel_id, "upload": upload.number, "stage": stage, "day": day, "change": change}
        for (stage, day), change in sorted(changes.items())
        if change and np.isfinite(change)
    ]
    if noted:
        connection.execute(sa.insert(arrivals), noted)


def read_arrivals(connection: Connection, funnel_id: int, *, upload: int) -> tuple[Arrivals, ...]:
    """What the uploads up to number `upload` changed, those of events and those of counts; none without uploads."""
    mine = (uploads.c.funnel_id == funnel_id, uploads.c.number <= upload)
    last = connection.execute(sa.select(sa.func.max(uploads.c.fresh_until)).where(*mine)).scalar()
    if last is None:
        return ()
    recent = sa.select(uploads.c.number, uploads.c.kind, uploads.c.fresh_until).where(
        *mine, uploads.c.fresh_until >= last - READ * DAY
    )
    told: dict[Kind, list[tuple[int, int]]] = {}
    for number, kind, fresh in connection.execute(recent.order_by(uploads.c.number)):
        told.setdefault(kind, []).append((number, fresh))
    first = min(number for numbers in told.values() for number, _ in numbers)
    query = sa.select(arrivals.c.upload, arrivals.c.stage, arrivals.c.day, arrivals.c.change).where(
        arrivals.c.funnel_id == funnel_id, arrivals.c.upload >= first, arrivals.c.upload <= upload
    )
    rows = connection.execute(query.order_by(arrivals.c.upload, arrivals.c.stage, arrivals.c.day)).all()
    found = []
    for numbers in told.values():
        place = {number: index for index, (number, _) in enumerate(numbers)}
        own = [row for row in rows if row.upload in place]
        found.append(
            Arrivals(
                fresh=np.array([fresh for _, fresh in numbers], dtype=np.int64),
                upload=np.array([place[row.upload] for row in own], dtype=np.int64),
                stage=[row.stage for row in own],
                day=np.array([row.day for row in own], dtype=np.int64),
                change=np.array([row.change for row in own], dtype=np.float64),
            )
        )
    return tuple(found)
