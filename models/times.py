"""Times as people write them: ISO 8601 text to microseconds since the epoch, a column at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SECOND = 1_000_000
DAY = 86_400 * SECOND
"""Microseconds."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST = 40
"""No time is written in more characters."""

_BODIES = (10, 16, 19, *range(21, 30))
_SUFFIXES = {"": 0, "Z": 1, "+HH": 3, " UTC": 4, "+HHMM": 5, "+HH:MM": 6}


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """What a column of texts says.

    local
        int64 (n,), microseconds since 1970-01-01 00:00 on the clock that the text was written by.
    offset
        int64 (n,), microseconds that this clock is ahead of UTC; 0 where no zone is written.
    readable, zoned
        bool (n,); empty texts are not readable.
    """

    local: Ints
    offset: Ints
    readable: Mask
    zoned: Mask


def times_from_texts(texts: Sequence[str]) -> Times:
    """Read year-first dates and times, with or without a zone: `2024-03-01`, `2024-03-01 09:30:00.5+01:00`.

    Fractions finer than a microsecond are cut off. Anything else, also a day that does not exist, is
    marked as not readable; nothing is guessed.
    """
    size = len(texts)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=size)
    if (lengths > LONGEST).any():
        texts = [text if len(text) <= LONGEST else "" for text in texts]
    try:
        raw = np.array(texts, dtype=f"S{LONGEST}")
    except UnicodeEncodeError:
        raw = np.array([text if text.isascii() else "" for text in texts], dtype=f"S{LONGEST}")
    characters = raw.view(np.uint8).reshape(size, LONGEST)
    times = Times(
        np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64), np.zeros(size, bool), np.zeros(size, bool)
    )
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        whole = len(rows) == size
        _read_length(characters if whole else characters[rows], int(length), rows, into=times)
    return times


def _read_length(characters: npt.NDArray[np.uint8], length: int, rows: Ints, *, into: Times) -> None:
    """Read texts of one length, by each ending that leaves a body of a known layout."""
    for suffix, width in _SUFFIXES.items():
        body = length - width
        if body not in _BODIES or (suffix and body < 16):
            continue
        matches, offset = _read_suffix(characters[:, body:length], suffix)
        if not matches.any():
            continue
        local, readable = _read_body(characters, body)
        fits = matches & readable
        chosen = rows[fits]
        into.local[chosen] = local[fits]
        into.offset[chosen] = offset[fits]
        into.readable[chosen] = True
        into.zoned[chosen] = bool(suffix)


def _read_suffix(characters: npt.NDArray[np.uint8], suffix: str) -> tuple[Mask, Ints]:
    """Where the ending has this form, and the offset it states in microseconds."""
    offset = np.zeros(len(characters), dtype=np.int64)
    if not suffix.startswith("+"):
        if suffix == "Z":
            return (characters[:, 0] | 32) == ord("z"), offset
        return (characters == np.frombuffer(suffix.encode(), dtype=np.uint8)).all(axis=1), offset
    sign = characters[:, 0]
    fits = (sign == ord("+")) | (sign == ord("-"))
    hours, good = _number(characters, 1, 3)
    fits &= good & (hours <= 14)
    offset = hours * 3600 * SECOND
    if len(suffix) > 3:
        if ":" in suffix:
            fits &= characters[:, 3] == ord(":")
        minutes, good = _number(characters, len(suffix) - 2, len(suffix))
        fits &= good & (minutes < 60)
        offset += minutes * 60 * SECOND
    return fits, np.where(sign == ord("-"), -offset, offset)


def _read_body(characters: npt.NDArray[np.uint8], length: int) -> tuple[Ints, Mask]:
    """`YYYY-MM-DD[ HH:MM[:SS[.ffffff]]]` to microseconds, and where it is one."""
    year, good = _number(characters, 0, 4)
    month, good_month = _number(characters, 5, 7)
    day, good_day = _number(characters, 8, 10)
    dash = characters[:, 4]
    good &= good_month & good_day & ((dash == ord("-")) | (dash == ord("/"))) & (characters[:, 7] == dash)
    good &= (month >= 1) & (month <= 12) & (day >= 1) & (year >= 1)
    months = (year - 1970) * 12 + np.clip(month, 1, 12) - 1
    first, after = (_days_from_months(months), _days_from_months(months + 1))
    good &= day <= after - first
    local = (first + day - 1) * DAY
    if length >= 16:
        between = characters[:, 10]
        hour, good_hour = _number(characters, 11, 13)
        minute, good_minute = _number(characters, 14, 16)
        good &= ((between | 32) == ord("t")) | (between == ord(" "))
        good &= good_hour & good_minute & (hour < 24) & (minute < 60) & (characters[:, 13] == ord(":"))
        local = local + (hour * 60 + minute) * 60 * SECOND
    if length >= 19:
        second, good_second = _number(characters, 17, 19)
        good &= good_second & (second < 60) & (characters[:, 16] == ord(":"))
        local = local + second * SECOND
    if length > 19:
        digits = min(length - 20, 6)
        fraction, good_fraction = _number(characters, 20, 20 + digits)
        _, good_rest = _number(characters, 20, length)
        good &= good_fraction & good_rest & ((characters[:, 19] == ord(".")) | (characters[:, 19] == ord(",")))
        local = local + fraction * 10 ** (6 - digits)
    return local, good


def _number(characters: npt.NDArray[np.uint8], start: int, stop: int) -> tuple[Ints, Mask]:
    """Digits of columns start..stop-1 as a number, and where all of them are digits."""
    value = np.zeros(len(characters), dtype=np.int64)
    good = np.ones(len(characters), dtype=bool)
    for column in range(start, stop):
        digit = characters[:, column] - np.uint8(48)  # wraps round below "0": then above 9
        good &= digit <= 9
        value *= 10
        value += digit
    return value, good


def _days_from_months(months: Ints) -> Ints:
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def instants_from_local(local: Ints, *, timezone: str) -> tuple[Ints, Mask]:
    """Clock times of a zone to microseconds since the epoch, UTC.

    An hour that the clock repeats is read as its first pass, an hour that it skips as if the clock
    had not been moved: no instant is lost, and both are marked in the second array.
    """
    odd = np.zeros(len(local), dtype=bool)
    if timezone == "UTC" or not len(local):
        return local, odd
    zone = ZoneInfo(timezone)
    days, place = np.unique(local // DAY, return_inverse=True)
    around = [_offsets(int(day) * DAY, zone) + _offsets(int(day + 1) * DAY, zone) for day in days]
    steady = np.array([len(set(offsets)) == 1 for offsets in around])
    instants = local - np.array([offsets[0] for offsets in around], dtype=np.int64)[place]
    for row in np.flatnonzero(~steady[place]):
        first, second = _offsets(int(local[row]), zone)
        instants[row] = local[row] - first
        odd[row] = first != second
    return instants, odd


def _offsets(local: int, zone: ZoneInfo) -> tuple[int, int]:
    """Microseconds ahead of UTC at a clock time, at its first and its second pass."""
    moment = EPOCH.replace(tzinfo=None) + timedelta(microseconds=local)
    early, late = (moment.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return early // timedelta(microseconds=1), late // timedelta(microseconds=1)


def local_from_instants(instants: Ints, *, timezone: str) -> Ints:
    """Microseconds since the epoch, UTC, to the clock of a zone."""
    if timezone == "UTC" or not len(instants):
        return instants
    zone = ZoneInfo(timezone)
    days, place = np.unique(instants // DAY, return_inverse=True)
    around = [(_offset_at(int(day) * DAY, zone), _offset_at(int(day + 1) * DAY - 1, zone)) for day in days]
    offsets = np.array([first for first, _ in around], dtype=np.int64)[place]
    steady = np.array([first == last for first, last in around])
    for row in np.flatnonzero(~steady[place]):
        offsets[row] = _offset_at(int(instants[row]), zone)
    return instants + offsets


def _offset_at(instant: int, zone: ZoneInfo) -> int:
    moment = (EPOCH + timedelta(microseconds=instant)).astimezone(zone)
    return (moment.utcoffset() or timedelta()) // timedelta(microseconds=1)
