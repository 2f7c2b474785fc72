"""The univariate engine: experts, their combination and intervals, for a block of series at once.

Pure arrays in, plain arrays out, and no series looks at another: a block can be cut anywhere and its parts run
in threads, processes or on other machines with the same result to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models import combination, level, smoothing, yearly
from models.kernel import kernel
from models.origins import Origins

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

EXPERTS: tuple[str, ...] = ("level", "smoothing", "yearly")
GROWTH = 7.0
"""No expert forecasts more than this multiple of the recent maximum (plus one): the explosion guard."""
RECENT = 120
"""Periods over which the recent maximum is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class UnivariateState:
    """What the past of n series leaves behind: the experts' states, their combination and what is waited for.

    past: see `models.yearly.make_past`. recent: (n, RECENT), the last counts, NaN where missing. experts: (n,
    len(EXPERTS), pending, horizon), forecasts whose targets have not all arrived; mean: (n, pending, horizon), their
    combination.
    """

    level: level.LevelState
    smoothing: smoothing.SmoothingState
    past: Array
    combination: combination.CombinationState
    recent: Array
    experts: Array
    mean: Array


@dataclass(frozen=True, slots=True, eq=False)
class Rolling:
    """Combined forecasts of n series at all rolling origins, each by what was known there.

    mean: (n, origins.every, horizon). weights: (n, buckets, len(EXPERTS)), at the cutoff. caps: (n, origins.asked),
    the explosion guard in counts. experts: (len(EXPERTS), n, horizon), what each says at the cutoff. state: after the
    last period.
    """

    mean: Array
    origins: Origins
    weights: Array
    caps: Array
    experts: Array
    state: UnivariateState


def make_state(series: int, *, horizon: int, season_length: int) -> UnivariateState:
    """Return the state before the first period."""
    return UnivariateState(
        level=level.make_state(series, season_length=season_length),
        smoothing=smoothing.make_state(series, season_length=season_length),
        past=yearly.make_past(series, season_length=season_length),
        combination=combination.make_state(series, experts=len(EXPERTS), horizon=horizon),
        recent=np.full((series, RECENT), np.nan),
        experts=np.zeros((series, len(EXPERTS), 0, horizon)),
        mean=np.zeros((series, 0, horizon)),
    )


def roll(
    state: UnivariateState, counts: Array, day_types: Days, *, origins: Origins, taught: Array | None = None
) -> Rolling:
    """Run and combine the experts of every row of `counts`, at all rolling origins.

    Parameters
    ----------
    state
        Of the periods before; not changed.
    counts
        (n, periods), the new ones, >= 0, NaN where missing; the last period is the cutoff.
    day_types
        (periods + horizon,), from the first new period on, see `smoothing.advance`.
    taught
        The counts that teach what is usual, as `counts`; None: all do.
    """
    taught = counts if taught is None else taught
    horizon = state.mean.shape[2]
    recent = np.concatenate([state.recent, counts], axis=1)
    caps = GROWTH * (recent_maximum(recent, origins.asked + RECENT) + 1)
    made, silent, states = run_experts(state, taught, day_types, origins=origins.asked, horizon=horizon, caps=caps)
    experts = np.concatenate([state.experts.transpose(1, 0, 2, 3), made], axis=2)
    combined, mean, weights = combination.advance(
        state.combination,
        experts,
        taught,
        origins=origins,
        combined=state.mean,
        prior=_prior(silent, pending=len(origins.pending)),
    )
    waiting = origins.waiting(periods=counts.shape[1], horizon=horizon)
    after = UnivariateState(
        *states,
        combination=combined,
        recent=recent[:, -RECENT:],
        experts=experts[:, :, :-1][:, :, waiting].transpose(1, 0, 2, 3),
        mean=mean[:, :-1][:, waiting],
    )
    return Rolling(mean, origins, weights[:, -1], caps, experts[:, :, -1], after)


def run_experts(
    state: UnivariateState, counts: Array, day_types: Days, *, origins: Days, horizon: int, caps: Array
) -> tuple[Array, npt.NDArray[np.bool_], tuple[level.LevelState, smoothing.SmoothingState, Array]]:
    """Forecasts of every expert at every origin, (experts, n, origins, horizon), >= 0; where the yearly one has nothing
    to say, (n, origins); and the states after.

    Where smoothing cannot speak yet (less than a season seen), the level speaks for it; for the yearly expert, what the
    others agree on.
    """
    level_state, levels = level.advance(state.level, counts, day_types, origins=origins, horizon=horizon)
    log_state, logs = smoothing.advance(
        state.smoothing, np.log1p(counts), day_types, origins=origins, horizon=horizon, caps=np.log1p(caps)
    )
    season_length = state.smoothing.count.shape[1]
    past, ratios = yearly.advance(
        state.past, counts, day_types, origins=origins, horizon=horizon, season_length=season_length
    )
    return _collect(levels, logs, ratios, caps), np.isnan(ratios[:, :, 0]), (level_state, log_state, past)


def _prior(silent: npt.NDArray[np.bool_], *, pending: int) -> Array:
    """Weights without evidence at every origin, (n, origins, experts): alike, but for an expert that is silent."""
    speaks = ~(silent[:, :, None] & (np.array(EXPERTS) == "yearly"))
    prior = speaks / speaks.sum(axis=2, keepdims=True)
    return np.concatenate([np.repeat(prior[:, :1], pending, axis=1), prior], axis=1)


@kernel
def mean_of_log(z: float) -> float:
    """Mean, >= 0, of the Poisson number of which log(1 + number) is `z` on average, to .2 percent.

    exp(z) - 1 alone is its median, more or less: a quarter too low at .3 a day, and half an event from 5 a day on. The
    difference was fitted to the exact one for means of .001 to 200.
    """
    return float(np.expm1(z) + 0.5 * (1.0 - np.exp(-z * (0.88 + 0.293 * z))))


@kernel
def _collect(levels: Array, logs: Array, ratios: Array, caps: Array) -> Array:
    """All experts on the scale of counts, within 0 and the caps; the level where one is silent, else 0."""
    out = np.empty((3, *logs.shape))
    for i in range(logs.shape[0]):
        for o in range(logs.shape[1]):
            for h in range(logs.shape[2]):
                level = levels[i, o, h] if not np.isnan(levels[i, o, h]) else 0.0
                smooth = mean_of_log(max(logs[i, o, h], 0.0)) if not np.isnan(logs[i, o, h]) else level
                out[0, i, o, h] = level
                out[1, i, o, h] = smooth
                out[2, i, o, h] = (level + smooth) / 2 if np.isnan(ratios[i, o, h]) else smooth * ratios[i, o, h]
                for m in range(3):
                    out[m, i, o, h] = min(out[m, i, o, h], caps[i, o])
    return out


@kernel
def recent_maximum(counts: Array, ends: Days) -> Array:
    """Largest of the RECENT counts up to each end (an index, >= RECENT - 1), (n, ends); 0 where nothing was seen."""
    out = np.zeros((counts.shape[0], ends.size))
    for i in range(counts.shape[0]):
        for j in range(ends.size):
            for t in range(ends[j] - RECENT + 1, ends[j] + 1):
                if counts[i, t] > out[i, j]:  # noqa: PLR1730 - never true of a missing one, where a max would be one
                    out[i, j] = counts[i, t]
    return out
