"""Texts that people write in options and query strings, read the same way in both."""

from __future__ import annotations

from datetime import date, datetime

from models.errors import InputError, Problem


def names_from_text(text: str | None) -> tuple[str, ...] | None:
    """Names from `a,b,c`; None when nothing was said."""
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def instant_from_text(text: str, *, field: str) -> datetime:
    """An instant with its zone from ISO 8601; a `+` that a query string turned into a space is put back.

    Raises InputError naming `field`.
    """
    stripped = text.strip()
    try:
        instant = datetime.fromisoformat(stripped.replace(" ", "+") if "T" in stripped else stripped)
        if instant.tzinfo is not None:
            return instant
    except ValueError:
        pass
    remedy = "write an instant with its zone, such as 2026-02-01T00:00Z"
    raise InputError(Problem("not an instant with a time zone", field=field, remedy=remedy))


def day_from_text(text: str, *, field: str) -> date:
    """A day from YYYY-MM-DD. Raises InputError naming `field`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(Problem(f"{text[:40]!r} is not a day", field=field, remedy="write YYYY-MM-DD")) from None
