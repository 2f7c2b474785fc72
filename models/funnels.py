"""Funnels side by side: their series by themselves, the cascade between them, their intervals, and their value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models import calibration, cascade, departure, effects, monthly, scoring, univariate, value
from models.calibration import SeriesForecasts
from models.origins import gap_of, make_origins
from models.panel import Panel
from models.transition import TransitionState, make_transitions

Array = npt.NDArray[np.float64]

WEEK = 7
"""Length of the season of days: only days have a place in a month."""


@dataclass(frozen=True, slots=True, eq=False)
class PanelState:
    """What `seen` periods of funnels leave behind; series are funnel by funnel, their stages in order.

    observed: (funnels, stages), periods with a count. departures: of the latest periods. value: None where nothing has
    a value. effects: of declared days, None where nothing is declared. months: None where periods are no days.
    """

    seen: int
    univariate: univariate.UnivariateState
    calibration: calibration.CalibrationState
    transitions: tuple[TransitionState, ...]
    observed: Array
    departures: departure.DepartureState
    value: value.ValueState | None
    effects: effects.EffectState | None = None
    months: monthly.MonthState | None = None


def make_state(
    funnels: int,
    *,
    entities: Sequence[bool],
    horizon: int,
    season_length: int,
    valued: bool = False,
    names: int | None = None,
) -> PanelState:
    """Return the state before the first period.

    `entities`: of each transition, whether it is known by moves. `names`: of declared days; None: nothing is declared.
    """
    stages = len(entities) + 1
    size = {"horizon": horizon, "season_length": season_length}
    return PanelState(
        0,
        univariate.make_state(funnels * stages, **size),
        calibration.make_state(funnels * stages, horizon=horizon, season_length=season_length),
        make_transitions(funnels, entities=entities, **size),
        np.zeros((funnels, stages)),
        departure.make_state(funnels, stages=stages, horizon=horizon),
        value.make_state(funnels, entities=entities, **size) if valued else None,
        None if names is None else effects.make_state(funnels, stages=stages, names=names, horizon=horizon),
        monthly.make_state(funnels, stages=stages, horizon=horizon) if season_length == WEEK else None,
    )


def forecast_funnels(
    state: PanelState, panel: Panel, *, horizon: int, scored: bool = True, priced: value.Priced | None = None
) -> tuple[SeriesForecasts, SeriesForecasts | None, PanelState]:
    """Run new periods through the state and forecast all stages of all funnels at the cutoff.

    A fit is an append to the empty state: the same code, so the same numbers. `scored`: whether past forecasts are.
    Returns the forecasts in counts, those in money (None where there is none), and the state after.
    """
    funnels, stages, periods = panel.counts.shape
    gap = gap_of(panel.season_length)
    origins = make_origins(panel.start_day, periods=periods, horizon=horizon, seen=state.seen, gap=gap)
    observed = cascade.observed_at(state.observed, panel.counts, origins=origins.asked)
    panel = panel.present()
    counts, taught = (known.reshape(funnels * stages, periods) for known in (panel.counts, panel.taught()))
    rolling = univariate.roll(state.univariate, counts, panel.day_types, origins=origins, taught=taught)
    shape = (funnels, stages, len(origins.every), horizon)
    learning = None
    if state.effects is not None and panel.declared is not None:
        learning = effects.Learning(state.effects, panel.declared, panel.counts, origins=origins)
    months = None
    if state.months is not None:
        months = monthly.Months(
            state.months,
            panel.taught(),
            first_day=panel.start_day + state.seen,
            ordinary=panel.day_types < WEEK,
            origins=origins,
            declared=learning,
        )
    steered = months or learning
    recent = state.univariate.recent.reshape(funnels, stages, -1)
    departures = departure.Departures(state.departures, panel.taught(), recent, origins=origins)
    passed = cascade.pass_down(
        state.transitions,
        panel,
        origins=origins,
        alone=rolling.mean.reshape(shape),
        pending=state.departures.issued,
        caps=rolling.caps.reshape(funnels, stages, -1),
        observed=observed,
        departures=departures,
        effects=steered,
    )
    calibrated = calibration.calibrate(
        state.calibration,
        passed.mean.reshape(-1, *shape[2:]),
        counts,
        origins=origins,
        start_day=panel.start_day,
        seen=state.seen,
        scored=scored,
        taught=taught,
        doubts=departures.doubts_with(None if learning is None else learning.doubts).reshape(-1, *shape[2:]),
    )
    sums, scale = scoring.measured(calibrated.state.scoring)
    made = SeriesForecasts(
        mean=passed.mean[:, :, -1].reshape(-1, horizon),
        quantiles=calibrated.quantiles,
        in_flight=passed.in_flight.reshape(-1, horizon),
        ceiling=rolling.caps[:, -1],
        cascaded=passed.cascaded.reshape(-1),
        sums=sums,
        scale=scale,
        observed=observed[:, :, -1].reshape(-1),
        recent=rolling.state.recent,
        factors=np.ones((funnels * stages, horizon)) if steered is None else steered.ahead,
        whole=calibrated.state.scoring.fractions == 0,
    )
    worth, after = None, None
    if state.value is not None and priced is not None:
        worth, after = value.forecast_value(
            state.value, priced, panel, passed, origins=origins, seen=state.seen, scored=scored, effects=steered
        )
    return (
        made,
        worth,
        PanelState(
            state.seen + periods,
            rolling.state,
            calibrated.state,
            passed.transitions,
            observed[:, :, -1],
            departures.state,
            after,
            None if learning is None else learning.state,
            None if months is None else months.state,
        ),
    )
