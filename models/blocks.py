"""Blocks of whole funnels, each forecast from what is remembered of it, or fitted from the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from models.calibration import SeriesForecasts
from models.completion import completed
from models.doubt import Doubt, mixed
from models.effects import told_of
from models.funnels import PanelState, forecast_funnels, make_state
from models.memory import (
    Frame,
    Memory,
    bytes_from_memory,
    digests_of,
    join,
    part_of_memory,
)
from models.panel import Panel
from models.responses import responses_of_state
from models.value import Priced

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked for besides forecasts: scores of past ones, and responses for scenarios."""

    scored: bool = True
    responses: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Funnels that are worked on together; plain arrays, so that it can travel.

    panel: all periods; priced: their value, if any has one. rows: which funnels of the history these are. memory: what
    is remembered of them, of the same funnels in the same order; changed: (funnels,), those whose past is not that.
    told: see `models.history.History`.
    """

    panel: Panel
    priced: Priced | None
    rows: tuple[int, ...]
    segments: tuple[str, ...]
    frame: Frame
    memory: Memory | None
    changed: npt.NDArray[np.bool_]
    wishes: Wishes
    doubt: Doubt | None
    told: Array | None

    @property
    def settled(self) -> int:
        """Periods before those that are habitually incomplete: a state knows of no later ones."""
        return self.panel.periods - (0 if self.told is None else self.told.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class BlockResult:
    """Forecasts of a block at its cutoff, and what is to be remembered of it.

    value: in money, where anything has a value. responses: see `models.responses.responses_of_state`, if asked for.
    effects: (funnels, stages, names, 2), factor of each declared name and the periods it is learnt from; None where
    nothing is declared.
    """

    now: SeriesForecasts
    value: SeriesForecasts | None
    memory: bytes
    responses: Array | None
    effects: Array | None = None


def divide(block: Block, size: int) -> list[Block]:
    """A block in parts of at most `size` funnels; together their results are those of the whole."""
    parts = []
    for first in range(0, len(block.rows), size):
        places = np.arange(first, min(first + size, len(block.rows)))
        parts.append(
            replace(
                block,
                panel=part_of(block.panel, places.tolist()),
                priced=block.priced and priced_part(block.priced, places.tolist()),
                rows=block.rows[first : first + size],
                segments=block.segments[first : first + size],
                memory=None if block.memory is None else part_of_memory(block.memory, places),
                changed=block.changed[places],
            )
        )
    return parts


def part_of(panel: Panel, rows: Sequence[int], *, since: int = 0, until: int | None = None) -> Panel:
    """Some funnels of a panel, from a period on and before another."""
    end = panel.periods if until is None else until
    return Panel(
        panel.counts[:, :, since:end][np.asarray(rows)],
        _moves_of(panel.moves, rows, since=since, end=end),
        panel.day_types[since : len(panel.day_types) - panel.periods + end],
        panel.start_day,
        panel.season_length,
        declared=panel.declared and panel.declared.part(rows, since=since, until=end),
        absent=None if panel.absent is None else panel.absent[np.asarray(rows)] - since,
    )


def priced_part(priced: Priced, rows: Sequence[int], *, since: int = 0, until: int | None = None) -> Priced:
    """Some funnels of a panel's value, from a period on and before another."""
    chosen = np.asarray(rows)
    end = priced.amounts.shape[2] if until is None else until
    moves = _moves_of(priced.moves, rows, since=since, end=end)
    return Priced(priced.amounts[:, :, since:end][chosen], moves, priced.units[chosen])


def _moves_of(
    moves: Sequence[Sequence[Days | None]], rows: Sequence[int], *, since: int, end: int
) -> list[list[Days | None]]:
    return [[None if part is None else _moves_within(part, since, end) for part in moves[row]] for row in rows]


def _moves_within(moves: Days, since: int, end: int) -> Days:
    first, last = np.searchsorted(moves[:, 0], [since, end])
    later = moves[first:last]
    return later - np.array([since, 0, 0, 0, 0]) if since else later


def fit_block(block: Block) -> BlockResult:
    """Forecast a block at its cutoff: what is remembered is continued, the rest is fitted from the start."""
    funnels, horizon = len(block.rows), block.frame.horizon
    made: list[SeriesForecasts] = []
    valued: list[SeriesForecasts] = []
    states, latest, places = [], [], []
    for chosen in (np.flatnonzero(~block.changed), np.flatnonzero(block.changed)):
        if not len(chosen):
            continue
        if block.memory is not None and not block.changed[chosen[0]]:
            state = block.memory.state if len(chosen) == funnels else join([block.memory.state], [chosen])
        else:
            state = make_state(
                len(chosen),
                entities=block.frame.entities,
                horizon=horizon,
                season_length=block.panel.season_length,
                valued=block.frame.valued,
                names=None if block.panel.declared is None else len(block.panel.declared.names),
            )
        span = {"since": state.seen, "until": block.settled}
        panel = part_of(block.panel, chosen.tolist(), **span)
        priced = block.priced and priced_part(block.priced, chosen.tolist(), **span)
        counts, value, after = forecast_funnels(
            state, panel, horizon=horizon, scored=block.wishes.scored, priced=priced
        )
        last = after
        if block.told is not None:
            counts, value, last = _continued(block, block.told, after, (counts, value), chosen=chosen.tolist())
        if block.doubt is not None:
            counts, value = _doubted(block, block.doubt, last, (counts, value), chosen=chosen.tolist())
        made.append(counts)
        valued += [] if value is None else [value]
        states.append(after)
        latest.append(last)
        places.append(chosen)
    order = np.argsort(np.concatenate(places))
    memory = Memory(
        block.frame,
        block.segments,
        block.panel.day_types[: block.settled + horizon],
        digests_of(block.panel, block.priced, periods=block.settled),
        _as_one(states, places, order),
        () if block.panel.declared is None else block.panel.declared.names,
    )
    state = memory.state if block.told is None else _as_one(latest, places, order)
    stages = [True] * block.panel.counts.shape[1]
    now = in_order(made, order, stages=stages)
    value = in_order(valued, order, stages=stages) if valued else None
    learnt = None if state.effects is None else told_of(state.effects)
    answers = None
    if block.wishes.responses:
        factors = now.factors.reshape(funnels, -1, horizon)
        answers = responses_of_state(state, block.panel.day_types[block.panel.periods :], factors=factors)
    return BlockResult(now, value, bytes_from_memory(memory), answers, learnt)


def _as_one(
    states: Sequence[PanelState], places: Sequence[npt.NDArray[np.intp]], order: npt.NDArray[np.intp]
) -> PanelState:
    """The states of a block's parts as one, funnels in the given order."""
    if len(states) == 1:
        return states[0]
    return join([join(states, [np.arange(len(part)) for part in places])], [order])


def _continued(
    block: Block,
    told: Array,
    state: PanelState,
    made: tuple[SeriesForecasts, SeriesForecasts | None],
    *,
    chosen: Sequence[int],
) -> tuple[SeriesForecasts, SeriesForecasts | None, PanelState]:
    """Forecasts after the periods that are habitually incomplete, as completed, and the state then.

    `made` and `state` are those before these periods. Scores are of complete ones only.
    """
    panel = part_of(block.panel, chosen, since=block.settled)
    priced = block.priced and priced_part(block.priced, chosen, since=block.settled)
    panel, priced = completed(panel, priced, told, *made)
    counts, value, after = forecast_funnels(
        state, panel, horizon=block.frame.horizon, scored=block.wishes.scored, priced=priced
    )
    counts = replace(counts, sums=made[0].sums, scale=made[0].scale, whole=made[0].whole)
    if value is not None and made[1] is not None:
        value = replace(value, sums=made[1].sums, scale=made[1].scale)
    return counts, value, after


def _doubted(
    block: Block,
    doubt: Doubt,
    state: PanelState,
    made: tuple[SeriesForecasts, SeriesForecasts | None],
    *,
    chosen: Sequence[int],
) -> tuple[SeriesForecasts, SeriesForecasts | None]:
    """Forecasts of counts and of value, mixed with those under the other types of days; `state` is that after all."""
    otherwise = replace(part_of(block.panel, chosen, since=block.panel.periods), day_types=doubt.day_types)
    priced = block.priced and priced_part(block.priced, chosen, since=block.panel.periods)
    counts, value, _ = forecast_funnels(
        state, otherwise, horizon=block.frame.horizon, scored=block.wishes.scored, priced=priced
    )
    if made[1] is None or value is None:
        return mixed(made[0], counts, doubt.weight), None
    return mixed(made[0], counts, doubt.weight), mixed(made[1], value, doubt.weight)


def in_order(
    made: Sequence[SeriesForecasts], order: npt.NDArray[np.intp], *, stages: Sequence[bool]
) -> SeriesForecasts:
    """The parts as one, funnels in the given order, of each the stages that are wanted."""
    joined, sorted_already = {}, np.array_equal(order, np.arange(len(order)))
    if len(made) == 1 and sorted_already and all(stages):
        return made[0]
    for field in fields(SeriesForecasts):
        values = np.concatenate([getattr(part, field.name) for part in made])
        by_funnel = values.reshape(len(order), len(stages), *values.shape[1:])
        by_funnel = by_funnel if sorted_already else by_funnel[order]
        joined[field.name] = (by_funnel if all(stages) else by_funnel[:, stages]).reshape(-1, *values.shape[1:])
    return SeriesForecasts(**joined)
