"""The cascade: each stage is forecast from the forecast of the stage before it and from what waits between them.

At every rolling origin, from the top of the funnel down, the combined forecast of a stage is the inflow of the next
transition (`models.conversion` where entities are known, `models.lag` where only counts are), whose outcome is
combined with the univariate forecast of that stage into the inflow of the one after it. So weights and intervals
are learnt from forecasts that could have been made, errors of the inflow included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models import combination, conversion, lag
from models.declared import Declared
from models.departure import Departures
from models.origins import Origins
from models.spells import AGE, CONVERTED

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Effects = Callable[[int, Array], Array]
"""Given a stage and its forecasts without them, factors of declared days: both (funnels, origins.asked, horizon)."""

RIDGE = 1.0
"""Pull towards the starting weights, see `combination.advance`; five times that among univariate experts."""
HALF_LIFE = 730.0
"""Half-life of the evidence for and against the cascade, periods."""
SAME_PERIOD = 0.3
"""Prior weight of the cascade for transitions within one period; 1 for those that all take longer."""
LEAST_OBSERVED = 14
"""With fewer observed periods at either stage, up to an origin, the univariate forecast is left alone there."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """New periods of funnels to forecast side by side; each is the same stages of another segment (or of the total).

    counts: (funnels, stages, periods), NaN where missing. moves: per funnel and transition, see
    `spells.moves_from_days`, of the new periods, the first of which is 0; None where a stage came as counts.
    day_types: (periods + horizon,). start_day: absolute number of the first period of all, new or not. worth: of one
    in the numbers of the moves. told: (stages, periods), share of each period's final count that is in the moves, and
    missing: (funnels, stages, periods), what is in the counts alone, see `models.completion`; None: nothing is.
    declared: of the new periods and the horizon; None: nothing is.
    """

    counts: Array
    moves: Sequence[Sequence[Ints | None]]
    day_types: Ints
    start_day: int
    season_length: int
    worth: float = 1.0
    told: Array | None = None
    missing: Array | None = None
    declared: Declared | None = None

    def taught(self, stages: int | slice = slice(None)) -> Array:
        """The counts of these stages that teach what is usual: NaN on declared days."""
        counts = self.counts[:, stages]
        return counts if self.declared is None else np.where(self.declared.past[:, stages] > 0, np.nan, counts)

    @property
    def periods(self) -> int:
        """Number of new periods up to the cutoff."""
        return int(self.counts.shape[2])


@dataclass(frozen=True, slots=True, eq=False)
class TransitionState:
    """What one transition's past leaves behind in each funnel.

    waits: of all funnels, a row each. done: (funnels, 2), conversions, and those later than the period of entry.
    promised: (funnels, pending origins, horizon), forecasts whose targets have not all arrived.
    """

    waits: conversion.ConversionState | lag.LagState
    done: Array
    combination: combination.CombinationState
    promised: Array


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """What came down the funnels: mean (funnels, stages, origins.every, horizon), in_flight (funnels, stages, horizon),
    its part at the cutoff from entities already in the funnel, cascaded (funnels, stages), where it was used, and
    plain, the mean at origins.asked as if nothing departed from its forecast.
    """

    transitions: tuple[TransitionState, ...]
    mean: Array
    in_flight: Array
    cascaded: npt.NDArray[np.bool_]
    plain: Array


def make_transitions(
    funnels: int, *, entities: Sequence[bool], horizon: int, season_length: int
) -> tuple[TransitionState, ...]:
    """Return the states before the first period; `entities`: of each transition, whether it is known by moves."""
    return tuple(
        TransitionState(
            waits=conversion.stacked([conversion.make_state(season_length=season_length)] * funnels)
            if known
            else lag.make_state(funnels, season_length=season_length),
            done=np.zeros((funnels, 2)),
            combination=combination.make_state(funnels, experts=2, horizon=horizon),
            promised=np.zeros((funnels, 0, horizon)),
        )
        for known in entities
    )


def pass_down(  # noqa: PLR0913 - each is said by its name
    transitions: Sequence[TransitionState],
    panel: Panel,
    *,
    origins: Origins,
    alone: Array,
    pending: Array,
    caps: Array,
    observed: Array,
    departures: Departures,
    in_flight: Array | None = None,
    effects: Effects | None = None,
) -> Passed:
    """Forecast stage by stage at all new origins.

    Parameters
    ----------
    alone
        (funnels, stages, origins.every, horizon), forecasts of each stage without the one before it.
    pending
        (funnels, stages, origins.pending, horizon), as returned in `Passed.mean` when those were new.
    caps
        (funnels, stages, origins.asked), the explosion guard.
    observed
        (funnels, stages, origins.asked), periods observed up to each origin.
    departures
        What the latest periods depart from, stage by stage.
    in_flight
        (funnels, stages, horizon), share of the forecast that is in flight where the stage before says nothing;
        None: nothing is.
    effects
        Of declared days on each stage's own forecasts; None: there are none.
    """
    mean, many = alone.copy(), len(origins.pending)
    mean[:, :, :many] = pending
    if effects is not None:
        mean[:, 0, many:] = _with_effects(mean[:, 0, many:], effects, 0, caps=caps)
    mean[:, 0] = departures.hold(0, mean[:, 0], caps=caps[:, 0], season_length=panel.season_length)
    flying = np.zeros((*alone.shape[:2], alone.shape[3])) if in_flight is None else in_flight
    held = mean[:, :, -1] * flying
    cascaded = np.zeros(alone.shape[:2], dtype=np.bool_)
    after = []
    for stage, before in enumerate(transitions, start=1):
        state, combined, share = _pass_on(
            before,
            panel,
            stage,
            origins=origins,
            alone=alone[:, stage],
            inflow=mean[:, stage - 1],
            caps=caps[:, stage],
            earlier=held[:, stage - 1],
        )
        enough = observed[:, stage - 1 : stage + 1].min(axis=1) >= LEAST_OBSERVED
        mean[:, stage, many:] = np.where(enough[:, :, None], combined[:, many:], alone[:, stage, many:])
        if effects is not None:
            mean[:, stage, many:] = _with_effects(mean[:, stage, many:], effects, stage, caps=caps)
        mean[:, stage] = departures.hold(stage, mean[:, stage], caps=caps[:, stage], season_length=panel.season_length)
        cascaded[:, stage] = enough[:, -1]
        held[:, stage] = mean[:, stage, -1] * np.where(enough[:, -1:], share, flying[:, stage])
        after.append(state)
    return Passed(tuple(after), mean, held, cascaded, departures.plain)


def _with_effects(plain: Array, effects: Effects, stage: int, *, caps: Array) -> Array:
    """Forecasts with the effects of declared days, within the explosion guard; others to the bit as they were."""
    factors = effects(stage, plain)
    return np.where(factors == 1.0, plain, np.minimum(plain * factors, caps[:, stage, :, None]))


def observed_at(before: Array, counts: Array, *, origins: Ints) -> Array:
    """Periods with a count up to each origin, (funnels, stages, origins)."""
    total = before[:, :, None] + np.cumsum(np.isfinite(counts), axis=2)
    return np.asarray(np.concatenate([before[:, :, None], total], axis=2)[:, :, origins + 1])


def _pass_on(
    state: TransitionState,
    panel: Panel,
    stage: int,
    *,
    origins: Origins,
    alone: Array,
    inflow: Array,
    caps: Array,
    earlier: Array,
) -> tuple[TransitionState, Array, Array]:
    """Run one transition of all funnels, and combine what it promises with the univariate forecasts `alone`.

    Returns the state after, the combined forecasts (funnels, origins.every, horizon), and the share of those at the
    cutoff that comes from entities already in the funnel; `earlier` is that part of the last inflow.
    """
    funnels, horizon, taught = len(panel.counts), inflow.shape[2], panel.taught(stage)
    pending, asked = len(origins.pending), origins.asked
    waits, made, held, fresh = _wait(
        state.waits, panel, stage, taught=taught, origins=asked, inflow=inflow[:, pending:], earlier=earlier
    )
    done = state.done[:, None] + fresh
    share = np.clip(np.divide(held, made[:, -1], out=np.zeros(held.shape), where=made[:, -1] > 0), 0, 1)
    promised = np.concatenate([state.promised, np.minimum(made, caps[:, :, None])], axis=1)
    after, combined, _ = combination.advance(
        state.combination,
        np.stack([alone, promised]),
        taught,
        origins=origins,
        combined=np.zeros((funnels, pending, horizon)),
        prior=_prior(done, pending=pending, counted=panel.moves[0][stage - 1] is None),
        ridge=RIDGE,
        half_life=HALF_LIFE,
    )
    waiting = origins.waiting(periods=panel.periods, horizon=horizon)
    return TransitionState(waits, done[:, -1], after, promised[:, :-1][:, waiting]), combined, share


def _wait(
    state: conversion.ConversionState | lag.LagState,
    panel: Panel,
    stage: int,
    *,
    taught: Array,
    origins: Ints,
    inflow: Array,
    earlier: Array,
) -> tuple[conversion.ConversionState | lag.LagState, Array, Array, Array]:
    """One transition of all funnels: the state after, what it promises at every origin, what of the last promise comes
    from entities in the funnel, and the conversions up to each origin that are known by moves.
    """
    done = np.zeros((len(inflow), len(origins), 2))
    if isinstance(state, lag.LagState):
        lagged, made = lag.advance(
            state,
            panel.counts[:, stage - 1],
            taught,
            panel.day_types,
            origins=np.append(origins, origins[-1]),
            inflow=np.concatenate([inflow, earlier[:, None]], axis=1),
        )
        return lagged, made[:, :-1], made[:, -1], done
    known, ahead = ~np.isnan(taught), panel.day_types[panel.periods :]
    made, held, after = np.zeros(inflow.shape), np.zeros(earlier.shape), []
    for row in range(len(inflow)):
        moves, untold = panel.moves[row][stage - 1], _untold(panel, row, stage)
        assert moves is not None
        waiting, made[row] = conversion.advance(
            conversion.of_funnel(state, row),
            moves,
            panel.day_types,
            observed=known[row] if untold is None else known[row] & (untold.share >= 1),
            origins=origins,
            inflow=inflow[row],
            worth=panel.worth,
            untold=untold,
        )
        held[row] = conversion.forecast(waiting, ahead, earlier[row])
        done[row] = conversions(moves, origins=origins)
        after.append(waiting)
    return conversion.stacked(after), made, held, done


def _untold(panel: Panel, row: int, stage: int) -> conversion.Untold | None:
    """What the moves into a stage do not hold yet."""
    if panel.told is None or panel.missing is None:
        return None
    return conversion.Untold(panel.told[stage], panel.missing[row, stage - 1])


def _prior(done: Array, *, pending: int, counted: bool) -> Array:
    """Weights without evidence at every origin, (funnels, origins, 2), by the conversions known there."""
    late = np.divide(done[..., 1], done[..., 0], out=np.zeros(done.shape[:2]), where=done[..., 0] > 0)
    weight = np.ones(late.shape) if counted else SAME_PERIOD + (1 - SAME_PERIOD) * late
    weight = np.concatenate([np.repeat(weight[:, :1], pending, axis=1), weight], axis=1)
    return np.stack([1 - weight, weight], axis=2)


def conversions(moves: Ints, *, origins: Ints) -> Array:
    """Conversions up to each origin, and those of them later than the period of entry, (origins, 2)."""
    done = moves[moves[:, 3] == CONVERTED]
    late = np.where((done[:, 1] == AGE) & (done[:, 2] == 0), 0, done[:, 4])
    total = np.concatenate([np.zeros((1, 2)), np.cumsum(np.stack([done[:, 4], late], axis=1), axis=0)])
    return np.asarray(total[np.searchsorted(done[:, 0], origins, side="right")])
