"""Days: cut from instants in a time zone, typed by weekday and public holiday, or declared beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import metadata, resources
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from models.errors import FunnelError
from models.forecast import STEP_DAYS
from models.funnel import DeclaredDay, Frequency, Funnel

EPOCH = date(1970, 1, 1)
DAY = 86_400_000_000
"""Microseconds of a day of 24 hours."""
SECOND = 1_000_000
HOLIDAY = 7
"""Day type of a public holiday; 0..6 are Monday..Sunday."""
CLOCKS = frozenset({"CET", "EET", "MET", "WET", "EST", "MST", "HST", "EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT"})
"""Zones named after a clock: several countries keep them, so none is meant."""

Ints = npt.NDArray[np.int64]


def number_from_day(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def day_from_number(number: int) -> date:
    """The day that many days after 1970-01-01."""
    return EPOCH + timedelta(days=int(number))


def days_from_instants(instants: Ints, *, timezone: str) -> npt.NDArray[np.int32]:
    """Day in `timezone` (days since 1970-01-01) of each instant (µs since the epoch, UTC).

    Days of 23 or 25 hours hold exactly the instants that a clock on the wall showed on them.
    """
    if len(instants) == 0:
        return np.zeros(0, dtype=np.int32)
    starts, offsets = offset_changes(timezone, first=int(instants.min()), last=int(instants.max()))
    shift = offsets[np.searchsorted(starts, instants, side="right") - 1] if len(starts) > 1 else offsets[0]
    return np.asarray((instants + shift) // DAY, dtype=np.int32)


def offset_changes(timezone: str, *, first: int, last: int) -> tuple[Ints, Ints]:
    """Instants at which the UTC offset changes, the first at or before `first`, and the offset from then on; µs.

    Offsets are probed once a day and each change found to the second, so that a million instants cost
    a few thousand look-ups. Two changes within one day that cancel would be missed; no zone has had such.
    """
    zone = ZoneInfo(timezone)
    day = first // DAY * DAY
    offset = _offset(zone, day)
    starts, offsets = [day], [offset]
    while day <= last:
        following = _offset(zone, day + DAY)
        if following != offset:
            low, high = day, day + DAY
            while high - low > SECOND:
                middle = (low + high) // (2 * SECOND) * SECOND
                low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
            starts.append(high)
            offsets.append(following)
            offset = following
        day += DAY
    return np.asarray(starts, dtype=np.int64), np.asarray(offsets, dtype=np.int64)


def _offset(zone: ZoneInfo, instant: int) -> int:
    difference = datetime.fromtimestamp(instant // SECOND, tz=UTC).astimezone(zone).utcoffset() or timedelta()
    return difference // timedelta(microseconds=1)


@lru_cache(maxsize=1)
def _countries() -> dict[str, str]:
    """Country code of each zone that belongs to one, aliases such as US/Eastern included."""
    folder = resources.files("tzdata") / "zoneinfo"
    rows = [line.split("\t") for line in (folder / "zone.tab").read_text("utf-8").splitlines() if line[:1] != "#"]
    countries = {row[2]: row[0] for row in rows}
    links = [line.split() for line in (folder / "tzdata.zi").read_text("utf-8").splitlines() if line[:2] == "L "]
    aliases = {alias: countries[zone] for _, zone, alias in links if zone in countries}
    return aliases | countries


def country_from_timezone(timezone: str) -> str | None:
    """ISO 3166 code of the country that a zone lies in; None for UTC and clocks shared by several."""
    if timezone in CLOCKS or timezone.startswith("Etc/"):
        return None
    return _countries().get(timezone)


@lru_cache(maxsize=512)
def holidays_of_year(country: str, year: int) -> Ints:
    """Public holidays of one year, days since 1970-01-01, ascending.

    `country` is an ISO 3166 code, or one with a subdivision: "US", "DE-BY". Raises FunnelError for
    a country that the holidays package does not know.
    """
    import holidays  # noqa: PLC0415 - slow to import, and needed by jobs only

    code, _, part = country.upper().partition("-")
    try:
        days = holidays.country_holidays(code, subdiv=part or None, years=year)
    except NotImplementedError as error:
        raise FunnelError(
            f"no public holidays are known for {country!r}; give an ISO 3166 code such as NL or DE-BY", field="country"
        ) from error
    return np.asarray(sorted(number_from_day(day) for day in days if day.year == year), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Calendar:
    """What is known beforehand about days, past and future alike.

    country
        ISO code of the public holidays; None: there are none.
    assumed
        Whether the country is only that of the zone: the history may tell otherwise, see `models.observance`.
    version
        Where the holidays came from, for the record: package, version and country.
    """

    frequency: Frequency = "day"
    country: str | None = None
    version: str = "no holidays"
    declared_days: tuple[DeclaredDay, ...] = ()
    assumed: bool = False

    def day_types(self, start: date, periods: int) -> npt.NDArray[np.int8]:
        """Types of `periods` days from `start`: 0 (Monday) .. 6 (Sunday), 7 a public holiday; of weeks: all 0."""
        if self.frequency == "week":
            return np.zeros(periods, dtype=np.int8)
        first = number_from_day(start)
        days = np.arange(first, first + periods)
        types = ((days + EPOCH.weekday()) % 7).astype(np.int8)
        if self.country is not None and periods > 0:
            years = range(start.year, day_from_number(first + periods - 1).year + 1)
            holidays = np.concatenate([holidays_of_year(self.country, year) for year in years])
            types[np.isin(days, holidays)] = HOLIDAY
        return types

    def declared(self, start: date, periods: int, stage: str, segment: str) -> npt.NDArray[np.bool_]:
        """Whether each period from `start` holds a day declared for this series; shape (periods,)."""
        flags = np.zeros(periods, dtype=np.bool_)
        length = STEP_DAYS[self.frequency]
        for declared in self.declared_days:
            if not declared.concerns(stage, segment):
                continue
            first = max((declared.start - start).days // length, 0)
            last = (declared.end - start).days // length
            flags[first : max(last + 1, 0)] = True
        return flags


def make_calendar(funnel: Funnel) -> Calendar:
    """The calendar of a funnel: holidays of its country, or else of the country of its zone.

    Raises FunnelError when the declared country is unknown; a zone whose country has no known
    holidays gets a calendar without any.
    """
    country = funnel.country or country_from_timezone(funnel.timezone)
    if country is not None:
        try:
            holidays_of_year(country, EPOCH.year + 50)
        except FunnelError:
            if funnel.country is not None:
                raise
            country = None
    version = f"holidays {metadata.version('holidays')} {country}" if country else "no holidays"
    return Calendar(funnel.frequency, country, version, funnel.declared_days, assumed=funnel.country is None)
