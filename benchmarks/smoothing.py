"""Fit and forecast of many daily series, beside statsforecast's AutoETS on a sample of them."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from benchmarks.peers import PEERS, peer_python
from benchmarks.report import Bar, Result, spread
from models.calibration import SeriesForecasts, forecast_series

Array = npt.NDArray[np.float64]
SERIES, DAYS, HORIZON = 10_000, 365, 28
SAMPLE, JOBS, SEASON = 60, 2, 7
BLOCK = 100
"""Series a call."""
ROUNDS = 3
LEAST_RATIO = 300.0


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds for so many series, and the means, (series, horizon)."""

    seconds: float
    means: Array

    @property
    def rate(self) -> float:
        """Series a second."""
        return len(self.means) / self.seconds


def run(*, series: int = SERIES, sample: int = SAMPLE, rounds: int = ROUNDS) -> Result:
    """Ours on all series and AutoETS on a sample, in turn; series/s of each, and how near the forecasts are."""
    counts = make_series(series, generator=np.random.default_rng(1))
    history, actual = counts[:, :DAYS], counts[:, DAYS:]
    peer = peer_python()
    ours_timed(history[:64])
    ours: list[Timed] = []
    theirs: list[Timed] = []
    for _ in range(rounds):
        theirs.append(peer_timed(peer, history[:sample]))
        ours.append(ours_timed(history))
    ratios = [one.rate / other.rate for one, other in zip(ours, theirs, strict=True)]
    rows = (
        row("nearcast", ours, actual=actual, sample=sample),
        row(f"{PEERS[0]} AutoETS, n_jobs={JOBS}", theirs, actual=actual, sample=sample),
    )
    return Result(
        name="smoothing",
        question=f"fit and forecast of daily series of {DAYS} days, {HORIZON} steps, 11 quantiles; {rounds} rounds",
        rows=rows,
        bars=(Bar("times the peer's series/s", median(ratios), at_least=LEAST_RATIO),),
        notes=(
            f"that ratio by round: {spread(ratios)}",
            "compiling, and starting the peer's interpreter, are not counted on either side",
        ),
    )


def forecast_all(history: Array) -> tuple[Array, Array]:
    """Means (series, HORIZON) and quantiles (series, HORIZON, 11) of all series: what is measured of ours.

    With the rolling-origin backtest by which experts are weighted and intervals calibrated; in blocks,
    which the engine's workers get too, on as many threads as the peer has processes.
    """
    day_types = np.arange(DAYS + HORIZON) % SEASON
    blocks = [history[first : first + BLOCK] for first in range(0, len(history), BLOCK)]

    def forecast_block(block: Array) -> SeriesForecasts:
        return forecast_series(block, day_types, start_day=0, horizon=HORIZON, season_length=SEASON)

    with ThreadPoolExecutor(JOBS) as pool:
        parts = list(pool.map(forecast_block, blocks))
    return np.concatenate([part.mean for part in parts]), np.concatenate([part.quantiles for part in parts])


def ours_timed(history: Array) -> Timed:
    """One fit and forecast by us."""
    start = time.perf_counter()
    means, quantiles = forecast_all(history)
    seconds = time.perf_counter() - start
    if quantiles.shape != (len(history), HORIZON, 11) or not np.isfinite(quantiles).all():
        raise RuntimeError(f"not a forecast of all series: {quantiles.shape}")
    return Timed(seconds, means)


def peer_timed(python: Path, history: Array) -> Timed:
    """The same by AutoETS, in its own environment."""
    with tempfile.TemporaryDirectory(prefix="nearcast-bench-") as folder:
        file = Path(folder) / "sample.npy"
        np.save(file, history)
        script = Path(__file__).with_name("autoets_peer.py")
        command = [str(python), str(script), str(file), str(HORIZON), str(JOBS)]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return Timed(answer["seconds"], np.array(answer["means"]))


def row(name: str, timed: list[Timed], *, actual: Array, sample: int) -> dict[str, str | float]:
    """One line of the table; the error is over the sample, which both have forecast."""
    error = np.abs(timed[0].means[:sample] - actual[:sample]).sum() / actual[:sample].sum()
    return {
        "by": name,
        "series": float(len(timed[0].means)),
        "s": spread([one.seconds for one in timed]),
        "series/s": spread([one.rate for one in timed]),
        "wMAPE of the sample": float(error),
    }


def make_series(series: int, *, generator: np.random.Generator, days: int = DAYS + HORIZON) -> Array:
    """Daily counts with a weekly pattern, a wandering level and more than Poisson noise, (series, days)."""
    level = np.exp(generator.normal(3.5, 1.0, (series, 1)))
    wander = np.cumsum(generator.normal(0.0, 0.02, (series, days)), axis=1)
    week = np.exp(generator.normal(0.0, 0.3, (series, 7)))[:, np.arange(days) % 7]
    mean = level * np.exp(wander) * week
    return generator.poisson(mean * generator.gamma(20.0, 1 / 20.0, mean.shape)).astype(np.float64)
