"""How late rows come, over the uploads that a page lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from service.ingest.options import AGES


def late_by_age(uploads: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, float]]:
    """Age, rows and share, youngest first; empty without any."""
    ages: Counter[str] = Counter()
    for upload in uploads:
        ages.update(upload.get("ages") or {})
    total = ages.total()
    return [(text, ages[age], ages[age] / total) for age, (_, text) in AGES.items()] if total else []
