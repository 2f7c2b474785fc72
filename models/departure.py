"""Days that depart from their forecast, all to one side, up to the last: an excursion that ends, or a level that stays.

Nothing in the counts tells yet which of the two it is. Both are forecast, the new level and the return to what was
forecast before, each by its chance, and the distance between them widens the intervals. The longer a departure has
lasted, the longer it is likely to go on: Gott, Implications of the Copernican principle for our future prospects,
Nature 363 (1993), pp. 315-319, from which the chance here differs by the square of the time that has passed, since
levels that stay for good are common. A single day is a spike, and left to the experts, who clip it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.effects import awaited, rolling
from models.kernel import kernel
from models.origins import ORIGIN_GAP, Origins

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHORTEST, LONGEST, LONGEST_WEEKS = 2, 21, 4
"""Periods of a departure, the last where they are weeks; after the longest the experts have learnt what stayed."""
BEFORE, LEAST_BEFORE = 28, 14
"""Periods before it that tell how far forecasts err, and how many of them have to be known."""
KEPT = BEFORE + LONGEST
LEAST, MEAN = 2.0, 3.0
"""Deviations by which every period departs at least, and all of them on average."""
QUIET = 0.2
"""Periods of which less than this share of the usual is forecast, as weekends are, say nothing."""
LEAVING, LARGEST = 2.0, 3.0
"""A departure of k periods still lasts at step h with the chance k^2 / (k^2 + LEAVING h |log lift|), that of LARGEST at
most: what stays for good is seldom a multiple, or nothing.
"""
SHARE = 0.02
"""Where no more than this share of what was forecast before is forecast now, that tells no day from another."""
PROMISED = 1.0
"""Where less was forecast in all, something begins, and there is no level to return to."""
TAKEN_UP = 4.0
"""The new level is what the experts make of it by k / (k + TAKEN_UP), else what came lifts what was forecast before."""
BEYOND = 1.5
"""Experts take a jump for a trend, and are followed this many times as far as what came."""


@dataclass(frozen=True, slots=True, eq=False)
class DepartureState:
    """What the past leaves behind.

    errors: (funnels, stages, KEPT), of the last periods, over the root of what the newest rolling origin had forecast;
    NaN where unknown. issued: (funnels, stages, pending, horizon), forecasts whose targets have not all arrived, with
    those that have; doubts: theirs, as in `Departures`. plain: (funnels, stages, up to ORIGIN_GAP), the newest rolling
    origin's as if nothing departed, see `effects.EffectState`.
    """

    errors: Array
    issued: Array
    doubts: Array
    plain: Array


def make_state(funnels: int, *, stages: int, horizon: int) -> DepartureState:
    """Return the state before the first period."""
    none = np.zeros((funnels, stages, 0, horizon))
    unknown = np.full((funnels, stages, KEPT + min(ORIGIN_GAP, horizon)), np.nan)
    return DepartureState(unknown[:, :, :KEPT], none, none, unknown[:, :, KEPT:])


class Departures:
    """New periods of funnels on their way down the stages.

    `doubts`: (funnels, stages, origins.every, horizon), relative variance of each forecast for not knowing whether a
    departure lasts; 0 where there is none. `plain`: (funnels, stages, origins.asked, horizon), as if nothing departed.
    """

    def __init__(self, state: DepartureState, counts: Array, recent: Array, *, origins: Origins) -> None:
        """`counts` (funnels, stages, periods) are those that teach, NaN where none does; `recent` (funnels, stages, at
        least LONGEST), what came before them.
        """
        self._counts = np.concatenate([recent[:, :, -LONGEST:], counts], axis=2)
        self._errors = np.concatenate([state.errors, np.full(counts.shape, np.nan)], axis=2)
        self._origins, self._periods = origins, counts.shape[2]
        new = np.zeros((*counts.shape[:2], len(origins.asked), state.doubts.shape[3]))
        self.doubts = np.concatenate([state.doubts, new], axis=2)
        self._issued, self.plain, self._expected = np.zeros(self.doubts.shape), new.copy(), state.plain.copy()

    def hold(self, stage: int, mean: Array, *, caps: Array, season_length: int) -> Array:
        """Forecasts of a stage with both ways on where it departs, and else to the bit as they were.

        `mean` is (funnels, origins.every, horizon), those at pending origins as in the state; `caps` (funnels,
        origins.asked), the explosion guard.
        """
        held, errors = mean.copy(), np.ascontiguousarray(self._errors[:, stage])
        doubts = np.ascontiguousarray(self.doubts[:, stage])
        counts = np.ascontiguousarray(self._counts[:, stage])
        pending = len(self._origins.pending)
        self.plain[:, stage] = mean[:, pending:]
        newest, expected = rolling(self._expected[:, stage], mean[:, pending:], self._origins)
        self._expected[:, stage] = awaited(expected[:, -1], since=self._origins.cutoff - int(newest[-1]))
        _advance(errors, counts, self._origins.every, pending, np.ascontiguousarray(caps), season_length, held, doubts)
        self._errors[:, stage], self.doubts[:, stage], self._issued[:, stage] = errors, doubts, held
        return held

    def swing(self, stage: int, mean: Array) -> Array:
        """How far a stage's forecasts are in doubt, (funnels, origins.asked, horizon), as a standard deviation that all
        steps share; `mean` is (funnels, origins.every, horizon).
        """
        pending = len(self._origins.pending)
        swing: Array = np.sqrt(self.doubts[:, stage, pending:]) * mean[:, pending:]
        return swing

    def inherit(self, stage: int, swing: Array, mean: Array) -> None:
        """Add what the stage before swings by to the doubts of this one; both (funnels, origins.asked, horizon)."""
        share = np.divide(swing, mean, out=np.zeros(swing.shape), where=mean > 0)
        self.doubts[:, stage, len(self._origins.pending) :] += share**2

    def doubts_with(self, others: Array | None) -> Array:
        """The doubts of departures and, where there are any, of something else."""
        return self.doubts if others is None else self.doubts + others

    @property
    def state(self) -> DepartureState:
        """After the new periods, once all stages have been passed."""
        waiting = self._origins.waiting(periods=self._periods, horizon=self.doubts.shape[3])
        issued, doubts = (each[:, :, :-1][:, :, waiting] for each in (self._issued, self.doubts))
        return DepartureState(self._errors[:, :, self._periods :].copy(), issued, doubts, self._expected)


@kernel
def _advance(
    errors: Array, counts: Array, every: Ints, pending: int, caps: Array, season: int, mean: Array, doubts: Array
) -> None:
    horizon, longest = mean.shape[2], LONGEST if season > 1 else LONGEST_WEEKS
    back = np.empty(horizon)
    for i in range(mean.shape[0]):
        newest, at = -1, pending
        for t in range(-1, counts.shape[1] - LONGEST):  # -1: from the state as it is
            if t >= 0:
                while newest + 1 < every.size - 1 and every[newest + 1] < t:
                    newest += 1
                if newest >= 0 and t - every[newest] <= horizon:
                    errors[i, KEPT + t] = _error(counts[i, LONGEST + t], mean[i, newest, t - every[newest] - 1])
            while at < every.size and every[at] == t:
                length, origin, lift = _departed(errors[i], counts[i], every, at, mean[i], longest)
                if length > 0:
                    _return(mean[i, at], mean[i, origin, t - every[origin] :], season, back)
                    _both(mean[i, at], back, length, lift, caps[i, at - pending], doubts[i, at])
                at += 1


@kernel
def _error(count: float, expected: float) -> float:
    return float((count - expected) / np.sqrt(expected + 0.5))


@kernel
def _departed(errors: Array, counts: Array, every: Ints, at: int, mean: Array, longest: int) -> tuple[int, int, float]:
    """Periods from the first to the last of the longest departure up to an origin (0: none), the newest origin before
    it, and what came over what had been forecast there.
    """
    last, horizon = every[at], mean.shape[1]
    for length in range(longest, SHORTEST - 1, -1):
        first = last - length + 1
        origin = at - 1
        while origin >= 0 and every[origin] >= first:
            origin -= 1
        if origin < 0 or last - every[origin] >= horizon or np.isnan(errors[KEPT + first]):
            continue
        expected = mean[origin, first - every[origin] - 1 : last - every[origin]]
        quiet = QUIET * mean[origin].mean()
        least, total, days, span, happened, promised = np.inf, 0.0, 0, 0, 0.0, 0.0
        for k in range(length if expected[0] >= quiet else 0):
            count = counts[LONGEST + first + k]
            if expected[k] >= quiet and not np.isnan(errors[KEPT + first + k]):
                error = _error(count, expected[k])
                least = min(least, abs(error)) if total * error >= 0.0 else 0.0
                if least < LEAST:  # the noise is at least Poisson's
                    break
                total += error
                happened, promised, days, span = happened + count, promised + expected[k], days + 1, k + 1
        if days < SHORTEST or least < LEAST or promised < PROMISED:
            continue
        noise, wildest = _noise(errors[KEPT + first - BEFORE : KEPT + first])
        if least >= LEAST * noise and abs(total) / days >= max(MEAN * noise, wildest):
            return span, origin, (happened + 0.5) / (promised + 0.5)
    return 0, 0, 1.0


@kernel
def _noise(errors: Array) -> tuple[float, float]:
    """Deviation of earlier errors, at least Poisson's, and the largest of them; infinite where too few are known."""
    squares, many, wildest = 0.0, 0, 0.0
    for error in errors:
        if not np.isnan(error):
            squares += error * error
            many += 1
            wildest = max(wildest, abs(error))
    if many < LEAST_BEFORE:
        return np.inf, np.inf
    return max(np.sqrt(squares / many), 1.0), wildest


@kernel
def _return(now: Array, before: Array, season: int, out: Array) -> None:
    """What is forecast if all comes back: what was forecast `before` as far as that reaches, and from there on what is
    forecast now by the ratio of both in the last season; so that declared days and months are where they are now.
    """
    reach = before.size
    first = max(reach - season, 0)
    was, still = before[first:].sum(), now[first:reach].sum()
    for h in range(out.size):
        if h < reach:
            out[h] = before[h]
        elif still > SHARE * was:
            out[h] = now[h] * was / still
        else:
            out[h] = out[h - season] if h >= season else before.mean()


@kernel
def _both(now: Array, back: Array, length: int, lift: float, cap: float, doubt: Array) -> None:
    """Mix what is forecast now with the return, in place."""
    taken_up = length / (length + TAKEN_UP)
    leaving = LEAVING * min(abs(np.log(lift)), LARGEST)
    for h in range(now.size):
        told = lift * back[h]
        farthest = back[h] + BEYOND * (told - back[h])
        expert = max(now[h], farthest) if lift < 1.0 else min(now[h], farthest)
        level = min(taken_up * expert + (1.0 - taken_up) * told, cap)
        stays = length * length / (length * length + leaving * (h + 1))
        now[h] = stays * level + (1.0 - stays) * min(back[h], cap)
        if now[h] > 0.0:
            doubt[h] = stays * (1.0 - stays) * (level - back[h]) ** 2 / now[h] ** 2
