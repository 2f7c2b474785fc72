"""How long until the API answers, beside an empty FastAPI app: fresh processes, taking turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.report import Bar, Result, spread
from benchmarks.servers import empty_command, free_port, running, service_command

ROUNDS = 9
MOST_ABOVE_EMPTY = 0.8
"""Seconds."""


def run(*, rounds: int = ROUNDS) -> Result:
    """Spawn to first answer, for both, `rounds` times in turn; a first start of each is not counted."""
    ours: list[float] = []
    empty: list[float] = []
    with tempfile.TemporaryDirectory(prefix="nearcast-bench-") as folder:
        home = Path(folder)
        for _ in range(rounds + 1):
            empty.append(seconds_to_answer(empty_command, home=home))
            ours.append(seconds_to_answer(service_command, home=home))
    first, ours, empty = ours[0], ours[1:], empty[1:]
    above = median(ours) - median(empty)
    return Result(
        name="cold_start",
        question=f"spawn of the process to its first answer, s, median (lowest .. highest) of {rounds}",
        rows=(
            {"app": "empty FastAPI under uvicorn", "s": spread(empty)},
            {"app": "nearcast serve", "s": spread(ours)},
        ),
        bars=(Bar("seconds above the empty app", above, at_most=MOST_ABOVE_EMPTY),),
        notes=(f"very first start, which also makes the store: {first:.2f} s",),
    )


def seconds_to_answer(command: Callable[[int], list[str]], *, home: Path) -> float:
    """One start in a process of its own."""
    port = free_port()
    environment = {"NEARCAST_DATABASE_URL": f"sqlite:///{home / 'bench.db'}"}
    with running(command(port), port=port, log=home / "server.log", environment=environment) as server:
        return server.seconds
