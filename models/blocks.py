"""A history cut into blocks of whole funnels, each forecast at the cutoff and at past ones by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.baseline import seasonal_naive
from models.calendar import Calendar, number_from_day
from models.cascade import Panel, forecast_funnels, until
from models.forecast import QUANTILES, STEP_DAYS
from models.funnel import SEASON_LENGTH
from models.history import History
from models.observance import infer_observance
from models.responses import responses_of_panel
from models.spells import moves_of_history
from models.univariate import SeriesForecasts

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

BLOCK = 256
"""Series per block of work, as far as whole funnels make it up."""
SCORED_CUTOFFS = 8
"""Past cutoffs at which a fit is scored."""
SCORED_GAP = 23
"""Periods between them; no multiple of a week, so that every weekday has its turn."""
LEAST_SCORED = 28
"""Periods of history before the first scored cutoff."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Funnels that are worked on together; plain arrays, so that it can travel.

    cutoffs: periods up to each scored cutoff, exclusive; past_types: for each of those the day types as they were
    known there, (periods up to it + horizon,). responses: whether scenarios will be asked for.
    """

    panel: Panel
    horizon: int
    cutoffs: tuple[int, ...]
    past_types: tuple[Days, ...]
    responses: bool = False

    @property
    def counts(self) -> Array:
        """(n, periods), one row per series."""
        return self.panel.counts.reshape(-1, self.panel.periods)


@dataclass(frozen=True, slots=True, eq=False)
class BlockResult:
    """Forecasts of a block at its cutoff and at the scored ones, newest last: (cutoffs, n, horizon[, quantiles]).

    responses: see `models.responses.responses_of_panel`, if asked for.
    """

    now: SeriesForecasts
    past_mean: Array
    past_quantiles: Array
    past_naive: Array
    responses: Array | None


def make_blocks(
    history: History,
    *,
    calendar: Calendar,
    horizon: int,
    scored_cutoffs: int = SCORED_CUTOFFS,
    responses: bool = False,
) -> tuple[list[Block], str | None]:
    """The total and the segments in blocks of about BLOCK series; and what was inferred about holidays, if anything."""
    cutoffs = past_cutoffs(history.periods, most=scored_cutoffs)
    past = [day_types(history, calendar=calendar, length=length, horizon=horizon)[0] for length in cutoffs]
    types, note = day_types(history, calendar=calendar, length=history.periods, horizon=horizon)
    counts = history.matrix.reshape(-1, len(history.stages), history.periods)
    moves = moves_of_history(history)
    start_day = number_from_day(history.start) // STEP_DAYS[history.frequency]
    size = max(1, BLOCK // len(history.stages))
    blocks = []
    for first in range(0, len(counts), size):
        part = slice(first, first + size)
        panel = Panel(counts[part], moves[part], types, start_day, SEASON_LENGTH[history.frequency])
        blocks.append(Block(panel, horizon, cutoffs, tuple(past), responses))
    return blocks, note


def past_cutoffs(periods: int, *, most: int) -> tuple[int, ...]:
    """Lengths of history at which a fit is scored, ascending; each leaves at least a week of actuals."""
    lengths = range(periods - 8, LEAST_SCORED - 1, -SCORED_GAP)
    return tuple(reversed(lengths[:most]))


def day_types(history: History, *, calendar: Calendar, length: int, horizon: int) -> tuple[Days, str | None]:
    """Types of the first `length` periods and `horizon` more, and what was inferred about holidays, if anything."""
    if (calendar.country is not None and not calendar.assumed) or history.frequency == "week":
        return calendar.day_types(history.start, length + horizon).astype(np.int64), None
    total = history.matrix[: len(history.stages), :length]
    observance = infer_observance(total, start=history.start, horizon=horizon, likely=calendar.country)
    return observance.day_types.astype(np.int64), observance.note


def fit_block(block: Block) -> BlockResult:
    """Forecast a block at its cutoff and at the scored ones, each from what was known there."""
    counts = block.counts
    shape = (len(block.cutoffs), len(counts), block.horizon)
    past = [
        forecast_funnels(until(block.panel, periods=length, day_types=types), horizon=block.horizon)
        for length, types in zip(block.cutoffs, block.past_types, strict=True)
    ]
    naive = [
        seasonal_naive(counts[:, :length], horizon=block.horizon, season_length=block.panel.season_length)[1]
        for length in block.cutoffs
    ]
    return BlockResult(
        now=forecast_funnels(block.panel, horizon=block.horizon),
        past_mean=np.array([forecasts.mean for forecasts in past]).reshape(shape),
        past_quantiles=np.array([forecasts.quantiles for forecasts in past]).reshape(*shape, len(QUANTILES)),
        past_naive=np.array(naive).reshape(*shape, len(QUANTILES)),
        responses=responses_of_panel(block.panel, horizon=block.horizon) if block.responses else None,
    )
