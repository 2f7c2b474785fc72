"""Scores of what was published, brought up to date by each retrain with the actuals that have arrived since."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from models.state import DamagedPayloadError
from service.store.versions import Draft

if TYPE_CHECKING:
    from models.engine import Fitted
    from models.history import History
    from models.live import Live

logger = logging.getLogger(__name__)


def live_after(payload: bytes | None, history: History, fitted: Fitted) -> Live:
    """Live scores at the history's cutoff, of what was published before; `fitted` waits for its actuals from now on.

    `payload` is what the version before left; None, or one that cannot be used: the scores start here.
    """
    import numpy as np  # noqa: PLC0415 - loaded by then, for the fit

    from models.calendar import number_from_day  # noqa: PLC0415
    from models.forecast import STEP_DAYS  # noqa: PLC0415
    from models.live import BLOCKS, advance, live_from_bytes  # noqa: PLC0415

    before = None
    try:
        before = None if payload is None else live_from_bytes(payload)
    except DamagedPayloadError as error:  # it is a measurement, and nothing is forecast from it
        logger.warning("live scores start anew: %s", error)
    first_block = BLOCKS[0][1]
    scored: dict[tuple[str, str], tuple[float, int]] = {}
    for score in fitted.scorecard:
        if score.last <= first_block and math.isfinite(score.wql):
            total, n = scored.get((score.segment, score.stage), (0.0, 0))
            scored[score.segment, score.stage] = total + score.n * score.wql, n + score.n
    backtest = np.full(len(fitted.forecasts), np.nan)
    for row, forecast in enumerate(fitted.forecasts):
        if found := scored.get((forecast.segment, forecast.stage)):
            backtest[row] = found[0] / found[1]
    cutoff = number_from_day(history.start) // STEP_DAYS[history.frequency] + history.periods - 1
    counts = history.latest(history.periods if before is None else _unseen(before, history, cutoff=cutoff))
    told = None if history.told is None else np.tile(history.told, (len(backtest) // len(history.stages), 1))
    return advance(before, fitted.forecasts, counts, start=cutoff + 1 - counts.shape[1], backtest=backtest, told=told)


def _unseen(before: Live, history: History, *, cutoff: int) -> int:
    """How many of the latest periods are to be looked at: new ones, those that are waited for, and young ones."""
    young = 0 if history.told is None else history.told.shape[1]
    return max(cutoff - before.cutoff, cutoff + 1 - int(before.targets.min(initial=cutoff)), young)


def with_live(draft: Draft, live: Live) -> Draft:
    """The draft with what is shown of the live scores, and what the next retrain needs of them."""
    from models.live import bytes_from_live, views_from_live  # noqa: PLC0415

    return replace(draft, views={**draft.views, **views_from_live(live)}, live=bytes_from_live(live))
