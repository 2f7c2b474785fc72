"""Numbers for JSON, which has none that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def number(value: Any) -> float | None:
    """A finite number, or None: JSON has no NaN."""
    return float(value) if value is not None and math.isfinite(value) else None


def json_numbers(record: Mapping[str, Any]) -> dict[str, Any]:
    """A flat record for JSON: what is not a finite number is null."""
    return {name: number(value) if isinstance(value, float) else value for name, value in record.items()}
