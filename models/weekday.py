"""Lasting changes of one weekday's place in the week (closed on Sundays from now on), told apart from single days.

One day far off is a holiday, and two in a row on the same weekday are Christmas and the New Year. The third to the
same side is a new place, which is then taken up whole. The place before stays known for a while, and one day back
there is enough to return to it: a closed season ends.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

Array = npt.NDArray[np.float64]

WEEKS = 3
"""Days in a row on the same weekday, far off to the same side, that make a change."""
KNOWN = 8.0
"""Days on a weekday, from a change on, for which the place before it is still known."""
FAR = 3.0
"""Standard deviations from which on a count is far off."""
FIRST, SETTLED = 14.0, 42.0
"""Periods after which the noise begins to be learnt, and is known well enough to say so."""
RATE, MOST = 0.03, 4.0
"""Worth of a period for the noise, then, and what it counts at most, in multiples of the noise."""
PSEUDO = 0.5
"""Weight of a ratio of 1 in a weekday's sums."""
RUN, RUN_TOTAL, RUN_WEIGHT, SINCE, FORMER = range(5)


def make_places(series: int, *, sums: int, season_length: int) -> Array:
    """What is known of the place of each weekday in the week before the first period, (series, FORMER + sums,
    season_length): days in a row that were far off, see `recurs`, what came on them and what it is measured by; days of
    that weekday since its place last changed, however often it has gone back and forth meanwhile; and its sums before
    that, or before the run, as they were.
    """
    places = np.zeros((series, FORMER + sums, season_length))
    places[:, SINCE] = KNOWN
    return places


@kernel
def recurs(runs: Array, kind: int, side: float, steady: bool) -> bool:
    """Note how far off a day was, and tell whether its weekday has changed for good.

    Where at least half of the other weekdays are off to the same side it is the level that changes, and all begin anew;
    unless the level is `steady`, known from elsewhere, and another weekday is off to the other side.

    Parameters
    ----------
    runs
        (season_length,), days in a row that were far off, negative where they were below; changed in place.
    kind
        The weekday.
    side
        1 far above what was expected, -1 far below, 0 neither.
    """
    runs[kind] = runs[kind] + side if runs[kind] * side > 0.0 else side
    if abs(runs[kind]) < WEEKS:
        return False
    alike, apart = 0, 0
    for k in range(runs.size):
        alike += k != kind and runs[k] * side > 0.0
        apart += runs[k] * side < 0.0
    if 2 * alike < runs.size - 1 or (steady and apart > 0):
        return True
    runs[:] = 0.0
    return False


@kernel
def side_of(count: float, mean: float, dispersion: float) -> float:
    """1 where a count is far above its mean, -1 far below, 0 neither; the noise is at least Poisson's."""
    error = (count - mean) / np.sqrt(max(dispersion, 1.0) * (mean + 0.5))
    return float(np.sign(error)) if abs(error) > FAR else 0.0


@kernel
def moved(
    places: Array,
    sums: tuple[Array, ...],
    kind: int,
    total: float,
    weight: float,
    side: float,
    back: bool,
    steady: bool,
) -> bool:
    """Note a day; where its weekday has changed for good, or is `back` where it was before, put its sums there.

    Parameters
    ----------
    places
        Of one series, see `make_places`; changed in place.
    sums
        One total and one weight after the other, (at least season_length,) each, without this day; changed in place.
    total, weight
        What this day adds to them.
    steady
        See `recurs`.
    """
    places[SINCE, kind] += 1.0
    if back:
        for k in range(len(sums)):
            places[FORMER + k, kind], sums[k][kind] = sums[k][kind], places[FORMER + k, kind]
        places[RUN, kind] = 0.0
        return True
    if side != 0.0 and places[RUN, kind] * side <= 0.0:
        places[RUN_TOTAL, kind] = places[RUN_WEIGHT, kind] = 0.0
        for k in range(len(sums)):
            places[FORMER + k, kind] = sums[k][kind]
    changed = recurs(places[RUN], kind, side, steady)
    if changed:
        for k in range(len(sums)):
            sums[k][kind] = places[RUN_WEIGHT if k % 2 else RUN_TOTAL, kind]
        if abs(places[RUN, kind]) <= WEEKS:  # else it is the same change, which goes on
            places[SINCE, kind] = 0.0
    places[RUN_TOTAL, kind] += total
    places[RUN_WEIGHT, kind] += weight
    return changed


@kernel
def doubted(places: Array, kind: int) -> bool:
    """Whether a weekday may be changing: it is no noise that is seen there."""
    return bool(abs(places[RUN, kind]) > 1.0)


@kernel
def watch_place(
    places: Array, noise: Array, sums: tuple[Array, Array], kind: int, total: float, weight: float, scale: float
) -> bool:
    """As `moved`, of a day whose mean is `scale` times its weight and the ratio of its weekday's sums.

    `noise` (2,) is the running variance over the mean, and periods; changed in place.
    """
    count, level = total * scale, weight * scale
    mean = level * (sums[0][kind] + PSEUDO) / (sums[1][kind] + PSEUDO)
    noise[1] += 1.0
    shifted = False
    if noise[1] > SETTLED:
        side = side_of(count, mean, noise[0])
        former = level * (places[FORMER, kind] + PSEUDO) / (places[FORMER + 1, kind] + PSEUDO)
        back = side != 0.0 and places[SINCE, kind] < KNOWN and side_of(count, former, noise[0]) == 0.0
        shifted = moved(places, sums, kind, total, weight, side, back, True)
    if noise[1] > FIRST and not shifted and not doubted(places, kind):
        ratio = (count - mean) ** 2 / (mean + 0.5)
        if noise[1] > SETTLED:
            noise[0] += RATE * (min(ratio, MOST * max(noise[0], 1.0)) - noise[0])
        else:
            noise[0] += (ratio - noise[0]) / (noise[1] - FIRST)
    return shifted
