"""How far a run is: a bar in a notebook's output or on a terminal, nothing elsewhere."""

from __future__ import annotations

import html
import sys
from collections.abc import Mapping
from typing import Any, Protocol, Self

PHASES = ("read", "clean", "fit", "publish")
"""Parts of a run, in order; a run lists those that it has finished."""


class Bar(Protocol):
    """Shows the run as it was last seen; a context, so that it is put away in the end."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, run: Mapping[str, Any]) -> None:
        """Look at it again."""


def make_bar(*, wanted: bool) -> Bar:
    """A bar for where this runs."""
    if wanted and in_notebook():
        return NotebookBar()
    if wanted and sys.stderr.isatty():
        return TerminalBar()
    return NoBar()


def in_notebook() -> bool:
    """Whether outputs are shown by a Jupyter front end."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def told(run: Mapping[str, Any]) -> tuple[int, str]:
    """Phases done, and a text on what is going on."""
    if run["status"] in ("succeeded", "failed"):
        return len(PHASES), f"{run['status']}: {run['reason']}"
    done = min(len(run["phases"]), len(PHASES) - 1)
    return done, "queued" if run["status"] == "queued" else PHASES[done]


class NoBar:
    """Nobody looks."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, run: Mapping[str, Any]) -> None:
        """Nothing is shown."""


class TerminalBar(NoBar):
    """A line on standard error that vanishes in the end."""

    def __enter__(self) -> Self:
        from rich.console import Console  # noqa: PLC0415 - only on terminals
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("queued", total=len(PHASES))
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, run: Mapping[str, Any]) -> None:
        """Move the bar."""
        done, text = told(run)
        self._bar.update(self._task, completed=done, description=text)


class NotebookBar(NoBar):
    """A display that is updated in place, with its text for where HTML is not shown."""

    def __enter__(self) -> Self:
        from IPython.display import display  # noqa: PLC0415 - only in notebooks

        shown = _mime(0, "queued")
        self._handle = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        return self

    def show(self, run: Mapping[str, Any]) -> None:
        """Replace what is displayed."""
        self._handle.update(_mime(*told(run)), raw=True)


def _mime(done: int, text: str) -> dict[str, str]:
    bar = f'<progress value="{done}" max="{len(PHASES)}"></progress> {html.escape(text)}'
    return {"text/html": bar, "text/plain": f"[{done}/{len(PHASES)}] {text}"}
