"""What if: more or fewer entrants, another conversion rate, another delay, and what that changes further down.

The cascade is linear in its inflow, so a scenario is exact arithmetic on the rates it has estimated, and no claim
about causes: nothing here knows whether further leads would convert as the ones before did. The change is that of the
cascade; it is added to the published mean, which is a combination of cascade and univariate forecast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.errors import NearcastError
from models.funnel import TOTAL

Array = npt.NDArray[np.float64]
Kind = Literal["inflow", "conversion", "delay"]

MOST_PERCENT = 1000.0
"""An increase by more is refused as a slip of the pen."""
MOST_ADDED = 1e9
"""Entities per step that can be added or taken away."""
WHOLE = 1.0 + 1e-9
"""A share of all, up to rounding."""


class LeverError(NearcastError):
    """A lever that cannot be moved so; `field` is its offending part, `reason` the text without it."""

    slug = "invalid-lever"

    def __init__(self, reason: str, *, field: str | None = None) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}" if field else reason)


@dataclass(frozen=True, slots=True)
class Lever:
    """One change, over the steps first .. last (inclusive).

    Parameters
    ----------
    kind
        `inflow`: entities reaching `stage`, from outside or from the stage before. `conversion`: the share that reaches
        `stage` from the stage before it. `delay`: the time from the stage before to `stage`.
    percent
        Of an inflow or a conversion, -100 .. 1000.
    add
        Of an inflow instead: entities more per step (day or week); negative: fewer.
    days
        Of a delay: steps later, negative: earlier.
    """

    kind: Kind
    stage: str
    segment: str = TOTAL
    percent: float | None = None
    add: float | None = None
    days: int | None = None
    first: int = 1
    last: int | None = None


def check_lever(lever: Lever, *, stages: Sequence[str], horizon: int) -> None:
    """Raise LeverError unless the lever says one thing that can be, about a stage and steps that there are."""
    allowed = {"inflow": ("percent", "add"), "conversion": ("percent",), "delay": ("days",)}[lever.kind]
    given = [name for name in ("percent", "add", "days") if getattr(lever, name) is not None]
    if len(given) != 1 or given[0] not in allowed:
        raise LeverError(f"of an {lever.kind} give {' or '.join(allowed)}, and nothing else", field=lever.kind)
    if lever.stage not in stages:
        raise LeverError(f"there is no stage {lever.stage!r}; there are {', '.join(stages)}", field="stage")
    if lever.kind != "inflow" and lever.stage == stages[0]:
        raise LeverError(f"nothing comes before {lever.stage!r}: name the stage that is reached", field="stage")
    if lever.percent is not None and not -100 <= lever.percent <= MOST_PERCENT:
        raise LeverError(f"must be within -100 and {MOST_PERCENT:g}", field="percent")
    if lever.add is not None and not (math.isfinite(lever.add) and abs(lever.add) <= MOST_ADDED):
        raise LeverError(f"must be within {-MOST_ADDED:g} and {MOST_ADDED:g}", field="add")
    if lever.days is not None and abs(lever.days) >= horizon:
        raise LeverError(f"must be shorter than the horizon of {horizon}", field="days")
    if not 1 <= lever.first <= horizon:
        raise LeverError(f"begins at step {lever.first}, which is not within 1..{horizon}", field="start")
    if lever.last is not None and lever.last < lever.first:
        raise LeverError("ends before it begins", field="end")


def changes(
    means: Mapping[str, Array], responses: Mapping[str, Array], levers: Sequence[Lever], *, stages: Sequence[str]
) -> dict[str, Array]:
    """Change of each stage by step, for every segment that is touched and for the total.

    Parameters
    ----------
    means
        By segment: published means, (stages, horizon).
    responses
        By segment: of each transition, see `models.responses`, (stages - 1, 1 + horizon, horizon).
    levers
        All at work together. Levers on segments change the total by the sum of the changes; levers on the total are
        answered for the total alone.

    Raises
    ------
    LeverError
        When a lever asks for more than there is, or passes a transition whose rates could not be estimated.
    """
    touched = {lever.segment for lever in levers}
    if TOTAL in touched and len(touched) > 1:
        raise LeverError("levers on the total and on segments cannot be mixed: the total is their sum", field="segment")
    found = {
        segment: _changes(
            means[segment], responses[segment], [each for each in levers if each.segment == segment], stages
        )
        for segment in sorted(touched)
    }
    return found if TOTAL in touched else {TOTAL: np.sum(list(found.values()), axis=0), **found}


def _changes(mean: Array, response: Array, levers: Sequence[Lever], stages: Sequence[str]) -> Array:
    """From the top down: what changes at a stage is more inflow into the next transition."""
    change = np.zeros_like(mean)
    for place, stage in enumerate(stages):
        own = [lever for lever in levers if lever.stage == stage]
        if place:
            moved = [lever for lever in own if lever.kind != "inflow"]
            if moved or change[place - 1].any():
                change[place] = _passed_on(
                    mean[place - 1], change[place - 1], response[place - 1], moved, (stages[place - 1], stage)
                )
        for lever in own:
            if lever.kind == "inflow":
                change[place] += _more(lever, mean[place] + change[place])
    return change


def _passed_on(mean: Array, change: Array, response: Array, levers: Sequence[Lever], names: tuple[str, str]) -> Array:
    """Change behind a transition, (horizon,)."""
    if not np.isfinite(response).all():
        raise LeverError(f"no rates from {names[0]!r} to {names[1]!r}: too little was observed", field="stage")
    flow = np.append(1.0, mean)[:, None] * response  # by step of entry and of arrival
    after = flow + np.append(0.0, change)[:, None] * response
    for lever in levers:
        after = _converted(lever, after, response) if lever.kind == "conversion" else _delayed(lever, after)
    return np.asarray((after - flow).sum(axis=0))


def _more(lever: Lever, inflow: Array) -> Array:
    """Further entrants by step, (horizon,)."""
    steps = slice(lever.first - 1, lever.last)
    more = np.zeros_like(inflow)
    more[steps] = lever.add if lever.add is not None else inflow[steps] * (lever.percent or 0.0) / 100
    if (short := inflow + more < -1e-9 * np.maximum(inflow, 1.0)).any():
        step = int(np.argmax(short))
        raise LeverError(
            f"cannot take {-more[step]:g} from the {inflow[step]:.1f} expected at step {step + 1}; say it in percent",
            field="add",
        )
    return more


def _converted(lever: Lever, flow: Array, response: Array) -> Array:
    """The share of each entry that arrives, changed; how long it takes stays as it is."""
    factor = 1 + (lever.percent or 0.0) / 100
    share = float(response[1:].sum(axis=1).max(initial=0.0))
    if share <= WHOLE < share * factor:
        detail = f"{share:.0%} are expected to reach {lever.stage!r} already; at most {1 / share - 1:+.1%} is possible"
        raise LeverError(detail, field="percent")
    changed = flow.copy()
    changed[:, lever.first - 1 : lever.last] *= factor
    return changed


def _delayed(lever: Lever, flow: Array) -> Array:
    """What would arrive in first .. last arrives `days` later: never before its entry, and not before `first`."""
    horizon = flow.shape[1]
    moved = flow.copy()
    steps = range(lever.first - 1, min(lever.last or horizon, horizon))
    moved[:, steps.start : steps.stop] = 0.0
    entries = np.arange(len(flow))
    for step in steps:
        to = np.maximum(np.maximum(step + (lever.days or 0), lever.first - 1), np.maximum(entries - 1, 0))
        arriving = to < horizon
        moved[entries[arriving], to[arriving]] += flow[arriving, step]
    return moved


def half_arrived(change: Array) -> int | None:
    """Step by which half of the change within the horizon has arrived, from 1; None without any change."""
    arrived = np.cumsum(np.abs(change))
    return None if not len(arrived) or arrived[-1] <= 0 else int(np.searchsorted(arrived, arrived[-1] / 2)) + 1


def pack(response: Array) -> Array:
    """The responses of one funnel's transitions without what is always zero: no arrival is before its entry."""
    return np.ascontiguousarray(response[:, _possible(response.shape[2])])


def unpack(packed: Array, *, horizon: int) -> Array:
    """Inverse of `pack`."""
    response = np.zeros((len(packed), 1 + horizon, horizon))
    response[:, _possible(horizon)] = packed
    return response


def _possible(horizon: int) -> npt.NDArray[np.bool_]:
    return np.arange(horizon) >= np.arange(1 + horizon)[:, None] - 1
