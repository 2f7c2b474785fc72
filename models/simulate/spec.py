"""What a simulated funnel is made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from models.errors import FunnelError
from models.funnel import Funnel

Array = npt.NDArray[np.float64]
DayEffect = tuple[float, float, float, float, float, float, float, float]
"""Factor by day type: Monday .. Sunday, public holiday."""
FLAT: DayEffect = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Delay:
    """Whole days from one stage to the next: a log-normal, cut into days and off at `longest`.

    `median` is the median in days (0 = the same day), `spread` the standard deviation of the logarithm.
    """

    median: float
    spread: float = 0.6
    longest: int = 120

    @property
    def pmf(self) -> Array:
        """P(delay = 0 .. longest), shape (longest + 1,), sums to 1."""
        normal = NormalDist(float(np.log(self.median + 0.5)), self.spread)
        below = np.array([0.0, *(normal.cdf(float(np.log(day + 1))) for day in range(self.longest + 1))])
        pmf: Array = np.diff(below) / below[-1]
        return pmf


@dataclass(frozen=True, slots=True)
class Exit:
    """A side exit: the share of those at the stage who leave by it, and when."""

    name: str
    rate: float
    delay: Delay


@dataclass(frozen=True, slots=True)
class Due:
    """Due dates of the next stage, set on entering the stage before it.

    `share` of the entities get one, `lead` days ahead. Of those that convert, `on_time` do so on the
    day, the others evenly over the `early` days before it and the `late` days after it.
    """

    share: float
    lead: Delay
    on_time: float = 0.5
    early: int = 3
    late: int = 7

    @property
    def offset_pmf(self) -> Array:
        """P(conversion at offset -early .. late from the due day), sums to 1."""
        pmf = np.full(self.early + self.late + 1, (1 - self.on_time) / max(1, self.early + self.late))
        pmf[self.early] = self.on_time
        normed: Array = pmf / pmf.sum()
        return normed


@dataclass(frozen=True, slots=True)
class Transition:
    """From one stage to the next: eventual share, delay, and the other ways out.

    With a flat `day_effect` and no due dates, `rate` is exactly the eventual share that converts. The
    effect multiplies the conversion hazard of the day; exits know no weekday.
    """

    rate: float
    delay: Delay
    exits: tuple[Exit, ...] = ()
    day_effect: DayEffect = FLAT
    due: Due | None = None


@dataclass(frozen=True, slots=True)
class Campaign:
    """Arrivals times `factor` from `start` to `end`, inclusive."""

    name: str
    start: date
    end: date
    factor: float


@dataclass(frozen=True, slots=True)
class LevelShift:
    """Arrivals times `factor` from `day` on."""

    day: date
    factor: float


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Entities a day at the first stage: mean `level`, variance mean + dispersion * mean**2.

    The slow wave multiplies by exp(wave * sin(2 pi t / wave_days)).
    """

    level: float
    day_effect: DayEffect = FLAT
    campaigns: tuple[Campaign, ...] = ()
    shifts: tuple[LevelShift, ...] = ()
    wave: float = 0.0
    wave_days: float = 180.0
    dispersion: float = 0.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A slice: its share of arrivals, and factors on all conversion rates and median delays."""

    name: str
    share: float
    conversion: float = 1.0
    delay: float = 1.0


@dataclass(frozen=True, slots=True)
class Value:
    """Money, log-normal per entity, carried by rows from `stage` on."""

    stage: str
    median: float
    spread: float = 0.8


@dataclass(frozen=True, slots=True)
class Late:
    """Late reporting: `share` of the rows are recorded whole days after they happened."""

    share: float
    delay: Delay


@dataclass(frozen=True, slots=True)
class FunnelSpec:
    """A whole simulated funnel; day 0 is `start`. Raises FunnelError for what cannot be."""

    stages: tuple[str, ...]
    transitions: tuple[Transition, ...]
    segments: tuple[Segment, ...]
    arrivals: Arrivals
    start: date
    timezone: str = "UTC"
    holidays: tuple[date, ...] = ()
    value: Value | None = None
    late: Late | None = None

    def __post_init__(self) -> None:
        if len(self.transitions) != len(self.stages) - 1:
            raise FunnelError(f"{len(self.stages)} stages need {len(self.stages) - 1} transitions", field="transitions")
        if abs(sum(segment.share for segment in self.segments) - 1) > 1e-9:
            raise FunnelError("the shares of the segments do not add up to 1", field="segments")
        for stage, transition in zip(self.stages, self.transitions, strict=False):
            if transition.rate + sum(way.rate for way in transition.exits) > 1 + 1e-9:
                raise FunnelError(f"more than all of {stage!r} convert or exit", field="transitions")
        if sum(transition.due is not None for transition in self.transitions) > 1:
            raise FunnelError("only one stage can have due dates", field="transitions")
        if self.value is not None and self.value.stage not in self.stages:
            raise FunnelError(f"{self.value.stage!r} is not one of the stages {list(self.stages)}", field="value")
        self.funnel()

    @property
    def exits(self) -> tuple[str, ...]:
        """Names of all exits, in the order in which the stages have them."""
        return tuple(dict.fromkeys(way.name for transition in self.transitions for way in transition.exits))

    @property
    def value_stage(self) -> int | None:
        """Index of the stage from which on rows carry a value."""
        return None if self.value is None else self.stages.index(self.value.stage)

    @property
    def due_known_at(self) -> int | None:
        """Index of the stage from which on rows carry a due date; the due stage is the next one."""
        return next((index for index, transition in enumerate(self.transitions) if transition.due), None)

    def funnel(self) -> Funnel:
        """The declaration that fits."""
        known_at = self.due_known_at
        return Funnel(
            stages=self.stages,
            exits=self.exits,
            segment_by="segment",
            due_stage=None if known_at is None else self.stages[known_at + 1],
            timezone=self.timezone,
        )
