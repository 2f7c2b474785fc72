"""What the command line writes: tables for people, JSON for programs, progress only when it takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import orjson

from models.errors import NearcastError
from service.problems import ProblemError, document_from_problem, problem_from_error
from service.store.errors import StoreError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE = 2.0
"""Seconds before a progress bar appears."""
WIDE = 160
"""Columns of a table that nobody looks at on a terminal."""
FOLDED = 16
"""Columns that the last cell of a row is left at least, however wide the others are."""


def print_json(document: Any) -> None:
    """`document` as JSON on standard output."""
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    sys.stdout.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Plain lines on standard output; nothing in them is markup."""
    for line in lines:
        sys.stdout.write(printable(line) + "\n")
    sys.stdout.flush()


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on standard output; numbers stand right, the first columns that are names stand left.

    Every column but the last is as wide as its longest cell; the last one folds.
    """
    from rich.cells import cell_len  # noqa: PLC0415 - slow to import, and `serve` prints no tables
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=Text(title), title_justify="left", box=None, header_style="bold", pad_edge=False)
    listed = [[printable(cell) for cell in row] for row in rows]
    for index, column in enumerate(columns):
        numeric = bool(listed) and all(looks_numeric(row[index]) for row in listed)
        longest, last = max(cell_len(row[index]) for row in [columns, *listed]), index == len(columns) - 1
        table.add_column(
            Text(column),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=not last,
            min_width=min(longest, FOLDED) if last else longest,
        )
    for row in listed:
        table.add_row(*map(Text, row))
    console = Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=WIDE, soft_wrap=True)
    console.print(table)


def print_problem(error: ProblemError, *, as_json: bool) -> None:
    """What is wrong and what to do, on standard error."""
    if as_json:
        sys.stderr.buffer.write(orjson.dumps(document_from_problem(error), option=orjson.OPT_APPEND_NEWLINE))
        sys.stderr.flush()
        return
    document = document_from_problem(error)
    lines = [f"nearcast: {document['detail']}"]
    if len(error.errors) > 1:
        lines += [f"  {place}" for place in error.errors]
    for row in document.get("error_growth", ()):
        lines.append("  " + growth_line(row))
    sys.stderr.write("".join(printable(line) + "\n" for line in lines))


def problem_in_full(error: NearcastError) -> ProblemError:
    """What is told of an error to whoever runs the store: also what its driver says."""
    problem = problem_from_error(error)
    if isinstance(error, StoreError):
        problem.detail = error.in_full()
    return problem


def growth_line(row: Mapping[str, Any]) -> str:
    """One line of measured error: `won, steps 8-14: wMAPE 31%`."""
    error = "not measured" if row["wmape"] is None else f"wMAPE {row['wmape']:.0%}"
    skill = "" if row["skill"] is None else f", skill {row['skill']:+.2f} against seasonal naive"
    return f"{row['stage']}, steps {row['steps']}: {error}{skill}"


def printable(text: str) -> str:
    """`text` as the terminal's encoding can show it, without control characters."""
    encoding = sys.stdout.encoding or "utf-8"
    sound = "".join(character if character.isprintable() or character == " " else "?" for character in text)
    return sound.encode(encoding, "replace").decode(encoding)


def looks_numeric(text: str) -> bool:
    """Whether a cell is a number, a range of numbers, a percent or empty."""
    return not text or text.strip("+-.,%0123456789 …") == ""


class LateProgress:
    """A progress bar on standard error that appears when the work takes longer than PATIENCE, on terminals only.

    Call it as `progress(phase, done, total)`; a `total` of None is not known.
    """

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, phase: str, done: float = 0, total: float | None = None) -> None:
        """Note where the work is."""
        if self._bar is None:
            if not sys.stderr.isatty() or time.monotonic() - self._started < PATIENCE:
                return
            self._bar = make_bar()
            self._bar.start()
        if self._task is None:
            self._task = self._bar.add_task(phase, total=total, amount="")
        amount = f"{done:,.0f}" if total is None else f"{done:,.0f} of {total:,.0f}"
        self._bar.update(self._task, description=phase, completed=done, total=total, amount=amount)


def make_bar() -> Progress:
    """A bar on standard error that vanishes when the work is done."""
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[amount]}"), TimeElapsedColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True)
