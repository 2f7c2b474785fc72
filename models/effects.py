"""What declared days do to a series: a factor for each name, learnt from the earlier days of that name.

What came on such days over what was forecast for them without the effect, from the newest rolling origin before. What
reaches a stage through the stage before is in that forecast already, so nothing counts twice. The factor is that ratio
to a power: the more days and counts it rests on the nearer to 1, as in a normal prior on its logarithm around 0 whose
variance is 1 / DAYS of that between days and 1 / COUNTS of the relative variance of one count (Efron and Morris,
Stein's estimation rule and its competitors, 1973). A name that was never seen has the factor 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.declared import Declared, Kinds
from models.kernel import kernel
from models.origins import ORIGIN_GAP, Origins

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

DAYS = 1.0
"""So many days of a name are half of the way from no effect to theirs, if they hold many counts."""
COUNTS = 5.0
"""So many expected counts are half of the way, if they are spread over many days."""
DECAY = 0.95
"""Of what the earlier days of a name count, with each new one."""
MOST = 10.0
"""A day counts as so many times what was expected (plus one) at most."""
VARIANCE, PSEUDO = 0.04, 2.0
"""Relative variance of what comes on two days of a name, before they tell, and the number of days this is worth."""
CAME, EXPECTED, WEIGHT, SQUARES, TRUSTED, SEEN = range(6)


@dataclass(frozen=True, slots=True, eq=False)
class EffectState:
    """What the declared days of funnels leave behind.

    sums: (funnels, stages, names, 6), discounted: what came, what was expected, days, relative squared errors with the
    effect, and how far it was known for these; and all days. expected: (funnels, stages, up to ORIGIN_GAP), forecasts
    from the newest rolling origin without the effect; NaN where there are none, or the period has arrived. doubts:
    (funnels, stages, pending origins, horizon), see `Learning`.
    """

    sums: Array
    expected: Array
    doubts: Array


def make_state(funnels: int, *, stages: int, names: int, horizon: int) -> EffectState:
    """Return the state before the first period."""
    gap = min(ORIGIN_GAP, horizon)
    return EffectState(
        sums=np.zeros((funnels, stages, names, SEEN + 1)),
        expected=np.full((funnels, stages, gap), np.nan),
        doubts=np.zeros((funnels, stages, 0, horizon)),
    )


class Learning:
    """New periods of funnels on their way down the stages: each stage's effects are learnt from its forecasts.

    Of the stages so far: `plain` and `factors`, (funnels, stages, origins.asked, horizon), the forecasts without the
    effects, and these. `doubts`: (funnels, stages, origins.every, horizon), relative variance of what comes for not
    knowing them better.
    """

    def __init__(self, state: EffectState, declared: Declared, counts: Array, *, origins: Origins) -> None:
        funnels, stages, _ = counts.shape
        self._declared, self._counts, self._origins = declared, counts, origins
        self._sums, self._expected = state.sums.copy(), state.expected.copy()
        self.factors = np.ones((funnels, stages, len(origins.asked), declared.horizon))
        self.plain = self.factors.copy()
        self.doubts = np.concatenate([state.doubts, np.zeros(self.factors.shape)], axis=2)

    def __call__(self, stage: int, plain: Array) -> Array:
        """Factors at the origins that are asked for, from the forecasts made there without them; both (funnels,
        origins.asked, horizon).
        """
        origins, expected = rolling(self._expected[:, stage], plain, self._origins)
        sums = np.ascontiguousarray(self._sums[:, stage])
        factors, doubts = np.ones(plain.shape), np.zeros(plain.shape)
        _advance(
            sums,
            np.ascontiguousarray(self._declared.kinds[:, stage]),
            self._declared.holds,
            np.ascontiguousarray(self._counts[:, stage]),
            origins,
            expected,
            self._origins.asked,
            factors,
            doubts,
        )
        self.factors[:, stage], self.plain[:, stage] = factors, plain
        self.doubts[:, stage, len(self._origins.pending) :] = doubts
        self._sums[:, stage] = sums
        self._expected[:, stage] = awaited(expected[:, -1], since=self._origins.cutoff - int(origins[-1]))
        return factors

    @property
    def state(self) -> EffectState:
        """After the new periods, once all stages have been passed."""
        waiting = self._origins.waiting(periods=self._counts.shape[2], horizon=self.plain.shape[3])
        return EffectState(self._sums, self._expected, self.doubts[:, :, :-1][:, :, waiting])

    def again(self, stage: int, _: Array) -> Array:
        """The same factors for forecasts of something else that the same days hold."""
        return self.factors[:, stage]

    @property
    def ahead(self) -> Array:
        """All factors at the cutoff, (funnels * stages, horizon), once all stages have been passed."""
        return self.factors[:, :, -1].reshape(-1, self.factors.shape[3])


def rolling(waiting: Array, plain: Array, origins: Origins) -> tuple[Ints, Array]:
    """The newest rolling origin before the new periods and those among them, and their forecasts up to the next one,
    (funnels, origins, up to ORIGIN_GAP): those that wait (funnels, up to ORIGIN_GAP), and of `plain`, see `Learning`.
    """
    before = origins.pending[-1:] if len(origins.pending) else -1 - ORIGIN_GAP
    expected = np.concatenate([waiting[:, None], plain[:, :-1, : waiting.shape[1]]], axis=1)
    return np.append(before, origins.fresh).astype(np.int64), expected


def awaited(forecasts: Array, *, since: int) -> Array:
    """Of forecasts (..., steps) those up to the next rolling origin, NaN where their periods have arrived: `since` so
    many periods.
    """
    gap = min(ORIGIN_GAP, forecasts.shape[-1])
    return np.where(np.arange(gap) < since, np.nan, forecasts[..., :gap])


def told_of(state: EffectState) -> Array:
    """Factor of each name and the periods that it is learnt from, (funnels, stages, names, 2)."""
    factors = np.empty(state.sums.shape[:3])
    _factors(np.ascontiguousarray(state.sums.reshape(-1, SEEN + 1)), factors.reshape(-1))
    return np.stack([factors, state.sums[..., SEEN]], axis=3)


def renamed(state: EffectState, before: tuple[str, ...], now: tuple[str, ...]) -> EffectState:
    """The state by other names: new ones begin, those that are gone are forgotten."""
    sums = np.zeros((*state.sums.shape[:2], len(now), SEEN + 1))
    for place, name in enumerate(now):
        if name in before:
            sums[:, :, place] = state.sums[:, :, before.index(name)]
    return replace(state, sums=sums)


@kernel
def _advance(  # noqa: PLR0913, PLR0917 - one pass over time, in one place for the compiler
    sums: Array,
    kinds: Kinds,
    holds: Flags,
    counts: Array,
    origins: Ints,
    expected: Array,
    asked: Ints,
    factors: Array,
    doubts: Array,
) -> None:
    gap, horizon = expected.shape[2], factors.shape[2]
    for i in range(counts.shape[0]):
        newest, at = 0, 0
        for t in range(-1, counts.shape[1]):  # -1: from the sums as they are
            if t >= 0 and kinds[i, t] > 0:
                while newest + 1 < origins.size and origins[newest + 1] < t:
                    newest += 1
                step = t - origins[newest]
                if step <= gap and not np.isnan(counts[i, t] + expected[i, newest, step - 1]):
                    _learn(sums[i], holds[kinds[i, t]], counts[i, t], expected[i, newest, step - 1])
            while at < asked.size and asked[at] == t:
                for h in range(horizon):
                    if kinds[i, t + 1 + h] > 0:
                        factors[i, at, h] = _together(sums[i], holds[kinds[i, t + 1 + h]])
                        doubts[i, at, h] = _doubt(sums[i], holds[kinds[i, t + 1 + h]])
                at += 1


@kernel
def _learn(sums: Array, held: Flags, count: float, expected: float) -> None:
    """A day of one or several names: to each it says what the others leave to be said."""
    together = _together(sums, held)
    likely = expected * together
    error = min(abs(count - likely) / (likely + 1.0), 1.0)
    for name in range(held.size):
        if held[name]:
            own, trust = likely / _factor(sums[name]), _trust(sums[name])
            sums[name, :SEEN] *= DECAY
            sums[name, CAME] += min(count, MOST * (own + 1.0))
            sums[name, EXPECTED] += own
            sums[name, WEIGHT] += 1.0
            sums[name, SQUARES] += trust * max(error * error - 1.0 / (likely + 1.0), 0.0)
            sums[name, TRUSTED] += trust
            sums[name, SEEN] += 1.0


@kernel
def _together(sums: Array, held: Flags) -> float:
    factor = 1.0
    for name in range(held.size):
        if held[name]:
            factor *= _factor(sums[name])
    return factor


@kernel
def _doubt(sums: Array, held: Flags) -> float:
    """Relative variance for the days of a name that differ, and for having seen so few of them."""
    doubt = 0.0
    for name in range(held.size):
        if held[name] and sums[name, WEIGHT] > 0.0:
            between = (PSEUDO * VARIANCE + sums[name, SQUARES]) / (PSEUDO + sums[name, TRUSTED])
            doubt += between * (1.0 + 1.0 / sums[name, WEIGHT])
    return doubt


@kernel
def _factors(sums: Array, out: Array) -> None:
    for row in range(len(sums)):
        out[row] = _factor(sums[row])


@kernel
def _factor(sums: Array) -> float:
    """Of one name; half a count on either side keeps it above 0."""
    return float(((sums[CAME] + 0.5) / (sums[EXPECTED] + 0.5)) ** _trust(sums))


@kernel
def _trust(sums: Array) -> float:
    """How far what was seen of a name is believed, within 0..1."""
    if sums[WEIGHT] == 0.0 or sums[EXPECTED] <= 0.0:
        return 0.0
    return float(1.0 / (1.0 + DAYS / sums[WEIGHT] + COUNTS / sums[EXPECTED]))
