"""How long the backtest of each real case takes: cutoffs as in its case.json, rows read from the file."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Bar, Result

MOST = 60.0
"""Seconds, the process's start and reading included."""


def case_folders() -> list[Path]:
    """Folders with a case.json below NEARCAST_CASES; none when that is not set."""
    given = os.environ.get("NEARCAST_CASES")
    return sorted(file.parent for file in Path(given).glob("*/case.json")) if given else []


def run() -> Result:
    """Every case once, each in a process of its own, as from the command line."""
    rows = [timed(case) for case in case_folders()]
    slowest = max((float(row["s"]) for row in rows), default=0.0)
    return Result(
        name="cases",
        question="nearcast backtest --case, seconds",
        rows=tuple(rows) or ({"case": "none", "s": "-"},),
        bars=(Bar("slowest, s", slowest, at_most=MOST),) if rows else (),
        notes=() if rows else ("skipped: NEARCAST_CASES names no directory with cases",),
    )


def timed(case: Path) -> dict[str, str | float]:
    """One line of the table."""
    with tempfile.TemporaryDirectory(prefix="nearcast-bench-") as folder:
        out = Path(folder) / "forecasts.csv"
        command = [str(Path(sys.executable).with_name("nearcast")), "backtest", "--case", str(case), "--out", str(out)]
        environment = {name: value for name, value in os.environ.items() if name != "NEARCAST_CASES"}
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        seconds = time.perf_counter() - start
        return {"case": case.name, "s": seconds, "forecasts of a step": float(out.read_bytes().count(b"\n") - 1)}
