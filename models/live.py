"""What came of the forecasts that were published: live coverage and loss, their stability, and days outside intervals.

Each version leaves one forecast a block of steps waiting for its actual, and the step wanders through the block from
version to version; running sums take up what has arrived. So a version costs the same however long the past is, and an
actual is read once, as first known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.alerts import NEAR, bounds_of, likely, look
from models.forecast import QUANTILES, Forecast
from models.metrics import quantile_loss
from models.state import pack, unpack

Array = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]
Series = tuple[str, str]

BLOCKS: tuple[tuple[int, int], ...] = ((1, 7), (8, 14), (15, 28), (29, 56))
"""First and last step of each block, as in `models.skill.RELIABILITY`."""
PER_BLOCK = 7
"""At most so many versions issue into a block while its width passes: blocks wait for about as many actuals each."""
MEASURES: tuple[str, ...] = ("n", "actual", "loss", "error", "covered80", "covered95")
"""Sums over the actuals of a block, as `models.skill.MEASURES`."""
HALF_LIFE = 14.0
"""Of the recent loss in the first block, actuals."""
DRIFT = 1.5
"""A recent live loss of so many times the backtest's is a drift, once it is that of DRIFT_LEAST actuals."""
DRIFT_LEAST = 14
FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """Scores of n series, and what waits to be scored. Periods are absolute numbers.

    cutoff: of the version before. sums: (n, blocks, len(MEASURES)). recent: (n, 3), faded number of actuals, actuals
    and loss in the first block. revised: (n, blocks, 2), absolute changes of the mean from version to version for the
    same target, and the means changed. looked: (n, 2), actuals looked at for alerts and those outside. alerts: (a, 5),
    row, period, actual, lower and upper bound. backtest: (n,), the backtest's WQL in the first block.

    issued, targets, blocks: (p,), of what waits; waiting: (n, p, len(QUANTILES) + 1), its quantiles and mean.
    latest: (n, horizon), means of the version before; bounds: (n, NEAR, 2), its interval.
    """

    series: tuple[Series, ...]
    cutoff: int
    sums: Array
    recent: Array
    revised: Array
    looked: Array
    alerts: Array
    backtest: Array
    issued: Days
    targets: Days
    blocks: Days
    waiting: Array
    latest: Array
    bounds: Array


def make_live(series: Sequence[Series], *, horizon: int) -> Live:
    """Before the first version."""
    n, blocks = len(series), len(BLOCKS)
    none = np.zeros(0, dtype=np.int64)
    return Live(
        series=tuple(series),
        cutoff=-1,
        sums=np.zeros((n, blocks, len(MEASURES))),
        recent=np.zeros((n, 3)),
        revised=np.zeros((n, blocks, 2)),
        looked=np.zeros((n, 2)),
        alerts=np.zeros((0, 5)),
        backtest=np.full(n, np.nan),
        issued=none,
        targets=none,
        blocks=none,
        waiting=np.zeros((n, 0, len(QUANTILES) + 1)),
        latest=np.full((n, horizon), np.nan),
        bounds=np.full((n, NEAR, 2), np.nan),
    )


def advance(
    before: Live | None,
    forecasts: Sequence[Forecast],
    counts: Array,
    *,
    start: int,
    backtest: Array,
    told: Array | None = None,
) -> Live:
    """Score what was published against the actuals that have arrived, and remember what is published now.

    Parameters
    ----------
    forecasts
        About to be published, one a series.
    counts
        (n, periods) of the same series, NaN where missing; only periods after the cutoff before are read, those that
        wait to be scored, and young ones.
    start
        Number of the first of these periods.
    backtest
        (n,), see `Live`.
    told
        (n, young periods), share of the last counts that is known, where that is habitually not all: they wait to be
        scored until they are complete, and are looked at for alerts as what they are likely to be, if half is known.
    """
    series = tuple((forecast.segment, forecast.stage) for forecast in forecasts)
    horizon = max(forecast.horizon for forecast in forecasts)
    mean = np.array([forecast.mean for forecast in forecasts])
    cutoff = start + counts.shape[1] - 1
    if before is None or cutoff < before.cutoff:  # an earlier cutoff than before: another history
        live = make_live(series, horizon=horizon)
    else:
        live = _aligned(before, series)
        settled = counts if told is None else counts[:, : counts.shape[1] - told.shape[1]]
        live = _revised(_alerted(_scored(live, settled, start), likely(counts, told), start), mean, cutoff)
    live = replace(live, backtest=backtest, latest=mean, bounds=bounds_of(forecasts))
    return _issue(live, forecasts, cutoff) if cutoff > live.cutoff else live


def _aligned(live: Live, series: tuple[Series, ...]) -> Live:
    """The same for these series in this order; of new ones nothing is known."""
    if series == live.series:
        return live
    places = {name: row for row, name in enumerate(live.series)}
    old = np.array([places.get(name, -1) for name in series])
    fresh = make_live(series, horizon=live.latest.shape[1])
    fresh = replace(fresh, waiting=np.full((len(series), *live.waiting.shape[1:]), np.nan))
    moved = {}
    for name in ("sums", "recent", "revised", "looked", "backtest", "waiting", "latest", "bounds"):
        values = getattr(fresh, name)
        values[old >= 0] = getattr(live, name)[old[old >= 0]]
        moved[name] = values
    rows = {row: place for place, row in enumerate(old.tolist()) if row >= 0}
    kept = live.alerts[np.isin(live.alerts[:, 0], list(rows))]
    kept[:, 0] = [rows[int(row)] for row in kept[:, 0]]
    return replace(live, series=series, alerts=kept, **moved)


def _scored(live: Live, counts: Array, start: int) -> Live:
    """What has arrived goes into the sums; a target that was missing is not waited for any longer."""
    sums, recent = live.sums.copy(), live.recent.copy()
    arrived = live.targets < start + counts.shape[1]
    for place in np.flatnonzero(arrived & (live.targets >= start)):
        y, made, block = counts[:, live.targets[place] - start], live.waiting[:, place], live.blocks[place]
        known = np.isfinite(y) & np.isfinite(made[:, -1])
        actual, quantiles, mean = y[known], made[known, :-1], made[known, -1]
        loss = quantile_loss(actual, quantiles)
        inside = [(actual >= quantiles[:, low]) & (actual <= quantiles[:, high]) for low, high in ((1, -2), (0, -1))]
        sums[known, block] += np.stack([np.ones_like(actual), actual, loss, mean - actual, *inside], axis=1)
        if block == 0:
            recent[known] *= 0.5 ** (1 / HALF_LIFE)
            recent[known] += np.stack([np.ones_like(actual), actual, loss], axis=1)
    left = ~arrived
    return replace(
        live,
        sums=sums,
        recent=recent,
        issued=live.issued[left],
        targets=live.targets[left],
        blocks=live.blocks[left],
        waiting=live.waiting[:, left],
    )


def _alerted(live: Live, counts: Array, start: int) -> Live:
    alerts, looked = look(live.alerts, live.bounds, counts, start=start, since=live.cutoff)
    return replace(live, looked=live.looked + looked, alerts=alerts)


def _revised(live: Live, mean: Array, cutoff: int) -> Live:
    """How much the forecast of the same period has changed since the version before."""
    shift = cutoff - live.cutoff
    old, new = live.latest[:, shift:], mean[:, : max(live.latest.shape[1] - shift, 0)]
    steps = min(old.shape[1], new.shape[1])
    old, new = old[:, :steps], new[:, :steps]
    change = np.where(np.isfinite(old), np.abs(new - old), 0.0)
    expected = np.where(np.isfinite(old), 0.5 * (np.abs(new) + np.abs(old)), 0.0)
    revised = live.revised.copy()
    for block, (first, last) in enumerate(BLOCKS):
        revised[:, block, 0] += change[:, first - 1 : last].sum(axis=1)
        revised[:, block, 1] += expected[:, first - 1 : last].sum(axis=1)
    return replace(live, revised=revised)


def _issue(live: Live, forecasts: Sequence[Forecast], cutoff: int) -> Live:
    """One forecast a block waits for its actual."""
    chosen = steps_issued(cutoff, horizon=min(forecast.horizon for forecast in forecasts))
    blocks = np.array([block for block, _ in chosen], dtype=np.int64)
    index = np.array([step - 1 for _, step in chosen], dtype=np.int64)
    fresh = np.array([np.column_stack([each.quantiles[index], each.mean[index]]) for each in forecasts])
    return replace(
        live,
        cutoff=cutoff,
        issued=np.concatenate([live.issued, np.full(len(chosen), cutoff)]),
        targets=np.concatenate([live.targets, cutoff + index + 1]),
        blocks=np.concatenate([live.blocks, blocks]),
        waiting=np.concatenate([live.waiting, fresh.reshape(len(forecasts), len(chosen), -1)], axis=1),
    )


def steps_issued(cutoff: int, *, horizon: int) -> list[tuple[int, int]]:
    """(block, step) of the forecasts of this cutoff that are scored: in turn each step of a block, and each weekday."""
    chosen = []
    for block, (first, last) in enumerate(BLOCKS):
        width = min(last, horizon) - first + 1
        stride = max(1, (last - first + 1) // PER_BLOCK)
        if width > 0 and cutoff % stride == 0:
            chosen.append((block, first + cutoff // stride % width))
    return chosen


def first_scored(cutoff: int, *, horizon: int) -> list[int | None]:
    """By block, the first period whose actual will be scored when a version is published each period from `cutoff` on.

    None for a block past the horizon. Versions before may have left some waiting that come earlier.
    """
    first: list[int | None] = [None] * len(BLOCKS)
    for later in range(cutoff, cutoff + horizon):
        for block, step in steps_issued(later, horizon=horizon):
            known = first[block]
            first[block] = later + step if known is None else min(known, later + step)
    return first


def bytes_from_live(live: Live) -> bytes:
    """As bytes; what waits in single precision, half the size and exact for what is compared."""
    facts = {"format": FORMAT, "series": [list(name) for name in live.series], "cutoff": live.cutoff}
    arrays: dict[str, Any] = {name: getattr(live, name) for name in Live.__slots__ if name not in ("series", "cutoff")}
    small = {name: arrays[name].astype(np.float32) for name in ("waiting", "latest", "bounds")}
    return pack(facts, arrays | small)


def live_from_bytes(payload: bytes) -> Live | None:
    """Inverse of `bytes_from_live`; None when it is of another format.

    Raises DamagedPayloadError unless every byte is as it was written.
    """
    facts, stored = unpack(payload)
    if facts["format"] != FORMAT:
        return None
    arrays: dict[str, Any] = {
        name: values.astype(np.float64 if values.dtype.kind == "f" else np.int64) for name, values in stored.items()
    }
    return Live(series=tuple((a, b) for a, b in facts["series"]), cutoff=facts["cutoff"], **arrays)


def views_from_live(live: Live) -> dict[str, Array]:
    """What is shown of it: arrays by name, with rows in the order of the series.

    Alerts are (a, 5): row of the series, periods before the cutoff, actual, lower and upper bound.
    """
    alerts = live.alerts.copy()
    alerts[:, 1] = live.cutoff - alerts[:, 1]
    return {
        "live_sums": live.sums,
        "live_revised": live.revised,
        "live_drift": np.column_stack([live.recent, live.backtest]),
        "live_looked": live.looked,
        "live_alerts": alerts,
    }


def drift_ratio(sums: Array, drift: Array) -> Array:
    """Recent live loss over the backtest's, (n,), in the first block; NaN with fewer than DRIFT_LEAST actuals.

    `drift` is (n, 4): `Live.recent` and `Live.backtest`.
    """
    _, actual, loss, backtest = drift.T
    usable = (actual > 0) & (backtest > 0) & (sums[:, 0, 0] >= DRIFT_LEAST)
    ratio = np.full(len(drift), np.nan)
    np.divide(loss, actual * backtest, out=ratio, where=usable)
    return ratio
