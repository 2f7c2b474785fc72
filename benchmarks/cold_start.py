"""How long until the API answers, and until it is ready, beside an empty FastAPI app: processes taking turns."""

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
Start = tuple[float, float]
"""Seconds by the clock, and of computing."""


def run(*, rounds: int = ROUNDS) -> Result:
    """Spawn to first answer, for both, `rounds` times in turn; a first start of each is not counted."""
    ours: list[Start] = []
    empty: list[Start] = []
    ready: list[Start] = []
    with tempfile.TemporaryDirectory(prefix="nearcast-bench-") as folder:
        home = Path(folder)
        for _ in range(rounds + 1):
            empty.append(start(empty_command, home=home))
            ours.append(start(service_command, home=home))
            ready.append(start(service_command, home=home, until="/readyz"))
    first, ours, empty, ready = ours[0][0], ours[1:], empty[1:], ready[1:]
    above = median(clock for clock, _ in ours) - median(clock for clock, _ in empty)
    until_ready = median(clock for clock, _ in ready) - median(clock for clock, _ in empty)
    computing = median(cpu for _, cpu in ours) - median(cpu for _, cpu in empty)
    return Result(
        name="cold_start",
        question=f"spawn of the process to its first answer, median (lowest .. highest) of {rounds}",
        rows=(
            row("empty FastAPI under uvicorn", empty),
            row("nearcast serve: alive", ours),
            row("nearcast serve: ready, its store read", ready),
        ),
        bars=(Bar("seconds above the empty app", above, at_most=MOST_ABOVE_EMPTY),),
        notes=(
            f"the same of computing: {computing:.2f} s",
            f"until it is ready: {until_ready:.2f} s above",
            f"very first start, which also makes the store: {first:.2f} s",
        ),
    )


def row(name: str, starts: list[Start]) -> dict[str, str | float]:
    """One line of the table."""
    clock, cpu = zip(*starts, strict=True)
    return {"app": name, "s": spread(clock), "s of computing": spread(cpu)}


def start(command: Callable[[int], list[str]], *, home: Path, until: str = "/healthz") -> Start:
    """One start in a process of its own."""
    port = free_port()
    environment = {"NEARCAST_DATABASE_URL": f"sqlite:///{home / 'bench.db'}"}
    with running(command(port), port=port, log=home / "server.log", environment=environment, until=until) as server:
        return server.seconds, server.cpu_seconds
