"""Columns of a file or a frame as texts and numbers, and the problems found in them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.errors import InputError, Problem

if TYPE_CHECKING:
    import pandas as pd

MOST_PROBLEMS = 20
"""An error lists so many rows, no more."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_PLAIN = frozenset("0123456789+-.eE")


class Problems:
    """Collects what is wrong, one problem per line and field, up to MOST_PROBLEMS."""

    def __init__(self) -> None:
        self._found: dict[tuple[int | None, str | None], Problem] = {}

    def add(self, reason: str, *, line: Any = None, field: str | None = None, remedy: str | None = None) -> None:
        """Note a problem; those past the limit, or on a place already noted, are dropped."""
        line = None if line is None else int(line)
        if not self.full:
            self._found.setdefault((line, field), Problem(reason, line, field, remedy))

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def full(self) -> bool:
        """Whether reading on would add nothing."""
        return len(self._found) >= MOST_PROBLEMS

    def check(self) -> None:
        """Raise InputError, in the order of lines, if there is any problem."""
        if self._found:
            raise self.error()

    def error(self) -> InputError:
        """The problems, in the order of lines, as one error."""
        return InputError(sorted(self._found.values(), key=lambda problem: problem.line or 0))


def numbers_from_texts(texts: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Decimal numbers; NaN where the text is empty. The mask is False where there is no finite number.

    Stricter than float(): no underscores, no `nan`, no `inf`, no other scripts' digits.
    """
    if _PLAIN.issuperset("".join(texts)):
        try:
            values = np.array([float(text) if text else np.nan for text in texts], dtype=float)
        except ValueError:
            values = _numbers_one_by_one(texts)
    else:
        values = _numbers_one_by_one(texts)
    given = np.fromiter(map(bool, texts), dtype=bool, count=len(texts))
    return values, np.isfinite(values) | ~given


def _numbers_one_by_one(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    return np.array([float(text) if _NUMBER.fullmatch(text) else np.nan for text in texts], dtype=float)


def texts_from_series(series: pd.Series[Any]) -> list[str]:
    """A column of a frame as the texts that a file would hold; "" where it is missing.

    Numbers and times keep every digit, so that a frame and its CSV export mean the same.
    """
    import pandas as pd  # noqa: PLC0415  heavy, and only frames need it

    if isinstance(series.dtype, pd.DatetimeTZDtype):
        moments = series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        texts = np.datetime_as_string(moments, unit="us", timezone="UTC")
    elif series.dtype.kind == "M":
        texts = np.datetime_as_string(series.to_numpy(), unit="us")
    else:
        missing = series.isna().to_numpy()
        values = series.astype(object).to_numpy()
        return [
            "" if gone else value if type(value) is str else text_from_value(value)
            for value, gone in zip(values, missing, strict=True)
        ]
    return [str(text) if text != "NaT" else "" for text in texts]


def text_from_value(value: Any) -> str:
    """One value as a file would hold it; whole floats, as pandas makes of integers with gaps, lose their `.0`."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value)


def check_columns(present: Iterable[str], required: Iterable[str]) -> None:
    """Raise InputError naming each required column that is not there, and the one that may be meant."""
    present = list(present)
    problems = [missing_column(name, present) for name in required if name not in present]
    if problems:
        raise InputError(problems)


def missing_column(name: str, present: Sequence[str]) -> Problem:
    """The problem of an absent column, with the nearest name that is there."""
    listed = ", ".join(repr(column) for column in present[:20]) or "none"
    near = nearest(name, present)
    remedy = f"did you mean {near!r}? " if near else ""
    return Problem(f"there is no column {name!r}", field=name, remedy=f"{remedy}columns: {listed}")


def nearest(name: str, candidates: Sequence[str]) -> str | None:
    """The candidate whose spelling is nearest, whatever its case; None when none is near."""
    folded = {re.sub(r"[\W_]+", "", candidate.casefold()): candidate for candidate in reversed(candidates)}
    close = difflib.get_close_matches(re.sub(r"[\W_]+", "", name.casefold()), folded, n=1, cutoff=0.5)
    return folded[close[0]] if close else None
