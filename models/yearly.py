"""What the same weeks of last year were to the weeks before them: the season that one year of history tells.

The week around a target's day of last year over the four weeks up to the origin's day of last year, a naive seasonal
index (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 2021, section 3.2) relative to the level of its
own year, so that growth from year to year does not matter. One year is a single observation of a season, so the ratio
is held within limits, and how far it is followed is learnt like the weight of any expert.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

YEAR = 52
"""Seasons of last year's day before today: whole weeks, so that weekdays meet."""
LEVEL = 4
"""Seasons whose mean is the level of a time."""
FILLING = 4
"""Seasons of a history that no level is taken from: a funnel whose first entrants came then was filling up."""
PAST = YEAR + LEVEL + FILLING
"""Seasons that are looked back upon."""
WEIGHT = 0.2
"""Of the present level, added to both sides of the ratio: what was low last year says little of what is high now."""
OUTLIER = 3.0
"""A day counts as this multiple of what was usual at most: one wild day must not make a season."""
MOST = 2.0
"""A change within weeks by more than this factor, or to less than its inverse, is an event and not a season."""


def make_past(series: int, *, season_length: int) -> Array:
    """The counts before the first period, none of them known: (series, PAST seasons) of NaN."""
    return np.full((series, PAST * season_length), np.nan)


def advance(
    past: Array, counts: Array, day_types: Days, *, origins: Days, horizon: int, season_length: int
) -> tuple[Array, Array]:
    """Tell what last year says at the new origins.

    Parameters
    ----------
    past
        From `make_past`, or as returned for the periods before; not changed.
    counts
        (series, periods), the new ones, NaN where missing.
    day_types, origins
        As in `smoothing.advance`; special days say nothing of their season.

    Returns
    -------
    The past after the new periods, and ratios of the level at each step to that at the origin, (series, origins,
    horizon), within 1 / MOST .. MOST; NaN where last year is not known.
    """
    ordinary = np.where(day_types[: counts.shape[1]] < season_length, counts, np.nan)
    known = np.ascontiguousarray(np.concatenate([past, ordinary], axis=1))
    ratios = np.full((len(counts), len(origins), horizon), np.nan)
    _ratios(known, np.ascontiguousarray(origins, dtype=np.int64), season_length, ratios)
    return known[:, counts.shape[1] :].copy(), ratios


@kernel
def _ratios(known: Array, origins: Days, season_length: int, out: Array) -> None:
    level, half = LEVEL * season_length, season_length // 2
    usual = np.empty(season_length)
    for i in range(known.shape[0]):
        for o in range(origins.size):
            now = origins[o] + PAST * season_length
            then = now - YEAR * season_length
            filled = then - level - FILLING * season_length
            if _share_seen(known[i], filled, then - level) < 0.5 or _share_seen(known[i], then - level, then) < 0.5:
                continue
            pseudo = WEIGHT * float(np.nanmean(known[i, now - level + 1 : now + 1]))
            for k in range(season_length):
                usual[k] = _typical(known[i, then - k - level + season_length : then - k + 1 : season_length], pseudo)
            for h in range(out.shape[2]):
                came, expected = 0.0, 0.0
                for day in range(then + 1 + h - half, then + 2 + h + half):
                    mean = usual[(then - day) % season_length]
                    if not (np.isnan(known[i, day]) or np.isnan(mean)):
                        came += min(known[i, day], OUTLIER * (mean + pseudo)) + pseudo
                        expected += mean + pseudo
                out[i, o, h] = min(max(came / expected, 1.0 / MOST), MOST) if expected > 0.0 else 1.0


@kernel
def _share_seen(known: Array, after: int, last: int) -> float:
    """Share that is known of the periods after one and up to another."""
    many = 0
    for t in range(after + 1, last + 1):
        if not np.isnan(known[t]):
            many += 1
    return many / (last - after)


@kernel
def _typical(same: Array, pseudo: float) -> float:
    """Mean of what is known of the same weekday's counts, none far above their median; NaN where none is known."""
    most = OUTLIER * (np.nanmedian(same) + pseudo)
    return float(np.nanmean(np.minimum(same, most)))
