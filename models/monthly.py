"""What the place of a day in its month or fortnight does to a series: pay days, month ends, batches on the first.

A factor for each place, learnt from what came on such days over what was forecast for them without it, from the newest
rolling origin before. What reaches a stage through the stage before is in that forecast already, so nothing counts
twice. A factor is believed as far as its months agree: a positive-part Stein factor (Baranchik, A family of minimax
estimators of the mean of a multivariate normal distribution, 1970) of its squared t value, which is exactly 1 where the
months do not tell, so that series without a month are forecast as if nobody had asked. Places are days of the month,
the last ones counted from its end, for series that rest at weekends its working days; or days of the fortnight, where
these tell more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.effects import Learning, awaited, rolling
from models.kernel import kernel
from models.origins import ORIGIN_GAP, Origins

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

DAYS_FROM_END, WORKING_FROM_END, WORKING_FROM_START = 3, 8, 15
"""Last days, and last and first working days, that are places of their own; a month has 19 to 23 of the latter."""
PLACES = 28 + DAYS_FROM_END
QUIET = 0.2
"""A series rests at weekends when less than this share of a working day is forecast for a day of them."""
THRESHOLD = 8.0
"""Squared t value up to which a factor is that of chance."""
LEAST_SEEN = 3
"""A place that came less often tells nothing."""
DECAY = 0.95
"""Of what the earlier months of a place count, with each new one."""
NOISE_DECAY, PSEUDO = 0.995, 30.0
"""Of the variance of days over their mean, with each new day; and the days that a variance of 1 is worth before."""
MOST, WILD = 10.0, 50.0
"""A day counts as so many times what was expected of it (plus one), or what its place saw on average, at most; and as
so many times the usual variance.
"""
BIAS = 1.25
"""What all places together came to over what was expected is no matter of months, within this factor either way."""
LEAST, LIFTED = 0.05, 1.5
"""Smallest factor; and how far above what its place saw on average a day may be lifted."""
MONTH, WORKING, FORTNIGHT = KINDS = 0, 1, 2
CAME, EXPECTED, SEEN, SQUARES = range(4)


@dataclass(frozen=True, slots=True, eq=False)
class MonthState:
    """What the months of funnels leave behind.

    sums: (funnels, stages, len(KINDS), PLACES, 4), discounted: what came, what was expected, how often, and squared
    errors. noise: (funnels, stages, len(KINDS), 2), discounted squared errors with the effect over what was likely, and
    days. expected: (funnels, stages, up to ORIGIN_GAP), see `effects.EffectState`.
    """

    sums: Array
    noise: Array
    expected: Array


def make_state(funnels: int, *, stages: int, horizon: int) -> MonthState:
    """Return the state before the first day."""
    gap = min(ORIGIN_GAP, horizon)
    return MonthState(
        np.zeros((funnels, stages, len(KINDS), PLACES, SQUARES + 1)),
        np.zeros((funnels, stages, len(KINDS), 2)),
        np.full((funnels, stages, gap), np.nan),
    )


class Months:
    """New days of funnels on their way down the stages, as `effects.Learning`, which comes after it where days are
    declared: what those do is learnt over what the month tells.

    `plain`: of the stages so far, (funnels, stages, origins.asked, horizon), the forecasts without any effect.
    """

    def __init__(
        self,
        state: MonthState,
        counts: Array,
        *,
        first_day: int,
        ordinary: Flags,
        origins: Origins,
        declared: Learning | None,
    ) -> None:
        """`counts` (funnels, stages, days) are those that teach; `ordinary` (days + horizon,) tells no holidays."""
        horizon, days = len(ordinary) - counts.shape[2], counts.shape[2]
        self._counts = np.where(ordinary[:days], counts, np.nan)
        self._places, self._weekend = places_of_days(first_day, len(ordinary)), weekends(first_day, len(ordinary))
        self._sums, self._noise, self._expected = state.sums.copy(), state.noise.copy(), state.expected.copy()
        self._origins, self._declared = origins, declared
        self._factors = np.ones((*counts.shape[:2], len(origins.asked), horizon))
        self.plain = self._factors.copy()

    def __call__(self, stage: int, plain: Array) -> Array:
        """Factors at the origins that are asked for, from the forecasts made there without them; both (funnels,
        origins.asked, horizon).
        """
        origins, expected = rolling(self._expected[:, stage], plain, self._origins)
        sums, noise = (np.ascontiguousarray(part[:, stage]) for part in (self._sums, self._noise))
        factors = np.ones(plain.shape)
        _advance(
            sums,
            noise,
            self._places,
            self._weekend,
            np.ascontiguousarray(self._counts[:, stage]),
            origins,
            expected,
            self._origins.asked,
            np.ascontiguousarray(plain),
            factors,
        )
        self._sums[:, stage], self._noise[:, stage] = sums, noise
        self._expected[:, stage] = awaited(expected[:, -1], since=self._origins.cutoff - int(origins[-1]))
        self.plain[:, stage] = plain
        if self._declared is not None:
            factors *= self._declared(stage, plain * factors)
        self._factors[:, stage] = factors
        return factors

    @property
    def state(self) -> MonthState:
        """After the new days, once all stages have been passed."""
        return MonthState(self._sums, self._noise, self._expected)

    @property
    def doubts(self) -> Array | None:
        """Those of declared days, see `effects.Learning`."""
        return None if self._declared is None else self._declared.doubts

    def again(self, stage: int, _: Array) -> Array:
        """The same factors for forecasts of something else that the same days hold."""
        return self._factors[:, stage]

    @property
    def ahead(self) -> Array:
        """All factors at the cutoff, (funnels * stages, horizon), once all stages have been passed."""
        return self._factors[:, :, -1].reshape(-1, self._factors.shape[3])


def places_of_days(first: int, days: int) -> Ints:
    """Place of each day (since 1970), (len(KINDS), days): in its month, among its working days, Monday to Friday, where
    others have none (-1), and in its fortnight.
    """
    dates = np.arange(first, first + days).astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    start, end = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
    day, left = (dates - start).astype(np.int64), (end - dates).astype(np.int64) - 1
    calendar = np.where(left < DAYS_FROM_END, 28 + left, np.minimum(day, 27))
    working, rest = np.busday_count(start, dates), np.busday_count(dates, end) - 1
    place = np.where(rest < WORKING_FROM_END, WORKING_FROM_START + rest, np.minimum(working, WORKING_FROM_START - 1))
    fortnight = np.arange(first, first + days) % 14
    return np.stack([calendar, np.where(weekends(first, days), -1, place), fortnight]).astype(np.int64)


def weekends(first: int, days: int) -> Flags:
    """Which days (since 1970) are Saturdays or Sundays, (days,)."""
    return np.asarray((np.arange(first, first + days) + 3) % 7 >= 5)


@kernel
def _advance(  # noqa: PLR0913, PLR0917 - one pass over time, in one place for the compiler
    sums: Array,
    noise: Array,
    places: Ints,
    weekend: Flags,
    counts: Array,
    origins: Ints,
    expected: Array,
    asked: Ints,
    plain: Array,
    factors: Array,
) -> None:
    gap = expected.shape[2]
    for i in range(counts.shape[0]):
        newest, at = 0, 0
        for t in range(-1, counts.shape[1]):  # -1: from the sums as they are
            if t >= 0:
                while newest + 1 < origins.size and origins[newest + 1] < t:
                    newest += 1
                step = t - origins[newest]
                if step <= gap and not np.isnan(counts[i, t] + expected[i, newest, step - 1]):
                    for kind in KINDS:
                        if places[kind, t] >= 0:
                            likely = expected[i, newest, step - 1]
                            _learn(sums[i, kind, places[kind, t]], noise[i, kind], counts[i, t], likely)
            while at < asked.size and asked[at] == t:
                _tell(sums[i], noise[i], places[:, t + 1 :], weekend[t + 1 :], plain[i, at], factors[i, at])
                at += 1


@kernel
def _learn(sums: Array, noise: Array, count: float, expected: float) -> None:
    """A day of a place: the wilder it is for days in general, the less it says of its place."""
    likely = expected * _factor(sums, noise, 1.0)
    seen = sums[CAME] / sums[SEEN] if sums[SEEN] > 0.0 else 0.0
    count = min(count, MOST * max(expected + 1.0, seen))
    usual = (noise[0] + PSEUDO) / (noise[1] + PSEUDO)
    noise *= NOISE_DECAY
    noise[0] += min((count - likely) ** 2 / (likely + 1.0), WILD * usual)
    noise[1] += 1.0
    sums *= DECAY
    sums[CAME] += count
    sums[EXPECTED] += expected
    sums[SEEN] += 1.0
    sums[SQUARES] += (count - expected) ** 2


@kernel
def _tell(sums: Array, noise: Array, places: Ints, weekend: Flags, plain: Array, factors: Array) -> None:
    """Factors of the days after an origin, by the places that tell most."""
    kind = WORKING if _rests(plain, weekend) else MONTH
    by_place, evidence = _told(sums[kind], noise[kind])
    others, more = _told(sums[FORTNIGHT], noise[FORTNIGHT])
    if more > evidence:
        kind, by_place = FORTNIGHT, others
    for h in range(factors.size):
        place = places[kind, h]
        if place >= 0 and by_place[place] > 1.0:
            usual = sums[kind, place, CAME] / sums[kind, place, SEEN]
            factors[h] = max(min(by_place[place], LIFTED * usual / (plain[h] + 1e-9)), 1.0)
        elif place >= 0:
            factors[h] = by_place[place]


@kernel
def _told(sums: Array, noise: Array) -> tuple[Array, float]:
    """Factor of each place, and how much they say in all."""
    came, expected = sums[:, CAME].sum(), sums[:, EXPECTED].sum()
    level = min(max(came / expected, 1.0 / BIAS), BIAS) if expected > 0.0 else 1.0
    factors, evidence = np.ones(len(sums)), 0.0
    for place in range(len(sums)):
        factors[place] = _factor(sums[place], noise, level)
        evidence += sums[place, EXPECTED] * level * (factors[place] - 1.0) ** 2
    return factors, evidence


@kernel
def _rests(plain: Array, weekend: Flags) -> bool:
    total, days = np.zeros(2), np.zeros(2)
    for h in range(plain.size):
        off = 1 if weekend[h] else 0
        total[off] += plain[h]
        days[off] += 1.0
    return bool(days.min() > 0.0 and total[1] / days[1] < QUIET * total[0] / days[0])


@kernel
def _factor(sums: Array, noise: Array, level: float) -> float:
    """Of one place, over that of all; its variance is that between its months, at least what days have in general."""
    likely, seen = sums[EXPECTED] * level, sums[SEEN]
    if seen < LEAST_SEEN - 0.5 or likely <= 0.0:
        return 1.0
    off = sums[CAME] - sums[EXPECTED]
    between = (sums[SQUARES] - off * off / seen) * seen / (seen - 1.0)
    usual = max((noise[0] + PSEUDO) / (noise[1] + PSEUDO), 1.0) * (likely + 1.0)
    far = (sums[CAME] - likely) ** 2 / max(usual, between)
    if far <= THRESHOLD:
        return 1.0
    return float(max(1.0 + (1.0 - THRESHOLD / far) * (sums[CAME] / likely - 1.0), LEAST))
