"""What a retrain starts from, whether it is worth a new version, and the version it drafts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Connection

from models.arrivals import Arrivals
from models.funnel import changed_settings
from models.state import facts_from_record
from models.wording import worded
from service.retrain.challenge import rival_of
from service.retrain.quarantine import quarantine_documents, quarantined_in, reason_to_retry
from service.retrain.reading import Reading, read_rows
from service.store.arrivals import read_arrivals
from service.store.funnels import FunnelRecord, get_funnel
from service.store.uploads import changed_since, fresh_until, watermark
from service.store.versions import Draft, Version, get_version, read_scorecard

if TYPE_CHECKING:
    from models.calendar import Calendar
    from models.engine import Fitted
    from models.history import History
    from models.lateness import Lateness


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """What a retrain starts from, read in one snapshot; `reading` is None when there is nothing new to read for.

    arrivals: what uploads changed in recent days, from which is learnt how late they are told of. scorecard: that of
    the active version, when a challenger may be compared with it.
    """

    record: FunnelRecord
    active: Version | None
    watermark: int
    changed: int
    fresh_until: int | None
    calendar: Calendar
    reading: Reading | None
    arrivals: tuple[Arrivals, ...]
    scorecard: tuple[dict[str, Any], ...]


def read_basis(connection: Connection, name: str) -> Basis:
    """What there is to train on; rows are read only when they may lead to a new version."""
    from models.calendar import make_calendar  # noqa: PLC0415 - loads the holidays

    record = get_funnel(connection, name)
    active = None if record.active_version_id is None else get_version(connection, record.active_version_id)
    last = watermark(connection, record.id)
    calendar = make_calendar(record.funnel)
    same = active is not None and (active.funnel, active.calendar) == (record.funnel, calendar.version)
    unread = same and active is not None and active.watermark == last and not quarantined_in(active)
    return Basis(
        record=record,
        active=active,
        watermark=last,
        changed=changed_since(connection, record.id, 0 if active is None else active.watermark),
        fresh_until=fresh_until(connection, record.id),
        calendar=calendar,
        reading=None if unread else read_rows(connection, record.id, upload=last),
        arrivals=() if unread else read_arrivals(connection, record.id, upload=last),
        scorecard=() if same or active is None else read_scorecard(connection, active.id),
    )


def champions_basis(basis: Basis) -> Basis | None:
    """The same data under the hints that the served version was made with, if those are others; None where the data are
    that version's too, and its scores therefore known.
    """
    from models.calendar import make_calendar  # noqa: PLC0415 - loads the holidays

    active, funnel = basis.active, rival_of(basis.active, basis.record.funnel)
    if active is None or funnel is None or (not basis.changed and active.watermark == basis.watermark):
        return None
    return replace(basis, record=replace(basis.record, funnel=funnel), calendar=make_calendar(funnel))


def clean_history(basis: Basis) -> tuple[History, tuple[Lateness, ...]]:
    """The history up to the last day that is over, cleaned as in a backtest, and what is late of its young days.

    Raises HistoryError when there is none.
    """
    from models.cleaning import clean  # noqa: PLC0415 - loads the numeric libraries
    from models.freshness import last_complete_day  # noqa: PLC0415
    from models.history import make_history  # noqa: PLC0415
    from models.lateness import lateness_of_stages, with_lateness  # noqa: PLC0415

    funnel, reading = basis.record.funnel, basis.reading
    events, counts = (None, None) if reading is None else (reading.events, reading.counts)
    cutoff = last_complete_day(events, counts, funnel, fresh_until=basis.fresh_until)
    history = make_history(funnel, events=events, counts=counts, cutoff=cutoff)
    late = [each for told in basis.arrivals for each in lateness_of_stages(told, funnel)]
    return with_lateness(clean(history, calendar=basis.calendar)[0], late), tuple(late)


def reason_to_publish(basis: Basis, cutoff: date) -> str | None:
    """All that makes a new version worth making; None when it would say what the active one says."""
    active = basis.active
    if active is None:
        return "the first version"
    found = []
    if basis.changed:
        rows = worded("{count} [row|rows] changed", basis.changed)
        found.append(f"{rows} in {_uploads(active.watermark + 1, basis.watermark)}")
    if changed := changed_settings(active.funnel, basis.record.funnel):
        found.append(f"the declaration of the funnel changed: {', '.join(changed)}")
    elif active.calendar != basis.calendar.version:
        found.append(f"the calendar changed to {basis.calendar.version}")
    if not found and cutoff != active.cutoff:
        found.append(f"the data are now complete up to {cutoff}")
    return "; ".join(found) or reason_to_retry(active)


def _uploads(first: int, last: int) -> str:
    return f"upload {last}" if first == last else f"uploads {first} to {last}"


def make_draft(basis: Basis, history: History, fitted: Fitted, late: Sequence[Lateness], *, reason: str) -> Draft:
    """The version as it will be published."""
    from models.flow import flow_from_history, latest_counts  # noqa: PLC0415 - loads the numeric libraries
    from models.freshness import partial_until  # noqa: PLC0415
    from models.lateness import completeness_documents  # noqa: PLC0415

    quality: dict[str, Any] = {
        "repairs": [facts_from_record(repair) for repair in history.repairs],
        "completeness": completeness_documents(history, late),
        "fallbacks": [
            {"segment": forecast.segment, "stage": forecast.stage, "reason": forecast.fallback_reason}
            for forecast in fitted.forecasts
            if forecast.fallback_reason is not None
        ],
        "holidays": fitted.calendar_note or basis.calendar.version,
        "fitted_anew": fitted.anew,
        "quarantined": quarantine_documents(fitted),
        "first_day": history.start,
        "cutoff": history.cutoff,
        "partial_until": partial_until(history.cutoff, basis.record.funnel, fresh_until=basis.fresh_until),
        "read_anew": None if basis.reading is None else basis.reading.anew,
        **({} if basis.reading is None else basis.reading.sizes),
    }
    return Draft(
        funnel=basis.record.funnel,
        cutoff=history.cutoff,
        watermark=basis.watermark,
        horizon=max(forecast.horizon for forecast in fitted.forecasts),
        model=", ".join(sorted({forecast.model for forecast in fitted.forecasts})),
        calendar=basis.calendar.version,
        reason=reason,
        scorecard=[score._asdict() for score in fitted.scorecard],
        quality=quality,
        views={"observed": latest_counts(history), "flow": flow_from_history(history)},
    )


def overtaken(connection: Connection, basis: Basis, draft: Draft) -> str | None:
    """Why the draft is not to be published: another run's version, published meanwhile, knows as much; None: it is."""
    record = get_funnel(connection, basis.record.name)
    if record.active_version_id in (None, basis.record.active_version_id):
        return None
    assert record.active_version_id is not None
    other = get_version(connection, record.active_version_id)
    if other.watermark >= draft.watermark and other.funnel == draft.funnel:
        return f"nothing new: another run published version {other.number} meanwhile"
    return None
