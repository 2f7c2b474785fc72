"""Declared days from a calendar: iCalendar (RFC 5545) as calendars export it, or JSON as the declaration has it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson

from models.columns import Problems
from models.errors import FunnelError, InputError, Problem
from models.funnel import MAX_NAME, DeclaredDay, Funnel
from service.store.funnels import declared_day

MOST_DAYS = 1000
"""Declared days of a funnel."""
_DAY = re.compile(r"\d{8}")
_INSTANT = re.compile(r"\d{8}T\d{6}Z?")
_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_ESCAPED = re.compile(r"\\(.)")


def days_from_bytes(content: bytes, *, funnel: Funnel) -> tuple[DeclaredDay, ...]:
    """Declared days of a calendar, in the order of their start; JSON is known by its first character.

    Raises
    ------
    InputError
        With line and field, for what cannot be read as either.
    FunnelError
        For a day that names a stage the funnel has not, and for too many.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(Problem("the calendar is not UTF-8", remedy="export it again as UTF-8")) from None
    days = _from_json(content) if text.lstrip()[:1] in ("[", "{") else _from_ics(text, ZoneInfo(funnel.timezone))
    ordered = tuple(sorted(days, key=lambda day: (day.start, day.end, day.name)))
    check_days(ordered, funnel)
    return ordered


def check_days(days: Sequence[DeclaredDay], funnel: Funnel) -> None:
    """Raise FunnelError for days that a funnel cannot declare."""
    if len(days) > MOST_DAYS:
        raise FunnelError(f"{len(days)} are more than {MOST_DAYS}; leave old ones out", field="declared_days")
    known = funnel.stages + funnel.exits
    for day in days:
        for name in (day.name, *day.segments):
            if not name.strip() or len(name) > MAX_NAME or "\0" in name:
                detail = f"{name[:40]!r} of {day.start} is empty, longer than {MAX_NAME} characters, or has a NUL in it"
                raise FunnelError(detail, field="declared_days")
        if unknown := [stage for stage in day.stages if stage not in known]:
            detail = (
                f"{day.name!r} of {day.start} is about {unknown[0][:40]!r}, which is none of {', '.join(known)}; "
                "name one of these, or leave the stages out for all"
            )
            raise FunnelError(detail, field="declared_days")


def _from_json(content: bytes) -> list[DeclaredDay]:
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InputError(Problem(f"it is not JSON: {error}", line=error.lineno)) from None
    listed = found.get("declared_days") if isinstance(found, dict) else found
    if not isinstance(listed, list) or not all(isinstance(day, dict) for day in listed):
        remedy = 'send [{"name": ..., "start": "YYYY-MM-DD", "end": "YYYY-MM-DD"}]'
        raise InputError(Problem("it is no list of days", field="declared_days", remedy=remedy))
    known = [each.name for each in fields(DeclaredDay)]
    for place, day in enumerate(listed, 1):
        if unknown := [key for key in day if key not in known]:
            remedy = f"a day has {', '.join(known)}"
            raise InputError(
                Problem(f"day {place} has {unknown[0][:40]!r}, which is unknown", field="declared_days", remedy=remedy)
            )
    return [declared_day(day) for day in listed]


@dataclass(slots=True)
class _Event:
    """One VEVENT while it is read: the value and line of each property, its parameters apart."""

    line: int
    values: dict[str, tuple[str, dict[str, str], int]] = field(default_factory=dict)


def _from_ics(text: str, zone: ZoneInfo) -> list[DeclaredDay]:
    problems = Problems()
    if "BEGIN:VCALENDAR" not in text:
        raise InputError(Problem("it is neither an iCalendar file nor JSON", line=1, remedy="export it as .ics"))
    days = [day for event in _events(text) if (day := _day(event, zone, problems)) is not None]
    problems.check()
    return days


def _events(text: str) -> Iterator[_Event]:
    """Events with their properties; what is inside an alarm and the like is passed over."""
    event: _Event | None = None
    inner = 0
    for line, content in _unfolded(text):
        name, _, value = content.partition(":")
        key, *parameters = name.split(";")
        key = key.upper()
        if (key, value.upper()) == ("BEGIN", "VEVENT"):
            event, inner = _Event(line), 0
        elif event is None:
            continue
        elif (key, value.upper()) == ("END", "VEVENT"):
            yield event
            event = None
        elif key in ("BEGIN", "END"):
            inner += 1 if key == "BEGIN" else -1
        elif not inner:
            pairs = (parameter.partition("=") for parameter in parameters)
            event.values.setdefault(key, (value, {left.upper(): right.strip('"') for left, _, right in pairs}, line))


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Content lines with the number of their first line: one that begins with a blank continues the last."""
    pending: tuple[int, str] | None = None
    for line, content in enumerate(text.splitlines(), 1):
        if pending is not None and content[:1] in (" ", "\t"):
            pending = pending[0], pending[1] + content[1:]
            continue
        if pending is not None:
            yield pending
        pending = line, content
    if pending is not None:
        yield pending


def _day(event: _Event, zone: ZoneInfo, problems: Problems) -> DeclaredDay | None:
    """One event as declared days; None for one that was cancelled, or cannot be read."""
    values = event.values
    if values.get("STATUS", ("",))[0].upper() == "CANCELLED":
        return None
    if "RRULE" in values or "RDATE" in values:
        remedy = "export each occurrence as an event of its own"
        problems.add("an event that repeats cannot be declared", line=event.line, field="RRULE", remedy=remedy)
        return None
    if "DTSTART" not in values:
        problems.add("an event without a start", line=event.line, field="DTSTART", remedy="give it a day")
        return None
    try:
        start, whole = _instant(*values["DTSTART"][:2], zone)
        end = _end(event, start, zone, whole=whole)
        if end < start:
            remedy = "let it end after its start"
            problems.add("an event that ends before it starts", line=event.line, field="DTEND", remedy=remedy)
            return None
        last = max(start.date(), (end - timedelta(microseconds=1)).date()) if end > start else start.date()
    except (ValueError, OverflowError) as error:
        reason = str(error) if isinstance(error, ValueError) else "an event before the year 1 or after 9999"
        problems.add(reason, line=event.line, field="DTSTART", remedy="write 20261127 or 20261127T090000Z")
        return None
    name = _plain(values.get("SUMMARY", ("",))[0]) or "event"
    names = (_names(values.get(f"X-NEARCAST-{kind}", ("",))[0]) for kind in ("STAGES", "SEGMENTS"))
    return DeclaredDay(name[:MAX_NAME], start.date(), last, *names)


def _instant(text: str, parameters: dict[str, str], zone: ZoneInfo) -> tuple[datetime, bool]:
    """A day or an instant on the funnel's own clock, and whether it is a day. Raises ValueError."""
    whole = _DAY.fullmatch(text) is not None
    try:
        instant = datetime.fromisoformat(text.removesuffix("Z") if whole or _INSTANT.fullmatch(text) else "")
    except ValueError:
        raise ValueError(f"{text[:40]!r} is neither a day nor an instant") from None
    if whole:
        return instant.replace(tzinfo=zone), True
    if text.endswith("Z"):
        return instant.replace(tzinfo=UTC).astimezone(zone), False
    try:
        own = ZoneInfo(parameters["TZID"]) if "TZID" in parameters else zone
    except (KeyError, ValueError, OSError):
        own = zone  # a name of the calendar's own: its clock is taken for the funnel's
    return instant.replace(tzinfo=own).astimezone(zone), False


def _end(event: _Event, start: datetime, zone: ZoneInfo, *, whole: bool) -> datetime:
    """When an event is over; a day without an end is one day. Raises ValueError."""
    if "DTEND" in event.values:
        return _instant(*event.values["DTEND"][:2], zone)[0]
    if "DURATION" in event.values:
        text = event.values["DURATION"][0]
        found = _DURATION.fullmatch(text)
        if found is None:
            raise ValueError(f"{text[:40]!r} is no duration")
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return start + timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return start + timedelta(days=1) if whole else start


def _plain(text: str) -> str:
    """A text of iCalendar without its escapes."""
    return _ESCAPED.sub(lambda found: " " if found[1] in "nN" else found[1], text).strip()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))
