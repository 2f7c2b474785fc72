"""How a process ended, in words."""

from __future__ import annotations

import signal


def description_of_exit(code: int) -> str:
    """`was killed by SIGKILL` or `ended with code 1`."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
