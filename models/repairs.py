"""What was set right in the data, so that nobody need guess: one record per kind, series and stretch of days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy.typing as npt

from models.calendar import day_from_number
from models.funnel import TOTAL
from models.wording import worded


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that the gate or the cleaning did to the data, or noticed in it.

    Parameters
    ----------
    kind
        Stable name, e.g. "gap", "repeated_stage", "two_segments".
    segment, stage
        The series; the total stands for all segments, an empty stage for all stages.
    start, end
        First and last day touched.
    count
        How many rows, entities or periods, as `text` says.
    text
        One sentence for people.
    """

    kind: str
    segment: str
    stage: str
    start: date
    end: date
    count: int
    text: str


def repair_of_days(
    kind: str, days: npt.NDArray[Any], text: str, *, segment: str = TOTAL, stage: str = "", count: int | None = None
) -> tuple[Repair, ...]:
    """The repair that touched these days (days since 1970), or none when there are none.

    `text` is for `models.wording.worded`, its {count} the number of `days` unless given.
    """
    if len(days) == 0:
        return ()
    count = len(days) if count is None else count
    first, last = day_from_number(days.min()), day_from_number(days.max())
    return (Repair(kind, segment, stage, first, last, count, worded(text, count)),)
