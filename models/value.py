"""Value: the same funnels in money, where an entity counts by what it is worth.

At every rolling origin two forecasts of a stage's value are combined by weights learnt there: the count forecast
times the recent mean value of an arrival, and the cascade of value, in which everyone waits with their value, so that
what is in flight counts by its own. Hazards, weights, intervals and scores are learnt from value as those of counts
are from counts.

That needs a scale on which money looks like counts. Each funnel has a unit: the size-biased mean sum v^2 / sum v of its
first entities, in which a sum of independent values varies like a count (its variance is its mean).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models import calibration, cascade, departure, scoring
from models.calibration import SeriesForecasts
from models.cascade import Passed
from models.effects import Learning
from models.entities import NEVER
from models.forecast import STEP_DAYS
from models.history import History
from models.kernel import kernel
from models.monthly import Months
from models.origins import Origins
from models.panel import Panel
from models.skill import MEASURES
from models.spells import moves_of_history
from models.transition import TransitionState, make_transitions
from models.univariate import GROWTH, RECENT, recent_maximum

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FIRST = 256
"""So many entities with a value make the unit; while there are fewer, as many as the power of four below."""
GRAIN = 2.0**-20
"""Of a unit: the values that wait are whole multiples of it, so that taking one back leaves nothing behind."""
HALF_LIFE = 60.0
"""Half-life of the mean value of an arrival, periods."""
OUTLIER, LEAST_PRICED = 6.0, 10.0
"""A period of n arrivals counts at most as n + OUTLIER sqrt(n) of the mean value, once that rests on LEAST_PRICED."""
IN_MONEY = np.array([name in ("actual", "loss", "naive", "absolute", "error") for name in MEASURES])


@dataclass(frozen=True, slots=True, eq=False)
class Priced:
    """Value of the funnels of a panel, in their units.

    amounts: (funnels, stages, periods), >= 0, NaN where none was told. moves: as of the panel, in GRAIN. units:
    (funnels,), in money. missing: as of the panel, in units.
    """

    amounts: Array
    moves: Sequence[Sequence[Ints | None]]
    units: Array
    missing: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ValueState:
    """What the value of n series leaves behind.

    prices: (n, 2), discounted value and number of arrivals. recent: (n, RECENT), the last values. mean: (n, pending
    origins, horizon), counts times mean value, whose targets have not all arrived. observed: (funnels, stages).
    """

    prices: Array
    recent: Array
    mean: Array
    calibration: calibration.CalibrationState
    transitions: tuple[TransitionState, ...]
    observed: Array
    departures: departure.DepartureState


def make_state(funnels: int, *, entities: Sequence[bool], horizon: int, season_length: int) -> ValueState:
    """Return the state before the first period."""
    stages = len(entities) + 1
    return ValueState(
        prices=np.zeros((funnels * stages, 2)),
        recent=np.full((funnels * stages, RECENT), np.nan),
        mean=np.zeros((funnels * stages, 0, horizon)),
        calibration=calibration.make_state(
            funnels * stages, horizon=horizon, season_length=season_length, counted=False
        ),
        transitions=make_transitions(funnels, entities=entities, horizon=horizon, season_length=season_length),
        observed=np.zeros((funnels, stages)),
        departures=departure.make_state(funnels, stages=stages, horizon=horizon),
    )


def priced_of_history(history: History) -> Priced | None:
    """Value of the total and of each segment; None where no row of the funnel's stages carries any."""
    if history.money is None:
        return None
    money = history.money.reshape(-1, len(history.stages), history.periods)
    counts = history.matrix.reshape(money.shape)
    amounts = None if history.entities is None else history.entities.amounts
    units = np.array([_unit_of_counts(*pair) for pair in zip(counts, money, strict=True)])
    if history.entities is not None and amounts is not None:
        period = np.where(history.entities.days == NEVER, NEVER, history.entities.days // STEP_DAYS[history.frequency])
        everyone, order = np.arange(len(amounts)), np.argsort(history.entities.segment, kind="stable")
        ends = np.searchsorted(history.entities.segment[order], np.arange(1, len(units)))
        for row, chosen in enumerate([everyone, *np.split(order, ends)[: len(units) - 1]]):
            units[row] = _unit_of_entities(amounts[chosen], period[chosen]) or units[row]

    def weights(row: int, chosen: Ints, stage: int) -> Ints:
        if amounts is None:
            return np.zeros(len(chosen), dtype=np.int64)
        worth = np.maximum(np.nan_to_num(amounts[chosen, stage]), 0.0) / (units[row] * GRAIN)
        return np.asarray(np.rint(worth), dtype=np.int64)

    return Priced(money / units[:, None, None], moves_of_history(history, weights=weights), units)


def _unit_of_entities(amounts: Array, period: Ints) -> float | None:
    """Unit of one funnel by its first entities at the first stage with a value, whole periods of them."""
    for stage in range(amounts.shape[1]):
        here = (amounts[:, stage] > 0) & (period[:, stage] >= 0)
        if here.any():
            last = np.sort(period[here, stage])[_enough(here.sum()) - 1]
            first = amounts[here & (period[:, stage] <= last), stage]
            return float((first**2).sum() / first.sum())
    return None


def _unit_of_counts(counts: Array, money: Array) -> float:
    """Unit of one funnel by the mean value of its first counts, at the first stage with any; 1 without."""
    for number, amount in zip(counts, money, strict=True):
        both = np.where((amount > 0) & (number > 0), number, 0.0)
        if both.any():
            first = (np.cumsum(both) - both < _enough(both.sum())) & (both > 0)
            return float(amount[first].sum() / both[first].sum())
    return 1.0


def _enough(number: float) -> int:
    """How many of the first entities make the unit, when there are so many; each time it changes all is fitted anew."""
    return int(min(4 ** (int(np.log2(max(number, 1.0))) // 2), FIRST))


def forecast_value(
    state: ValueState,
    priced: Priced,
    panel: Panel,
    counted: Passed,
    *,
    origins: Origins,
    seen: int,
    scored: bool,
    effects: Learning | Months | None = None,
) -> tuple[SeriesForecasts, ValueState]:
    """Run new periods through the state and forecast the value of all stages at the cutoff, in money.

    `counted` is what `cascade.pass_down` made of the counts of the same periods, and `effects` what was learnt from
    them of declared days: those of value are the same.
    """
    funnels, stages, periods = priced.amounts.shape
    worth = replace(panel, counts=priced.amounts, moves=priced.moves, worth=GRAIN, missing=priced.missing).present()
    horizon = counted.mean.shape[3]
    amounts = worth.counts.reshape(funnels * stages, periods)
    shape = (funnels, stages, len(origins.every), horizon)
    recent = np.concatenate([state.recent, amounts], axis=1)
    caps = GROWTH * (recent_maximum(recent, origins.asked + RECENT) + 1)
    prices, price = state.prices.copy(), np.zeros((funnels * stages, len(origins.asked)))
    _prices(
        prices, amounts, np.ascontiguousarray(panel.counts.reshape(funnels * stages, periods)), origins.asked, price
    )
    plain = counted.plain if effects is None else effects.plain
    fresh = plain.reshape(*price.shape, horizon)
    mean = np.concatenate([state.mean, np.minimum(fresh * price[:, :, None], caps[:, :, None])], axis=1)
    observed = cascade.observed_at(state.observed, priced.amounts, origins=origins.asked)
    now, taught = counted.mean[:, :, -1], worth.taught()
    before = state.recent.reshape(funnels, stages, -1)
    departures = departure.Departures(state.departures, taught, before, origins=origins)
    passed = cascade.pass_down(
        state.transitions,
        worth,
        origins=origins,
        alone=mean.reshape(shape),
        pending=state.departures.issued,
        caps=caps.reshape(funnels, stages, -1),
        observed=observed,
        departures=departures,
        in_flight=np.divide(counted.in_flight, now, out=np.zeros_like(now), where=now > 0),
        effects=None if effects is None else effects.again,
    )
    calibrated = calibration.calibrate(
        state.calibration,
        passed.mean.reshape(-1, *shape[2:]),
        amounts,
        origins=origins,
        start_day=panel.start_day,
        seen=seen,
        scored=scored,
        taught=taught.reshape(funnels * stages, periods),
        doubts=departures.doubts_with(None if effects is None else effects.doubts).reshape(-1, *shape[2:]),
    )
    sums, scale = scoring.measured(calibrated.state.scoring)
    waiting = origins.waiting(periods=periods, horizon=horizon)
    after = ValueState(
        prices,
        recent[:, -RECENT:],
        mean[:, :-1][:, waiting],
        calibrated.state,
        passed.transitions,
        observed[:, :, -1],
        departures.state,
    )
    made = SeriesForecasts(
        mean=passed.mean[:, :, -1].reshape(-1, horizon),
        quantiles=calibrated.quantiles,
        in_flight=passed.in_flight.reshape(-1, horizon),
        ceiling=caps[:, -1],
        cascaded=passed.cascaded.reshape(-1),
        sums=sums,
        scale=scale,
        observed=observed[:, :, -1].reshape(-1),
        recent=after.recent,
        factors=np.ones((funnels * stages, horizon)) if effects is None else effects.ahead,
        whole=calibrated.state.scoring.fractions == 0,
    )
    return in_money(made, np.repeat(priced.units, stages)), after


def in_money(made: SeriesForecasts, unit: Array) -> SeriesForecasts:
    """The same forecasts with all that is in units, (n,), in money."""
    each = unit[:, None]
    return replace(
        made,
        mean=made.mean * each,
        quantiles=made.quantiles * each[..., None],
        in_flight=made.in_flight * each,
        ceiling=made.ceiling * unit,
        sums=np.where(IN_MONEY, made.sums * each[..., None], made.sums),
        scale=made.scale * unit,
        recent=made.recent * each,
    )


@kernel
def _prices(sums: Array, amounts: Array, counts: Array, origins: Ints, out: Array) -> None:
    """Mean value of an arrival at each origin, 0 before the first; the sums are advanced in place."""
    decay = 0.5 ** (1.0 / HALF_LIFE)
    for i in range(amounts.shape[0]):
        at = 0
        for t in range(-1, amounts.shape[1]):  # -1: from the sums as they are
            if t >= 0 and not (np.isnan(amounts[i, t]) or np.isnan(counts[i, t])):
                amount, number = amounts[i, t], counts[i, t]
                if sums[i, 1] >= LEAST_PRICED:
                    amount = min(amount, sums[i, 0] / sums[i, 1] * (number + OUTLIER * np.sqrt(number)))
                sums[i, 0] = decay * sums[i, 0] + (amount if number > 0 else 0.0)
                sums[i, 1] = decay * sums[i, 1] + number
            while at < origins.size and origins[at] == t:
                out[i, at] = sums[i, 0] / sums[i, 1] if sums[i, 1] > 0 else 0.0
                at += 1
