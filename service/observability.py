"""What an operator sees of the HTTP side: metrics, one log line a request, request ids, and no unexplained 500."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.gauges import StoreCollector
from service.live import live_summary
from service.logs import request_id
from service.problems import MEDIA_TYPE, ProblemError, document_from_problem
from service.serving import Serving
from service.store.database import Database

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
SOUND_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)

logger = logging.getLogger("nearcast.requests")


class Metrics:
    """The counters of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "nearcast_http_requests", "Requests answered.", ["method", "path", "status"], registry=self.registry
        )
        self.durations = Histogram(
            "nearcast_http_request_seconds",
            "Time from the first byte to the last.",
            ["method", "path"],
            registry=self.registry,
            buckets=BUCKETS,
        )
        self.in_progress = Gauge(
            "nearcast_http_requests_in_progress", "Requests being answered.", registry=self.registry
        )
        self.uploaded_rows = Counter(
            "nearcast_uploaded_rows", "Rows of accepted uploads.", ["kind"], registry=self.registry
        )
        self.refused_uploads = Counter(
            "nearcast_refused_uploads", "Uploads of which nothing was kept.", ["kind"], registry=self.registry
        )

    def watch(self, serving: Serving, database: Database) -> None:
        """Tell of what is served and stored, as it is whenever the metrics are asked for."""
        self.registry.register(ServedCollector(serving))
        self.registry.register(StoreCollector(database))


class ServedCollector(Collector):
    """Version, cutoff and staleness of what is served, by funnel."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def collect(self) -> Iterator[Metric]:
        """The gauges of this moment."""
        version = GaugeMetricFamily("nearcast_served_version", "Number of the version served.", labels=["funnel"])
        cutoff = GaugeMetricFamily(
            "nearcast_served_cutoff_timestamp_seconds", "Start of the last observed day, UTC.", labels=["funnel"]
        )
        published = GaugeMetricFamily(
            "nearcast_served_published_timestamp_seconds", "When the version was published.", labels=["funnel"]
        )
        for name in self._serving.names():
            served = self._serving.find(name)
            if served is not None:
                midnight = datetime(served.cutoff.year, served.cutoff.month, served.cutoff.day, tzinfo=UTC)
                version.add_metric([name], served.version)
                cutoff.add_metric([name], midnight.timestamp())
                published.add_metric([name], served.published_at.timestamp())
        yield from (version, cutoff, published)
        yield from self._quality()
        stale = GaugeMetricFamily("nearcast_stale", "1 while the store is away and known versions are served.")
        stale.add_metric([], float(self._serving.stale))
        yield stale

    def _quality(self) -> Iterator[Metric]:
        """How what was published fared, and what could not be fitted."""
        held = GaugeMetricFamily(
            "nearcast_live_coverage", "Share of actuals inside their published interval.", labels=["funnel", "level"]
        )
        counted = {
            name: GaugeMetricFamily(f"nearcast_{name}", text, labels=["funnel"])
            for name, text in {
                "live_actuals": "Actuals that published forecasts were compared with.",
                "alerts": "Days and series outside their 95 % interval, of the last 28 periods.",
                "drifting_series": "Series whose recent live loss is far above the backtest's.",
                "quarantined_segments": "Segments that could not be fitted and are answered by their baseline.",
            }.items()
        }
        for name in self._serving.names():
            served = self._serving.find(name)
            if served is None:
                continue
            counted["quarantined_segments"].add_metric([name], len(served.quality.get("quarantined", ())))
            if (summary := live_summary(served.live)) is not None:
                counted["live_actuals"].add_metric([name], summary["actuals"])
                counted["alerts"].add_metric([name], summary["alerts"])
                counted["drifting_series"].add_metric([name], summary["drifting"])
                for level in (80, 95):
                    if (share := summary[f"coverage{level}"]) is not None:
                        held.add_metric([name, str(level)], share)
        yield from (held, *counted.values())


class ObservingMiddleware:
    """Counts, times and logs each request, gives it an id, and answers what nobody foresaw."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other scopes pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        identifier = id_from_headers(scope)
        token = request_id.set(identifier)
        status = 0
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", identifier.encode())]}
            await send(message)

        self.metrics.in_progress.inc()
        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = status or 499
        except Exception:
            logger.exception("unforeseen error")
            if status:
                raise
            detail = f"it was logged under the request id {identifier}"
            await send_problem(ProblemError(500, "internal", detail), send_with_id)
        finally:
            self.metrics.in_progress.dec()
            self.note(scope, status, time.perf_counter() - started)
            request_id.reset(token)

    def note(self, scope: Scope, status: int, seconds: float) -> None:
        """Count and log an answered request; the route's template is the only path label there is."""
        method = scope["method"] if scope["method"] in METHODS else "other"
        path = path_template(scope)
        self.metrics.requests.labels(method, path, str(status)).inc()
        self.metrics.durations.labels(method, path).observe(seconds)
        facts = {"method": method, "path": path, "status": status, "seconds": round(seconds, 6)}
        if (key := scope.get("state", {}).get("key")) is not None:
            facts["key"] = key  # its name, never its secret
        logger.info("request", extra=facts)


async def send_problem(error: ProblemError, send: Send) -> None:
    """Answer by a problem document from outside the app's own error handling."""
    body = orjson.dumps(document_from_problem(error))
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def id_from_headers(scope: Scope) -> str:
    """The caller's X-Request-ID where it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and SOUND_ID.fullmatch(text := value.decode("latin-1")):
            return str(text)
    return uuid4().hex


def path_template(scope: Scope) -> str:
    """`/v1/funnels/{funnel}/forecast`, never the path itself: one label per route, whatever is asked for."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
