"""What a funnel is: its stages in order, exits, segments, clock and calendar."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import date
from functools import lru_cache
from importlib import resources
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from models.errors import FunnelError

TOTAL = "total"
"""The segment that is the sum of all segments; reserved."""

Frequency = Literal["day", "week"]
Measure = Literal["count", "value"]
"""What is forecast: how many reach a stage, or what they are worth."""
Gate = Literal["flag", "refuse"]
MAX_NAME = 200
"""Longest name of a stage, a segment or the column that holds it, characters."""
MAX_STAGES = 200
"""Most stages and exits together that may be declared."""
COUNTRY_PATTERN = r"^[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?$"
"""ISO 3166 country, or country and subdivision: NL, DE-BY."""
RESERVED_COLUMNS = frozenset({"entity_id", "stage", "ts", "ds", "y", "value", "due_on"})
"""Columns that mean something else than the segment."""
LONGEST_HORIZON: dict[Frequency, int] = {"day": 56, "week": 13}
DEFAULT_HORIZON: dict[Frequency, int] = {"day": 28, "week": 4}
SEASON_LENGTH: dict[Frequency, int] = {"day": 7, "week": 1}


@dataclass(frozen=True, slots=True)
class DeclaredDay:
    """A campaign, launch or closure: known beforehand, the same for past and future.

    Empty `stages` or `segments` mean all of them.
    """

    name: str
    start: date
    end: date
    stages: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise FunnelError(f"{self.name!r} ends on {self.end}, before its start {self.start}", field="declared_days")

    def concerns(self, stage: str, segment: str) -> bool:
        """Whether it is about a series; the total is touched by what is declared for any of its segments."""
        here = not self.segments or segment in (*self.segments, TOTAL)
        return here and (not self.stages or stage in self.stages)


@dataclass(frozen=True, slots=True)
class Funnel:
    """A declared or inferred funnel.

    Parameters
    ----------
    stages
        In the order in which entities reach them, at least one.
    exits
        Terminal side exits (lost, cancelled).
    segment_by
        Column that holds the segment; None: only the total.
    due_stage
        Stage that `due_on` speaks of.
    timezone
        IANA zone in which days are cut.
    frequency, week_start
        Length of a step; weeks start on `week_start` (0 = Monday).
    country
        ISO code of the public holidays, NL or DE-BY; None: from the zone.
    max_horizon
        Longest horizon served, steps; at most `LONGEST_HORIZON`.
    gate
        What happens to steps past `reliable_until`: flagged or refused.

    Raises
    ------
    FunnelError
        Naming the field that cannot be.
    """

    stages: tuple[str, ...]
    exits: tuple[str, ...] = ()
    segment_by: str | None = None
    due_stage: str | None = None
    timezone: str = "UTC"
    frequency: Frequency = "day"
    week_start: int = 0
    country: str | None = None
    declared_days: tuple[DeclaredDay, ...] = ()
    max_horizon: int | None = None
    gate: Gate = "flag"

    def __post_init__(self) -> None:
        check_names(self.stages, self.exits)
        if self.due_stage is not None and self.due_stage not in self.stages:
            raise FunnelError(f"{self.due_stage!r} is not one of the stages {list(self.stages)}", field="due_stage")
        if self.frequency not in LONGEST_HORIZON:
            raise FunnelError(f"{self.frequency!r} is neither 'day' nor 'week'", field="frequency")
        if not 0 <= self.week_start <= 6:
            raise FunnelError(f"{self.week_start} is not a weekday 0 (Monday) .. 6 (Sunday)", field="week_start")
        if self.gate not in ("flag", "refuse"):
            raise FunnelError(f"{self.gate!r} is neither 'flag' nor 'refuse'", field="gate")
        load_timezone(self.timezone)
        longest = LONGEST_HORIZON[self.frequency]
        if self.max_horizon is not None and not 1 <= self.max_horizon <= longest:
            raise FunnelError(f"{self.max_horizon} is not within 1..{longest} {self.frequency}s", field="max_horizon")

    @property
    def horizon_limit(self) -> int:
        """Longest horizon served, steps."""
        return self.max_horizon or LONGEST_HORIZON[self.frequency]


def changed_settings(before: Funnel, after: Funnel) -> list[str]:
    """Names of the settings in which two declarations differ."""
    return [each.name for each in fields(Funnel) if getattr(before, each.name) != getattr(after, each.name)]


def check_names(stages: tuple[str, ...], exits: tuple[str, ...]) -> None:
    """Raise FunnelError unless the names are present, distinct and of reasonable length."""
    if not stages:
        raise FunnelError("a funnel needs at least one stage", field="stages")
    names = [*stages, *exits]
    for name in names:
        if not name.strip() or len(name) > MAX_NAME or "\0" in name:
            raise FunnelError(
                f"{name[:40]!r} is empty, longer than {MAX_NAME} characters, or has a NUL in it", field="stages"
            )
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise FunnelError(f"{repeated} appear more than once among stages and exits", field="stages")


def check_declarable(funnel: Funnel) -> None:
    """Raise FunnelError for a funnel that may not be declared.

    Narrower than what a `Funnel` can be, so that one stored under wider limits can still be read and mended.
    """
    if (count := len(funnel.stages) + len(funnel.exits)) > MAX_STAGES:
        raise FunnelError(f"{count} stages and exits are more than {MAX_STAGES}", field="stages")
    column = funnel.segment_by
    if column is not None and (not column or len(column) > MAX_NAME or "\0" in column):
        raise FunnelError(
            f"{column[:40]!r} is empty, longer than {MAX_NAME} characters, or has a NUL in it", field="segment_by"
        )
    if column in RESERVED_COLUMNS:
        raise FunnelError(f"{column!r} cannot be the segment, it means something else", field="segment_by")
    if funnel.country is not None and not re.fullmatch(COUNTRY_PATTERN, funnel.country):
        raise FunnelError(f"{funnel.country[:40]!r} is not an ISO 3166 code such as NL or DE-BY", field="country")
    check_timezone(funnel.timezone)


def check_timezone(timezone: str) -> None:
    """Raise FunnelError unless `timezone` is an IANA zone that means the same on every machine.

    A machine may know more: 'localtime' is whatever it is set to, 'posixrules' and 'right/...' are its own.
    """
    load_timezone(timezone)
    if timezone not in _iana_zones():
        raise _no_timezone(timezone)


def load_timezone(timezone: str) -> ZoneInfo:
    """The zone of that name, FunnelError when this machine knows none."""
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _no_timezone(timezone) from error


def _no_timezone(timezone: str) -> FunnelError:
    return FunnelError(f"{timezone[:40]!r} is not an IANA time zone such as Europe/Amsterdam", field="timezone")


@lru_cache(maxsize=1)
def _iana_zones() -> frozenset[str]:
    return frozenset((resources.files("tzdata") / "zones").read_text("utf-8").split()) - {"Factory"}
