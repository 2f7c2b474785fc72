"""What a benchmark says: a table for people, JSON for programs, and the machine it was seen on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TextIO

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Bar:
    """A bound that a measured figure has to keep: at least, or at most."""

    name: str
    measured: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def kept(self) -> bool:
        """Whether the figure is within its bound."""
        low = self.at_least is None or self.measured >= self.at_least
        return low and (self.at_most is None or self.measured <= self.at_most)

    def __str__(self) -> str:
        bound = f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"
        return f"{self.name}: {self.measured:.4g} ({bound}: {'kept' if self.kept else 'MISSED'})"


@dataclass(frozen=True, slots=True)
class Result:
    """Figures of one benchmark: a row per contender, the same columns in each."""

    name: str
    question: str
    rows: tuple[dict[str, str | float], ...]
    bars: tuple[Bar, ...]
    notes: tuple[str, ...] = ()

    def print(self, *, file: TextIO | None = None) -> None:
        """The table, the bars and the notes."""
        console = Console(file=file)
        console.width = max(console.width, 120)
        table = Table()
        for index, column in enumerate(self.rows[0]):
            table.add_column(column, justify="left" if index == 0 else "right")
        for row in self.rows:
            table.add_row(*(cell(value) for value in row.values()))
        console.print(f"\n[bold]{self.name}[/bold]: {self.question}", highlight=False)
        console.print(table)
        for line in (*map(str, self.bars), *self.notes):
            console.print(line, highlight=False)

    def json(self) -> dict[str, object]:
        """The same as plain data."""
        bars = [{**asdict(bar), "kept": bar.kept} for bar in self.bars]
        return {**asdict(self), "bars": bars}


def cell(value: str | float) -> str:
    """Four digits, or all that are before the point."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def spread(samples: Sequence[float]) -> str:
    """Median with the lowest and highest of the rounds."""
    return f"{cell(median(samples))} ({cell(min(samples))} .. {cell(max(samples))})"


def machine() -> dict[str, str | int | None]:
    """Where and when."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def as_json(results: Sequence[Result]) -> str:
    """All results of a run and the machine, as one JSON document."""
    return json.dumps({"machine": machine(), "results": [result.json() for result in results]}, indent=2)
