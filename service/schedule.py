"""When a retrain is due: the instants of a cron expression in a time zone, however its clocks are moved.

cronsim reads the expression and steps through the times on the wall; which instants they are is decided here, by the
rule of Debian's cron. A time that the clock skips is due when it has jumped, one that it repeats the first time. Where
minute or hour begin with `*`, it is the time gone by that counts: nothing is due in a skipped hour, and in a repeated
one what is due is due in both passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from models.errors import FunnelError

LONGEST_SCHEDULE = 100
"""Characters of an expression."""
MOST_MISSED = 1000
"""Missed instants that are counted; a schedule of every minute that rested for a year has half a million."""
MARGIN = timedelta(hours=3)
"""By more than this no zone's clock is moved at once, nor an instant put off by it."""
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Due:
    """One retrain that is due, for the instant `at`, UTC; `missed` more before it are made up for by the same."""

    at: datetime
    missed: int


def check_schedule(expression: str) -> None:
    """Raise FunnelError unless the expression has five fields that a time can meet."""
    try:
        if len(expression) > LONGEST_SCHEDULE or len(expression.split()) != 5:
            raise CronSimError(f"it has not five fields, or more than {LONGEST_SCHEDULE} characters")  # noqa: TRY301
        next(CronSim(expression, datetime(2024, 1, 1)))  # noqa: DTZ001 - a time on any wall
    except CronSimError as error:
        reason = f"{str(error)[:1].lower()}{str(error)[1:]}"
    except StopIteration:
        reason = "no day of the next fifty years is like that"
    else:
        return
    raise FunnelError(
        f"{expression[:60]!r} is not a schedule: {reason}; write minute, hour, day of month, month and weekday, "
        "as 30 5 * * MON-FRI",
        field="schedule",
    )


def find_due(expression: str, timezone: str, *, after: datetime, now: datetime) -> Due | None:
    """What is due later than `after` and not later than `now`; None when nothing is."""
    zone = ZoneInfo(timezone)
    latest, earliest = wall_time(now, zone) + MARGIN, wall_time(after, zone) - MARGIN
    found: set[datetime] = set()
    for wall in CronSim(expression, latest, reverse=True):
        # Beyond the margin nothing later than the latest found can come any more.
        if wall < earliest or (len(found) > MOST_MISSED and wall < wall_time(max(found), zone) - MARGIN):
            break
        found.update(instant for instant in instants(wall, zone, expression) if after < instant <= now)
    return Due(max(found), min(len(found) - 1, MOST_MISSED)) if found else None


def next_due(expression: str, timezone: str, *, after: datetime) -> datetime | None:
    """The first due instant later than `after`, UTC; None when there is none in fifty years."""
    zone = ZoneInfo(timezone)
    found: list[datetime] = []
    for wall in CronSim(expression, wall_time(after, zone) - MARGIN):
        if found and wall > wall_time(min(found), zone) + MARGIN:
            break
        found += [instant for instant in instants(wall, zone, expression) if instant > after]
    return min(found, default=None)


def instants(wall: datetime, zone: ZoneInfo, expression: str) -> Iterator[datetime]:
    """When a time on the wall is due: once, and by the time gone by never where it is skipped, twice where repeated."""
    elapsed = any(field.startswith("*") for field in expression.split()[:2])
    if is_skipped(wall, zone):
        while not elapsed and is_skipped(wall, zone):
            wall += MINUTE
        if not elapsed:
            yield wall.replace(tzinfo=zone).astimezone(UTC)
        return
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    yield first
    if elapsed and second != first:
        yield second


def is_skipped(wall: datetime, zone: ZoneInfo) -> bool:
    """Whether no clock of the zone ever shows that time."""
    return wall_time(wall.replace(tzinfo=zone).astimezone(UTC), zone) != wall


def wall_time(instant: datetime, zone: ZoneInfo) -> datetime:
    """What a clock on the wall shows, to the second, without a zone."""
    return instant.astimezone(zone).replace(tzinfo=None, microsecond=0, fold=0)
