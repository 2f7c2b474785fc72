"""How each transition of a funnel answers its inflow at the cutoff: what scenarios are reckoned from.

A published version carries these, so that a scenario is answered later without the data and without a fit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models import conversion, lag
from models.cascade import LEAST_OBSERVED, Panel

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def responses_of_panel(panel: Panel, *, horizon: int) -> Array:
    """Response of each transition of each funnel, (funnels, stages - 1, 1 + horizon, horizon), in expected entities.

    Row 0 is what comes of those in the transition at the cutoff, by step; row e what comes of one more entrant at
    step e. NaN where the stages were observed too little for the cascade.
    """
    funnels, stages, _ = panel.counts.shape
    out = np.full((funnels, stages - 1, 1 + horizon, horizon), np.nan)
    ahead = panel.day_types[panel.periods : panel.periods + horizon]
    for funnel in range(funnels):
        for stage in range(stages - 1):
            pair = panel.counts[funnel, stage : stage + 2]
            if np.isfinite(pair).sum(axis=1).min() >= LEAST_OBSERVED:
                out[funnel, stage] = _response(panel, pair, panel.moves[funnel][stage], ahead)
    return out


def _response(panel: Panel, pair: Array, moves: Ints | None, ahead: Ints) -> Array:
    """Run one transition up to the cutoff, and ask it."""
    nowhere, nothing = np.zeros(0, dtype=np.int64), np.zeros((0, len(ahead)))
    if moves is None:
        counted = lag.make_state(season_length=panel.season_length)
        counted, _ = lag.advance(counted, pair[0], pair[1], panel.day_types, origins=nowhere, inflow=nothing)
        return lag.responses(counted, ahead)
    transit = conversion.make_state(season_length=panel.season_length)
    observed = ~np.isnan(pair[1])
    transit, _ = conversion.advance(transit, moves, panel.day_types, observed=observed, origins=nowhere, inflow=nothing)
    return conversion.responses(transit, ahead)
