"""Run in the peers' environment: statsforecast's AutoETS on a sample of series; prints its seconds as JSON.

Usage: autoets_peer.py SAMPLE.npy HORIZON JOBS, where SAMPLE holds counts, (series, days).
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pandas as pd
from statsforecast import StatsForecast
from statsforecast.models import AutoETS

LEVELS = [20, 40, 60, 80, 95]
"""With the mean these are the quantiles 0.025, 0.1 .. 0.9, 0.975: 11 of them, the median being the mean."""


def main() -> None:
    """Warm up on the first series, then time fit and forecast of all."""
    counts, horizon, jobs = np.load(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    seconds_of(counts[:jobs], horizon=horizon, jobs=jobs)
    seconds, forecasts = seconds_of(counts, horizon=horizon, jobs=jobs)
    mean = forecasts["AutoETS"].to_numpy().reshape(len(counts), horizon)
    print(json.dumps({"seconds": seconds, "series": len(counts), "means": mean.tolist()}))


def seconds_of(counts: np.ndarray, *, horizon: int, jobs: int) -> tuple[float, pd.DataFrame]:
    """Wall-clock seconds of fit and forecast, and the forecast."""
    series, days = counts.shape
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(series), days),
            "ds": np.tile(pd.date_range("2024-01-01", periods=days), series),
            "y": counts.ravel(),
        }
    )
    start = time.perf_counter()
    engine = StatsForecast(models=[AutoETS(season_length=7)], freq="D", n_jobs=jobs)
    forecasts = engine.forecast(df=frame, h=horizon, level=LEVELS)
    return time.perf_counter() - start, forecasts.sort_values(["unique_id", "ds"])


if __name__ == "__main__":
    main()
