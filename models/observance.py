"""Whose public holidays a history keeps: those that somebody has declared, as far as it does not say otherwise.

Every country of `CANDIDATES` says which days were holidays; how far activity fell on those days, against the same
weekday in the weeks around them, makes some countries likelier than others and "none" likelier than all where
activity never falls. A day is taken for a holiday when countries that keep it hold more than half of the belief:
with no evidence at all only days that most of the world keeps, with evidence soon the right country's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from models.calendar import HOLIDAY, Calendar, day_from_number, holidays_of_year, number_from_day

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CANDIDATES: tuple[str, ...] = (
    "AR", "AT", "AU", "BE", "BR", "CA", "CH", "CL", "CN", "CO", "CZ", "DE", "DK", "EG", "ES", "FI", "FR",
    "GB", "GR", "HK", "HU", "ID", "IE", "IL", "IN", "IT", "JP", "KR", "MX", "MY", "NG", "NL", "NO", "NZ",
    "PE", "PH", "PK", "PL", "PT", "RO", "RU", "SA", "SE", "SG", "TH", "TR", "TW", "UA", "US", "VN", "ZA",
)  # fmt: skip
NONE_PRIOR, LIKELY_PRIOR, DECLARED_PRIOR = 0.2, 0.6, 0.98
"""Belief, before any evidence, that no public holiday matters, in the country of the funnel's zone, and in a declared
one: who declares a country knows more than a year of holidays tells, but a shop may be open on them.
"""
WEEKS = 4
"""A day is compared with the same weekday so many weeks to either side, as far as they are known."""
QUIET = 0.25
"""Days with less than this share of the mean activity tell nothing: they are quiet anyway."""
EXPECTED_FALL, MOST = 1.5, 3.0
"""A fall of EXPECTED_FALL deviations is evidence neither way; one day counts from -EXPECTED_FALL to MOST."""
LEAST_DEVIATION = 0.08
"""Smallest deviation of log activity assumed."""
FILLING = 28
"""Periods in which a stage fills up when nothing is known of who entered before: they are low for another reason."""
LEAST_DAYS = 20
"""Fewer comparable days than this tell nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Observance:
    """Day types under the belief, (periods + horizon,), and the belief itself, likeliest first ("" = none).

    plain: day types without any holiday; share: belief that each day is one. declared: the country that was declared.
    """

    day_types: npt.NDArray[np.int8]
    plain: npt.NDArray[np.int8]
    share: Array
    belief: tuple[tuple[str, float], ...]
    declared: str | None = None

    @property
    def note(self) -> str | None:
        """One sentence for people; None where the holidays are those of the declared country."""
        country, share = self.belief[0]
        if country == self.declared:
            return None
        whose = f"those of {country}" if country else "none"
        given = "no country is" if self.declared is None else f"the holidays of {self.declared} are"
        joined = "; the" if self.declared is None else ", but the"
        return f"{given} declared{joined} public holidays that fit best are {whose} ({share:.0%} of the belief)"


def infer_observance(
    counts: Array,
    *,
    start: date,
    horizon: int,
    likely: str | None = None,
    declared: bool = False,
    filling: Sequence[int] = (),
) -> Observance:
    """Day types of a daily history, and of the `horizon` days after it, by what the history says of holidays.

    `counts` is (stages, periods), NaN where missing; only they are asked, so nothing later matters. `likely`: the
    country of the funnel's zone, or, if `declared`, the one that was declared: believed until the history tells
    otherwise. `filling`: stages that begin empty.
    """
    counts = counts.copy()
    counts[np.asarray(filling, dtype=np.int64), :FILLING] = np.nan
    countries = CANDIDATES if likely is None or likely in CANDIDATES else (*CANDIDATES, likely)
    first = number_from_day(start)
    periods = counts.shape[1]
    days = np.arange(first, first + periods + horizon)
    kept = _kept(days, countries)
    past, falls = kept[:, :periods], _falls(counts)
    holidays = np.asarray(past.any(axis=0))
    support = np.append(past @ _evidence(falls, known=holidays), 0.0)
    if declared and likely is not None:  # its days may be special by a rise as well
        special = _evidence(-np.abs(falls), known=holidays)
        support[countries.index(likely)] = past[countries.index(likely)] @ special
    prior = np.append(np.full(len(countries), (1 - NONE_PRIOR) / len(countries)), NONE_PRIOR)
    if likely is not None:
        ahead = DECLARED_PRIOR if declared else LIKELY_PRIOR
        prior *= 1 - ahead
        prior[countries.index(likely)] += ahead
    belief = prior * np.exp(support - support.max())
    belief /= belief.sum()
    plain = Calendar().day_types(start, periods + horizon)
    share = belief[:-1] @ kept
    order = np.argsort(-belief, kind="stable")
    names = (*countries, "")
    types = np.where(share > 0.5, HOLIDAY, plain).astype(plain.dtype)
    likeliest = tuple((names[place], float(belief[place])) for place in order[:3])
    return Observance(types, plain, share, likeliest, likely if declared else None)


def _kept(days: Ints, countries: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Whether each candidate keeps each day, (candidates, days)."""
    years = range(day_from_number(int(days[0])).year, day_from_number(int(days[-1])).year + 1)
    return np.array(
        [np.isin(days, np.concatenate([holidays_of_year(country, year) for year in years])) for country in countries]
    )


def _falls(counts: Array) -> Array:
    """Log of activity over that of the same weekday in the weeks around, (periods,); NaN where it tells nothing."""
    means = np.nanmean(np.where(np.isnan(counts).all(axis=1, keepdims=True), 0.0, counts), axis=1, keepdims=True)
    known = np.isfinite(counts) & (means > 0)
    relative = np.where(known, counts / np.maximum(means, 1e-9), 0.0)
    activity = relative.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    activity = np.where(np.isnan(counts).all(axis=0), np.nan, activity)
    periods = len(activity)
    around = np.full((2 * WEEKS, periods), np.nan)
    shifts = [7 * week for week in range(-WEEKS, WEEKS + 1) if week]
    for row, shift in enumerate(shifts):
        here = slice(max(0, -shift), min(periods, periods - shift))
        there = slice(max(0, shift), min(periods, periods + shift))
        if here.stop > here.start:
            around[row, here] = activity[there]
    enough = np.isfinite(around).sum(axis=0) >= 2
    usual = np.full(periods, np.nan)
    if enough.any():
        usual[enough] = np.nanmedian(around[:, enough], axis=0)
    return np.where(usual > QUIET, np.log((activity + 0.05) / (usual + 0.05)), np.nan)


def _evidence(falls: Array, *, known: npt.NDArray[np.bool_]) -> Array:
    """What each day says for its being a holiday, (periods,); `known` days are holidays somewhere."""
    plain = falls[~known & np.isfinite(falls)]
    if len(plain) < LEAST_DAYS:
        return np.zeros(len(falls))
    deviation = max(1.4826 * float(np.median(np.abs(plain))), LEAST_DEVIATION)
    return np.where(
        np.isnan(falls), 0.0, np.clip(-np.nan_to_num(falls) / deviation - EXPECTED_FALL, -EXPECTED_FALL, MOST)
    )
