"""Errors for the person who gets them: the place, the reason, what to do.

NearcastError
├── InputError       rows of a file or a frame that cannot be used (a list of `Problem`)
├── FunnelError      a declaration that contradicts itself, or the data
├── HistoryError     too little, or no, usable history for what was asked
├── HorizonError     a horizon, step or level that is not served
└── ForecastError    a forecast that breaks its own invariants (a defect of ours)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the input: `line` counts from 1 (the header of a CSV is line 1)."""

    reason: str
    line: int | None = None
    field: str | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        place = ", ".join(
            part
            for part in (
                f"line {self.line}" if self.line is not None else "",
                f"field {self.field}" if self.field is not None else "",
            )
            if part
        )
        text = f"{place}: {self.reason}" if place else self.reason
        return f"{text} ({self.remedy})" if self.remedy else text


class NearcastError(Exception):
    """Base of all errors that the user can do something about.

    `slug` names the kind of error and is stable: the HTTP problem type is built from it.
    """

    slug = "error"


class InputError(NearcastError):
    """Rows that cannot be used; nothing of the upload was kept."""

    slug = "invalid-input"

    def __init__(self, problems: Sequence[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        if isinstance(problems, Problem):
            problems = [problems]
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class FunnelError(NearcastError):
    """A funnel declaration that cannot be; `field` is the offending setting, `reason` the text without it."""

    slug = "invalid-funnel"

    def __init__(self, reason: str, *, field: str | None = None) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}" if field else reason)


class HistoryError(NearcastError):
    """Too little usable history for what was asked."""

    slug = "insufficient-history"


class HorizonError(NearcastError):
    """A horizon, step or level that is not served."""

    slug = "horizon-not-served"


class ForecastError(NearcastError):
    """A forecast that breaks an invariant of `models.forecast.Forecast`."""

    slug = "invalid-forecast"
