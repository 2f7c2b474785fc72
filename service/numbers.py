"""Numbers for JSON, which has none that are not finite."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any


def number(value: Any) -> float | None:
    """A finite number, or None: JSON has no NaN."""
    return float(value) if value is not None and math.isfinite(value) else None


def json_numbers(record: Any) -> dict[str, Any]:
    """A flat dataclass as JSON: what is not a finite number is null."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: number(value) if isinstance(value, float) else value for name, value in values.items()}
