"""Series whose fit fails: what follows for the run, for the next ones, and for what is served meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Connection

from models.errors import NearcastError
from models.wording import worded
from service.store.runs import list_runs
from service.store.versions import Version

if TYPE_CHECKING:
    from models.engine import Fitted

LOOKED_AT = 20
"""Latest runs among which the last one that had something to do is sought."""


class SeriesLostError(NearcastError):
    """So many series cannot be fitted that what is served is better than what would replace it."""

    slug = "series-lost"


def quarantined_in(version: Version | None) -> list[str]:
    """Segments that are quarantined in a version."""
    return [] if version is None else [each["segment"] for each in version.quality.get("quarantined", ())]


def quarantine_documents(fitted: Fitted) -> list[dict[str, Any]]:
    """Quarantined segments and why, for the quality of the version."""
    return [{"segment": segment, "reason": reason} for segment, reason in fitted.quarantined.items()]


def reason_to_retry(version: Version | None) -> str | None:
    """Why a version is fitted again though nothing else has changed."""
    segments = quarantined_in(version)
    return worded("{count} quarantined [segment is|segments are] tried again", len(segments)) if segments else None


def is_suspect(connection: Connection, funnel_id: int, active: Version | None) -> bool:
    """Whether a series may take down the process that fits it: one is quarantined, or the last run failed."""
    if quarantined_in(active):
        return True
    runs = list_runs(connection, funnel_id=funnel_id, limit=LOOKED_AT)
    return next((run.status == "failed" for run in runs if run.status == "failed" or run.version_id is not None), False)


def check_quarantine(fitted: Fitted, *, active: Version | None) -> None:
    """Raise SeriesLostError when most segments were lost and there is a version to go on with."""
    lost = fitted.quarantined
    segments = len({forecast.segment for forecast in fitted.forecasts})
    if active is not None and 2 * len(lost) > segments:
        first, reason = next(iter(lost.items()))
        raise SeriesLostError(
            f"{len(lost)} of {segments} segments could not be fitted, so version {active.number} goes on being served; "
            f"{first!r}: {reason}"
        )
