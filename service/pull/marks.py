"""Watermarks: the highest value of a column that rises as rows are written, and where the next pull goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from models.errors import InputError, Problem

Mark = int | float | Decimal | datetime | date | str
KINDS: dict[str, type] = {
    "int": int, "float": float, "decimal": Decimal, "datetime": datetime, "date": date, "text": str,
}  # fmt: skip
"""A datetime is a date as well: the more special kind stands first."""
FUTURE = timedelta(days=1)
"""How far past the present a watermark may be: one absurd date must not hide all later rows."""


EPOCHS = (1, 1_000, 1_000_000)
"""Units in which times are written as numbers since 1970: seconds, milli- and microseconds."""
SINCE = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
"""Numbers that begin later than this, in one of the units, are taken for times."""


class Highest:
    """The highest value seen of the watermark column, and the lowest.

    Parameters
    ----------
    column
        Its name, for errors.
    texts
        Whether texts are in an order that the source compares by as we do.
    """

    def __init__(self, column: str, *, texts: bool) -> None:
        self.column = column
        self.mark: Mark | None = None
        self.lowest: Mark | None = None
        self._texts = texts

    def add(self, values: Iterable[Any]) -> None:
        """Note some values; None is none. Raises InputError for what cannot be a watermark."""
        present = [value for value in values if value is not None]
        for kind in dict.fromkeys(map(type, present)):
            self._check(kind)
        try:
            self.mark = max(present if self.mark is None else [self.mark, *present], default=None)
            self.lowest = min(present if self.lowest is None else [self.lowest, *present], default=None)
        except TypeError:
            reason, remedy = "mixes kinds of values, or times with and without a zone", "make the column one kind"
            raise InputError(Problem(reason, field=self.column, remedy=remedy)) from None

    def _check(self, kind: type) -> None:
        if kind is bool or not issubclass(kind, tuple(KINDS.values())):
            reason = f"holds values of the kind {kind.__name__}, which do not rise"
        elif kind is str and not self._texts:
            reason = "holds texts, whose order is the database's own"
        else:
            return
        raise InputError(Problem(reason, field=self.column, remedy="take a time or a number that rises"))


def capped(mark: Mark | None, *, lowest: Mark | None, now: datetime) -> Mark | None:
    """A watermark no later than the present, some slack apart; of numbers those that are times, going by the lowest."""
    limit = now.astimezone(UTC) + FUTURE
    if isinstance(mark, int | float | Decimal):
        assert isinstance(lowest, int | float | Decimal)
        units = (unit for unit in EPOCHS if SINCE * unit <= lowest <= limit.timestamp() * unit)
        unit = next(units, None)
        return mark if unit is None else min(mark, type(mark)(int(limit.timestamp()) * unit))
    if isinstance(mark, datetime):
        return min(mark, limit if mark.tzinfo else limit.replace(tzinfo=None))
    if isinstance(mark, date):
        return min(mark, limit.date())
    if isinstance(mark, str) and _is_day(mark[:10]):
        return min(mark, limit.date().isoformat())
    return mark


def lowered(mark: Mark | None, *, seconds: float) -> Mark | None:
    """Where to read on from: so many seconds before, for rows that were committed late; whole days for dates."""
    if isinstance(mark, datetime):
        return mark - timedelta(seconds=seconds)
    if isinstance(mark, date):
        return mark - timedelta(days=-(-seconds // 86_400))
    return mark


def json_from_mark(mark: Mark | None) -> dict[str, str] | None:
    """JSON-ready; every digit is kept."""
    if mark is None:
        return None
    kind = next(name for name, kind in KINDS.items() if isinstance(mark, kind))
    return {"type": kind, "value": mark.isoformat() if isinstance(mark, date) else str(mark)}


def mark_from_json(found: Mapping[str, str] | None) -> Mark | None:
    """Inverse of `json_from_mark`."""
    if found is None:
        return None
    kind: Any = KINDS[found["type"]]
    read = kind.fromisoformat if kind in (datetime, date) else kind
    mark: Mark = read(found["value"])
    return mark


def mark_from_text(text: str) -> Mark | None:
    """A cell of a file: a number, else a date or time; None when empty. ValueError for anything else."""
    stripped = text.strip()
    if not stripped:
        return None
    try:
        number = Decimal(stripped)
        if number.is_finite():
            return number
    except InvalidOperation:
        pass
    return datetime.fromisoformat(stripped)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text) is not None
    except ValueError:
        return False
