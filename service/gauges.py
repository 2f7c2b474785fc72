"""What the store says of itself to Prometheus: runs by how they ended, and when rows last came."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import sqlalchemy as sa
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.engine import Connection

from service.store.database import Database
from service.store.errors import StoreError
from service.store.tables import funnels, runs, uploads

ENDS = ("succeeded", "failed")
MICROS = 1_000_000

logger = logging.getLogger(__name__)


class StoreCollector(Collector):
    """Runs and uploads by funnel: read from the store, because retrains and uploads of other processes count too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry need not ask the store to know the names."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """The counters of this moment; none while the store is away, which `nearcast_stale` tells."""
        try:
            with self._database.read() as connection:
                families = (*run_families(connection), upload_family(connection))
        except StoreError as error:
            logger.debug("no metrics of the store: %s", error.in_full())
            return
        yield from families


def run_families(connection: Connection) -> tuple[Metric, ...]:
    """Runs by funnel and end, those going on, and when one last succeeded."""
    ended = CounterMetricFamily("nearcast_runs", "Retrains, by how they ended.", labels=["funnel", "status"])
    going = GaugeMetricFamily("nearcast_runs_open", "Retrains queued or running.", labels=["funnel"])
    success = GaugeMetricFamily(
        "nearcast_run_success_timestamp_seconds", "End of the last retrain that succeeded.", labels=["funnel"]
    )
    query = (
        sa.select(funnels.c.name, runs.c.status, sa.func.count(runs.c.id), sa.func.max(runs.c.finished_at))
        .select_from(funnels.outerjoin(runs, runs.c.funnel_id == funnels.c.id))
        .group_by(funnels.c.name, runs.c.status)
    )
    counts: dict[str, dict[str, int]] = {}
    for name, status, count, finished_at in connection.execute(query):
        counts.setdefault(name, {})[status] = count
        if status == "succeeded":
            success.add_metric([name], finished_at / MICROS)
    for name, found in counts.items():
        for end in ENDS:  # 0 from the start: a counter that appears at 1 has not increased
            ended.add_metric([name, end], found.get(end, 0))
        going.add_metric([name], sum(count for status, count in found.items() if status in ("queued", "running")))
    return ended, going, success


def upload_family(connection: Connection) -> Metric:
    """When each funnel last got rows."""
    family = GaugeMetricFamily(
        "nearcast_upload_timestamp_seconds", "When rows were last taken in, by any process.", labels=["funnel"]
    )
    query = (
        sa.select(funnels.c.name, sa.func.max(uploads.c.recorded_at))
        .join(uploads, uploads.c.funnel_id == funnels.c.id)
        .group_by(funnels.c.name)
    )
    for name, recorded_at in connection.execute(query):
        family.add_metric([name], recorded_at / MICROS)
    return family
