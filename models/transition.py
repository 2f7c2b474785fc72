"""One transition of all funnels: what the stage before promises, combined with what the stage does by itself.

The promise is by `models.conversion` where entities are known, by `models.lag` where only counts are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models import combination, conversion, lag
from models.origins import Origins, bucket_of_steps
from models.panel import Panel
from models.spells import AGE, CONVERTED

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RIDGE = 1.0
"""Pull towards the starting weights, see `combination.advance`; five times that among univariate experts."""
HALF_LIFE = 730.0
"""Half-life of the evidence for and against the cascade, periods."""
SAME_PERIOD = 0.3
"""Prior weight of the cascade for transitions within one period; 1 for those that all take longer."""


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
class Inflow:
    """Forecasts of the stage before.

    mean: (funnels, origins.every, horizon). swing: (funnels, origins.asked, horizon), how far they are in doubt, as a
    standard deviation that all steps share. in_flight: (funnels, horizon), the part of the last ones that comes from
    entities already in the funnel.
    """

    mean: Array
    swing: Array
    in_flight: Array


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


def pass_on(
    state: TransitionState,
    panel: Panel,
    stage: int,
    *,
    origins: Origins,
    alone: Array,
    inflow: Inflow,
    caps: Array,
) -> tuple[TransitionState, Array, Array, Array]:
    """Run one transition of all funnels, and combine what it promises with the univariate forecasts `alone`,
    which are as the mean of the inflow is.

    Returns the state after, the combined forecasts (funnels, origins.every, horizon), the share of those at the
    cutoff that comes from entities already in the funnel, and what they swing by, (funnels, origins.asked, horizon).
    """
    funnels, horizon, taught = len(panel.counts), alone.shape[2], panel.taught(stage)
    pending, asked = len(origins.pending), origins.asked
    waits, made, held, fresh, swing = _wait(state.waits, panel, stage, taught=taught, origins=asked, inflow=inflow)
    done = state.done[:, None] + fresh
    share = np.clip(np.divide(held, made[:, -1], out=np.zeros(held.shape), where=made[:, -1] > 0), 0, 1)
    promised = np.concatenate([state.promised, np.minimum(made, caps[:, :, None])], axis=1)
    after, combined, weights = combination.advance(
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
    swing *= weights[:, :, bucket_of_steps(horizon), 1]
    return TransitionState(waits, done[:, -1], after, promised[:, :-1][:, waiting]), combined, share, swing


def _wait(
    state: conversion.ConversionState | lag.LagState,
    panel: Panel,
    stage: int,
    *,
    taught: Array,
    origins: Ints,
    inflow: Inflow,
) -> tuple[conversion.ConversionState | lag.LagState, Array, Array, Array, Array]:
    """One transition of all funnels: the state after, what it promises at every origin, what of the last promise comes
    from entities in the funnel, the conversions up to each origin that are known by moves, and what the promise, which
    is linear in the inflow, swings by.
    """
    flows, doubted = inflow.mean[:, -len(origins) :], (inflow.swing != 0.0).any(axis=2)
    made, done, swing = np.zeros(flows.shape), np.zeros((*flows.shape[:2], 2)), np.zeros(flows.shape)
    if isinstance(state, lag.LagState):
        twice = np.flatnonzero(doubted.any(axis=0))
        order, every = _in_order(np.concatenate([origins, origins[twice], origins[-1:]]))
        more = (flows + inflow.swing)[:, twice]
        lagged, told = lag.advance(
            state,
            panel.counts[:, stage - 1],
            taught,
            panel.day_types,
            origins=every,
            inflow=np.concatenate([flows, more, inflow.in_flight[:, None]], axis=1)[:, order],
        )
        told[:, order] = told.copy()
        made, swing[:, twice] = told[:, : len(origins)], told[:, len(origins) : -1] - told[:, twice]
        return lagged, made, told[:, -1], done, swing
    known, ahead = ~np.isnan(taught), panel.day_types[panel.periods :]
    held, after = np.zeros(inflow.in_flight.shape), []
    for row in range(len(flows)):
        moves, untold, twice = panel.moves[row][stage - 1], _untold(panel, row, stage), np.flatnonzero(doubted[row])
        assert moves is not None
        order, every = _in_order(np.concatenate([origins, origins[twice]]))
        waiting, told = conversion.advance(
            conversion.of_funnel(state, row),
            moves,
            panel.day_types,
            observed=known[row] if untold is None else known[row] & (untold.share >= 1),
            origins=every,
            inflow=np.concatenate([flows[row], (flows[row] + inflow.swing[row])[twice]])[order],
            worth=panel.worth,
            untold=untold,
        )
        told[order] = told.copy()
        made[row], swing[row, twice] = told[: len(origins)], told[len(origins) :] - told[twice]
        held[row] = conversion.forecast(waiting, ahead, inflow.in_flight[row])
        done[row] = conversions(moves, origins=origins)
        after.append(waiting)
    return conversion.stacked(after), made, held, done, swing


def _in_order(origins: Ints) -> tuple[Ints, Ints]:
    """Where each of the ascending origins is, and these; some are there twice."""
    order = np.argsort(origins, kind="stable")
    return order, origins[order]


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
