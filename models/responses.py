"""How each transition of a funnel answers its inflow at the cutoff: what scenarios are reckoned from.

A published version carries these, so that a scenario is answered later without the data and without a fit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models import conversion, lag
from models.cascade import LEAST_OBSERVED
from models.funnels import PanelState

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def responses_of_state(state: PanelState, ahead: Ints, *, factors: Array | None = None) -> Array:
    """Response of each transition of each funnel, (funnels, stages - 1, 1 + horizon, horizon), in expected entities.

    Row 0 is what comes of those in the transition at the cutoff, by step; row e what comes of one more entrant at
    step e. NaN where the stages were observed too little for the cascade. `ahead` is (horizon,), the day types;
    `factors` (funnels, stages, horizon), of declared days and of months, on what arrives then; None: there are none.
    """
    funnels, stages = state.observed.shape
    out = np.full((funnels, stages - 1, 1 + len(ahead), len(ahead)), np.nan)
    for stage, transition in enumerate(state.transitions):
        enough = state.observed[:, stage : stage + 2].min(axis=1) >= LEAST_OBSERVED
        if isinstance(transition.waits, lag.LagState):
            out[enough, stage] = lag.responses(transition.waits, ahead)[enough]
            continue
        for funnel in np.flatnonzero(enough).tolist():
            out[funnel, stage] = conversion.responses(conversion.of_funnel(transition.waits, funnel), ahead)
    return out if factors is None else out * factors[:, 1:, None]
