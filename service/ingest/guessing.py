"""What the columns of a file may be, by names and contents, for a person to confirm: exports have their own words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from models.times import times_from_texts
from service.store.uploads import Kind

LOOKED_AT = 200
"""Texts of a column that are looked at."""
WORDS: dict[str, tuple[str, ...]] = {
    "entity_id": ("entity_id", "entity", "case_id", "lead_id", "deal_id", "booking_id", "application_id", "id"),
    "stage": ("stage", "status", "phase", "step", "state", "activity", "event"),
    "ts": ("ts", "timestamp", "time", "datetime", "date", "reached_at", "occurred_at", "changed_at", "at"),
    "ds": ("ds", "date", "day", "week"),
    "y": ("y", "count", "counts", "number", "n", "visits", "total"),
    "value": ("value", "amount", "price", "revenue"),
    "due_on": ("due_on", "due", "due_date", "expected_close", "expected_close_date", "arrival_date"),
}
"""Usual names, best first."""
WANTED: dict[Kind, tuple[str, ...]] = {
    "events": ("entity_id", "stage", "ts", "value", "due_on"),
    "counts": ("ds", "stage", "y", "value"),
}
AFFIX = re.compile(r"^(date|time|ts)[_ ]+|[_ ]+(at|on|date|time|ts|day)$", re.IGNORECASE)
"""What a column of dates has in its name beside the stage."""


def guess_columns(columns: Mapping[str, Sequence[str]], kind: Kind) -> tuple[dict[str, str], dict[str, str]]:
    """Our names to the file's, and of a table with one row per entity the stages to the columns of their dates.

    Guesses only: what is missing is left out. Stages come in the order of how many entities reach them.
    """
    mapping: dict[str, str] = {}
    for ours in WANTED[kind]:
        free = [name for name in columns if name not in mapping.values()]
        found = by_name(ours, free) or (by_content(ours, {name: columns[name] for name in free}))
        if found is not None:
            mapping[ours] = found
    wide: dict[str, str] = {}
    if kind == "events" and "stage" not in mapping and "entity_id" in mapping:
        mapping.pop("ts", None)
        dates = [name for name in columns if name not in mapping.values() and holds_times(columns[name])]
        fullest = sorted(dates, key=lambda name: -sum(bool(text.strip()) for text in columns[name]))
        wide = {stage_of(name): name for name in fullest}
        wide = wide if len(wide) == len(dates) > 1 else {}
    return mapping, wide


def by_name(ours: str, names: Sequence[str]) -> str | None:
    """The first of these names that is usual for our column."""
    plain = {re.sub(r"\W+", "_", name.strip().casefold()): name for name in reversed(names)}
    usual = next((plain[word] for word in WORDS[ours] if word in plain), None)
    if usual is None and ours == "entity_id":
        usual = next((name for word, name in reversed(plain.items()) if word.endswith("id")), None)
    return usual


def by_content(ours: str, columns: Mapping[str, Sequence[str]]) -> str | None:
    """The only column that can be our time; other columns are not told by what they hold."""
    if ours not in ("ts", "ds"):
        return None
    able = [name for name, texts in columns.items() if holds_times(texts)]
    return able[0] if len(able) == 1 else None


def holds_times(texts: Sequence[str]) -> bool:
    """Whether all that is written there are days or instants."""
    given = [text.strip() for text in texts[:LOOKED_AT] if text.strip()]
    return bool(given) and bool(times_from_texts(given).readable.all())


def stage_of(column: str) -> str:
    """The stage that a column of dates speaks of: closed_on -> closed."""
    return AFFIX.sub("", column.strip()) or column.strip()
