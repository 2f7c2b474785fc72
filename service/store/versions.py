"""Published versions: what a retrain made, whole; forecasts and states as checksummed payloads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from models.forecast import Forecast
from models.funnel import Funnel
from models.state import arrays_from_bytes, bytes_from_arrays, bytes_from_forecast, forecast_from_bytes
from service.store.bulk import as_bytes, insert_rows
from service.store.errors import VersionNotFoundError
from service.store.funnels import (
    count_activation,
    declaration_from_funnel,
    funnel_from_declaration,
    lock_funnel,
    set_active_version,
)
from service.store.instants import datetime_from_micros, micros_from_datetime
from service.store.tables import forecasts, states, versions
from service.store.view import clear_published, show, texts_from_forecasts

RESPONSE = "response/"
"""How the name of a state begins that holds the responses of a segment's transitions."""
LIVE = "live"
"""Name of the state that scores what was published, see `models.live`."""
VIEW = "view/"
"""How the name of a state begins that is there to be looked at."""
DESCRIBED = [column for column in versions.columns if column is not versions.c.scorecard]
"""What `Version` is made of: a scorecard is megabytes where there are thousands of series, and seldom asked for."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A version before it is published.

    Parameters
    ----------
    watermark
        Number of the last upload it has read.
    horizon
        Steps forecast.
    calendar
        Version of the calendar it was trained with.
    reason
        Why it is published.
    scorecard, quality
        JSON-ready.
    views
        Arrays to be shown beside the forecasts, by name.
    live
        What the next retrain scores this and earlier versions with; that of earlier versions is dropped.
    """

    funnel: Funnel
    cutoff: date
    watermark: int
    horizon: int
    model: str
    calendar: str
    reason: str
    scorecard: Sequence[Mapping[str, Any]]
    quality: Mapping[str, Any]
    views: Mapping[str, Any] = field(default_factory=dict)
    live: bytes = b""


@dataclass(frozen=True, slots=True)
class Version:
    """A published version; the fields of `Draft` without its large ones, and when and as what it was published."""

    id: int
    funnel_id: int
    number: int
    created_at: datetime
    funnel: Funnel
    cutoff: date
    watermark: int
    horizon: int
    model: str
    calendar: str
    reason: str
    quality: dict[str, Any]


def publish_version(
    connection: Connection,
    funnel_id: int,
    draft: Draft,
    *,
    made: Sequence[Forecast],
    responses: Mapping[str, Any] | None = None,
    drop: Callable[[], None] = lambda: None,
    now: datetime,
) -> Version:
    """Store a version with its forecasts, and serve it: in the caller's transaction, so all or nothing.

    `responses` by segment, see `models.levers.pack`. `drop` deletes, on the same connection, what else this version
    replaces: the database does that while its rows are made here.
    """
    lock_funnel(connection, funnel_id)

    def replaced() -> None:
        drop()
        clear_published(connection, funnel_id)
        earlier = sa.select(versions.c.id).where(versions.c.funnel_id == funnel_id)
        connection.execute(sa.delete(states).where(states.c.version_id.in_(earlier), states.c.name == LIVE))

    with ThreadPoolExecutor(1) as beside:  # which has the connection to itself
        deleted = beside.submit(replaced)
        payloads = [bytes_from_forecast(each) for each in made]
        texts = list(texts_from_forecasts(made))
    deleted.result()
    query = sa.select(sa.func.max(versions.c.number)).where(versions.c.funnel_id == funnel_id)
    row = {
        "funnel_id": funnel_id,
        "number": (connection.execute(query).scalar() or 0) + 1,
        "created_at": micros_from_datetime(now),
        "cutoff": draft.cutoff,
        "watermark": draft.watermark,
        "horizon": draft.horizon,
        "model": draft.model,
        "calendar": draft.calendar,
        "reason": draft.reason,
        "declaration": declaration_from_funnel(draft.funnel),
        "scorecard": list(draft.scorecard),
        "quality": dict(draft.quality),
    }
    version = version_from_row(connection.execute(sa.insert(versions).values(**row).returning(*DESCRIBED)).one())
    named = zip(made, payloads, strict=True)
    insert_rows(connection, forecasts, ((version.id, each.segment, each.stage, payload) for each, payload in named))
    show(connection, funnel_id, version.id, zip(made, texts, strict=True))
    insert_rows(connection, states, ((version.id, *state) for state in _states(draft, responses or {})))
    set_active_version(connection, funnel_id, version.id)
    return version


def _states(draft: Draft, responses: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Name and payload of each state of a version."""
    if draft.live:
        yield LIVE, draft.live
    named = {RESPONSE + segment: values for segment, values in responses.items()}
    named |= {VIEW + name: values for name, values in draft.views.items()}
    for name, values in named.items():
        yield name, bytes_from_arrays({name: values})


def get_version(connection: Connection, version_id: int) -> Version:
    """The version of that id; VersionNotFoundError when there is none."""
    row = connection.execute(sa.select(*DESCRIBED).where(versions.c.id == version_id)).one_or_none()
    if row is None:
        raise VersionNotFoundError(f"there is no version with id {version_id}")
    return version_from_row(row)


def read_scorecard(connection: Connection, version_id: int) -> tuple[dict[str, Any], ...]:
    """The scorecard of a version, which there is: several scores a series, with null where nothing was measured."""
    query = sa.select(versions.c.scorecard).where(versions.c.id == version_id)
    return tuple(connection.execute(query).scalar_one())


def activate_version(connection: Connection, funnel_id: int, number: int) -> Version:
    """Serve a version published earlier, or again the newest; the next retrain continues from it.

    A retrain that is under way publishes nothing.

    Raises VersionNotFoundError when the funnel has none of that number, DamagedPayloadError when it cannot be served.
    """
    lock_funnel(connection, funnel_id)
    query = sa.select(*DESCRIBED).where(versions.c.funnel_id == funnel_id, versions.c.number == number)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise VersionNotFoundError(f"there is no version {number} of this funnel; GET .../versions lists them")
    version = version_from_row(row)
    # What cannot be read must not take the place of what is served.
    made = list(read_forecasts(connection, version.id).values())
    clear_published(connection, funnel_id)
    show(connection, funnel_id, version.id, zip(made, texts_from_forecasts(made), strict=True))
    set_active_version(connection, funnel_id, version.id)
    count_activation(connection, funnel_id)
    return version


def list_versions(connection: Connection, funnel_id: int, *, limit: int = 100) -> tuple[Version, ...]:
    """The newest versions of a funnel, newest first."""
    query = sa.select(*DESCRIBED).where(versions.c.funnel_id == funnel_id)
    rows = connection.execute(query.order_by(versions.c.number.desc()).limit(limit))
    return tuple(version_from_row(row) for row in rows)


def version_as_of(connection: Connection, funnel_id: int, as_of: datetime) -> Version | None:
    """The last version published at or before `as_of`; None before the first."""
    query = sa.select(*DESCRIBED).where(
        versions.c.funnel_id == funnel_id, versions.c.created_at <= micros_from_datetime(as_of)
    )
    row = connection.execute(query.order_by(versions.c.number.desc()).limit(1)).one_or_none()
    return None if row is None else version_from_row(row)


def read_forecasts(connection: Connection, version_id: int) -> dict[tuple[str, str], Forecast]:
    """All forecasts of a version by (segment, stage).

    Raises DamagedPayloadError when what is stored is not what was written.
    """
    query = sa.select(forecasts.c.payload).where(forecasts.c.version_id == version_id)
    made = (forecast_from_bytes(payload) for (payload,) in connection.execute(as_bytes(query)))
    return {(forecast.segment, forecast.stage): forecast for forecast in made}


def read_live(connection: Connection, funnel_id: int) -> bytes | None:
    """What the last version published left to be scored; None before there was any."""
    query = sa.select(states.c.payload).join(versions, versions.c.id == states.c.version_id)
    query = query.where(versions.c.funnel_id == funnel_id, states.c.name == LIVE)
    query = query.order_by(states.c.version_id.desc()).limit(1)
    payload: bytes | None = connection.execute(as_bytes(query)).scalar()
    return payload


def read_responses(connection: Connection, version_id: int, segments: Iterable[str]) -> dict[str, Any]:
    """Responses of these segments' transitions, as published; without those that the version does not carry.

    Raises DamagedPayloadError as for forecasts.
    """
    names = [RESPONSE + segment for segment in segments]
    return _read_named(connection, version_id, states.c.name.in_(names), prefix=RESPONSE)


def read_views(connection: Connection, version_id: int) -> dict[str, Any]:
    """`Draft.views` as published, none before there were any; DamagedPayloadError as for forecasts."""
    return _read_named(connection, version_id, states.c.name.startswith(VIEW), prefix=VIEW)


def _read_named(
    connection: Connection, version_id: int, which: sa.ColumnElement[bool], *, prefix: str
) -> dict[str, Any]:
    query = sa.select(states.c.payload).where(states.c.version_id == version_id, which)
    arrays: dict[str, Any] = {}
    for (payload,) in connection.execute(as_bytes(query)):
        arrays |= arrays_from_bytes(payload)
    return {name.removeprefix(prefix): values for name, values in arrays.items()}


def version_from_row(row: Row[Any]) -> Version:
    """A row of the table as a version."""
    return Version(
        id=row.id,
        funnel_id=row.funnel_id,
        number=row.number,
        created_at=datetime_from_micros(row.created_at),
        funnel=funnel_from_declaration(row.declaration),
        cutoff=row.cutoff,
        watermark=row.watermark,
        horizon=row.horizon,
        model=row.model,
        calendar=row.calendar,
        reason=row.reason,
        quality=row.quality,
    )
