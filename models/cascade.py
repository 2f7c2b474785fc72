"""The cascade: each stage is forecast from the forecast of the stage before it and from what waits between them.

At every rolling origin, from the top of the funnel down, the combined forecast of a stage is the inflow of the next
transition, whose outcome is combined with the univariate forecast of that stage into the inflow of the one after it.
So weights and intervals are learnt from forecasts that could have been made, errors of the inflow included. Whether
what departs at a stage lasts is not known of the stages after it either: they inherit the doubt with the inflow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.departure import Departures
from models.origins import Origins
from models.panel import Panel
from models.transition import Inflow, TransitionState, pass_on

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Effects = Callable[[int, Array], Array]
"""Given a stage and its forecasts without them, factors of declared days: both (funnels, origins.asked, horizon)."""

LEAST_OBSERVED = 14
"""With fewer observed periods at either stage, up to an origin, the univariate forecast is left alone there."""


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
        above = mean[:, stage - 1]
        inflow = Inflow(above, departures.swing(stage - 1, above), held[:, stage - 1])
        state, combined, share, swing = pass_on(
            before, panel, stage, origins=origins, alone=alone[:, stage], inflow=inflow, caps=caps[:, stage]
        )
        enough = observed[:, stage - 1 : stage + 1].min(axis=1) >= LEAST_OBSERVED
        mean[:, stage, many:] = np.where(enough[:, :, None], combined[:, many:], alone[:, stage, many:])
        if effects is not None:
            mean[:, stage, many:] = _with_effects(mean[:, stage, many:], effects, stage, caps=caps)
        mean[:, stage] = departures.hold(stage, mean[:, stage], caps=caps[:, stage], season_length=panel.season_length)
        departures.inherit(stage, np.where(enough[:, :, None], swing, 0.0), combined[:, many:])
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
