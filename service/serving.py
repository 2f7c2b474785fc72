"""What is served: the active version of every funnel, in memory, whether the store is there or not.

A background thread looks for newly published versions; what it has loaded is immutable and swapped whole, so
a request sees one version. While the store is away the last good versions go on being served, marked stale.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Connection

from models.errors import NearcastError
from models.forecast import Forecast
from models.funnel import TOTAL, Funnel
from service.store.database import Database
from service.store.errors import StoreError
from service.store.funnels import FunnelRecord, get_funnel, list_funnels
from service.store.versions import Version, get_version, read_forecasts, read_scorecard, read_views, version_as_of
from service.watching import Watcher

logger = logging.getLogger(__name__)

KEPT = 8
"""Past versions kept in memory for `as_of`."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One published version, ready to answer from.

    Parameters
    ----------
    funnel
        As it was when the version was trained, with the gate and the longest horizon of now.
    forecasts
        By (segment, stage): the total first, stages in the funnel's order.
    observed
        By (segment, stage): the latest counts up to the cutoff, cleaned, (periods,); NaN where nothing was observed.
    scorecard, value_scorecard
        Of counts, and of what they are worth.
    flow
        See `models.flow.flow_from_history`; None where the version was published without.
    live
        Arrays of `models.live.views_from_live`, without the prefix; empty where the version was published without.
    """

    name: str
    funnel: Funnel
    version_id: int
    version: int
    published_at: datetime
    cutoff: date
    horizon: int
    model: str
    reason: str
    forecasts: Mapping[tuple[str, str], Forecast]
    scorecard: tuple[dict[str, Any], ...]
    quality: dict[str, Any]
    observed: Mapping[tuple[str, str], npt.NDArray[np.float64]] = field(default_factory=dict)
    flow: npt.NDArray[np.float64] | None = None
    live: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    value_scorecard: tuple[dict[str, Any], ...] = ()


class Serving:
    """The served versions of all funnels; every method may be called from any thread."""

    def __init__(self, database: Database, *, every: float = 1.0) -> None:
        self._database = database
        self._served: Mapping[str, tuple[tuple[int | None, datetime], Served]] = {}
        self._past: dict[tuple[str, int], Served] = {}
        self._refreshing = threading.Lock()
        self._watcher = Watcher(self.refresh, every=every, name="serving")
        self.loaded = False
        """Whether the store has been read since the start."""
        self.stale = False
        """Whether the store was away, or a version unreadable, when last looked at."""

    def find(self, name: str) -> Served | None:
        """The served version of a funnel; None when it has none."""
        entry = self._served.get(name)
        return None if entry is None else entry[1]

    def names(self) -> tuple[str, ...]:
        """Funnels that have a served version."""
        return tuple(self._served)

    def as_of(self, name: str, instant: datetime) -> Served | None:
        """The last version published at or before an instant, from the store; None before the first.

        Raises FunnelNotFoundError, and StoreUnavailableError when the store is away.
        """
        with self._database.read() as connection:
            record = get_funnel(connection, name)
            version = version_as_of(connection, record.id, instant)
            if version is None:
                return None
            key = (name, version.id)
            served = self._past.get(key)
            if served is None:
                served = load_served(connection, record, version)
                for oldest in list(self._past)[: max(0, len(self._past) + 1 - KEPT)]:
                    self._past.pop(oldest, None)
                self._past[key] = served
            return replace(served, funnel=present_funnel(version.funnel, record.funnel))

    def catch_up(self, name: str, version_id: int) -> None:
        """Serve what is known to have been published at least, without waiting for the next look. Never raises."""
        served = self.find(name)
        if served is None or served.version_id < version_id:
            self.refresh()

    def refresh(self) -> bool:
        """Load what has been published since; whether the store could be read. Never raises: it marks stale."""
        with self._refreshing:
            try:
                stale = self._load()
            except StoreError as error:
                if not self.stale:
                    logger.warning("the store is away, serving what was last published: %s", error.in_full())
                self.stale = True
                return False
            except Exception:
                logger.exception("what was published cannot be loaded; serving the last good versions")
                self.stale = True
                return False
            if self.stale and not stale:
                logger.info("the store is back")
            self.loaded, self.stale = True, stale
            return True

    def start(self) -> None:
        """Load now, then look again and again in the background."""
        self.refresh()
        self._watcher.start()

    def stop(self) -> None:
        """Stop looking; what is loaded stays."""
        self._watcher.stop()

    def _load(self) -> bool:
        """Swap in the active versions; whether one of them could not be read."""
        served: dict[str, tuple[tuple[int | None, datetime], Served]] = {}
        broken = False
        with self._database.read() as connection:
            for record in list_funnels(connection):
                before = self._served.get(record.name)
                key = (record.active_version_id, record.updated_at)
                if before is not None and before[0] == key:
                    served[record.name] = before
                elif record.active_version_id is not None:
                    try:
                        version = get_version(connection, record.active_version_id)
                        served[record.name] = key, load_served(connection, record, version)
                    except StoreError:
                        raise
                    except NearcastError as error:  # damaged, or no longer a forecast: the others are served
                        broken = True
                        logger.error("version %s of %s: %s", record.active_version_id, record.name, error)  # noqa: TRY400
                        if before is not None:
                            served[record.name] = before
        self._served = served
        return broken


def load_served(connection: Connection, record: FunnelRecord, version: Version) -> Served:
    """A version with its forecasts, from the store.

    Raises DamagedPayloadError when what is stored is not what was written.
    """
    stages = {stage: place for place, stage in enumerate(version.funnel.stages)}
    forecasts = read_forecasts(connection, version.id)
    views = read_views(connection, version.id)
    scorecard = read_scorecard(connection, version.id)
    ordered = sorted(forecasts, key=lambda series: (series[0] != TOTAL, series[0], stages.get(series[1], len(stages))))
    return Served(
        name=record.name,
        funnel=present_funnel(version.funnel, record.funnel),
        version_id=version.id,
        version=version.number,
        published_at=version.created_at,
        cutoff=version.cutoff,
        horizon=version.horizon,
        model=version.model,
        reason=version.reason,
        forecasts=MappingProxyType({series: forecasts[series] for series in ordered}),
        scorecard=tuple(score for score in scorecard if score.get("measure") != "value"),
        value_scorecard=tuple(score for score in scorecard if score.get("measure") == "value"),
        quality=version.quality,
        # Published with a row for each series, in the order in which the forecasts have just been put.
        observed=MappingProxyType(dict(zip(ordered, views.get("observed", ()), strict=False))),
        flow=views.get("flow"),
        live=MappingProxyType(live_views(views)),
    )


def live_views(views: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
    """Of all that a version shows, its live scores by their short names."""
    return {name.removeprefix("live_"): values for name, values in views.items() if name.startswith("live_")}


def present_funnel(trained: Funnel, declared: Funnel) -> Funnel:
    """The funnel a version was trained for, under today's rules for what may be asked of it."""
    if trained.frequency != declared.frequency:
        return trained
    return replace(trained, gate=declared.gate, max_horizon=declared.max_horizon)
