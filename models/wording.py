"""Sentences about a number of things, right for one of them as well."""

from __future__ import annotations

import re
from typing import Any

_EITHER = re.compile(r"\[([^\[\]|]*)\|([^\[\]|]*)\]")


def worded(text: str, count: int, **values: Any) -> str:
    """`{count} [row was|rows were] late` with the first of each pair for a count of 1, else the second.

    `values` fill the other braces, and are taken as they are.
    """
    chosen = _EITHER.sub(lambda found: found[1 if count == 1 else 2], text)
    return chosen.format(count=count, **values)
