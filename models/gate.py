"""The gate for rows of text: checked columns come out, or problems with line and field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from models.columns import Problems, numbers_from_texts
from models.funnel import MAX_NAME, TOTAL, check_timezone
from models.records import NO_DAY, Counts, Events, Floats, Ints, Texts
from models.times import DAY, instants_from_local, local_from_instants, times_from_texts

UNKNOWN = "unknown"
"""Segment of a row whose segment is empty."""
LARGEST = 1e15
"""Numbers above it are not counts, nor money, of any funnel."""
FAR = 3653 * DAY
"""Ten years: how far after `latest` a time may lie, microseconds."""
NO_LATEST = 120 * 366 * DAY

Columns = Mapping[str, Sequence[str]]
Mask = npt.NDArray[np.bool_]


class RowGate:
    """Checks one file, chunk by chunk, and remembers what holds for the file as a whole.

    Parameters
    ----------
    timezone
        Zone in which times without one are read.
    segment_by
        Column that holds the segment; None: rows have none.
    latest
        Microseconds since the epoch; a time more than ten years later is refused. None: up to the year 2090.
    labels
        What the file calls a column, for errors, where that is not our name.

    Attributes
    ----------
    problems
        What is wrong so far; once there are problems, results are of no use.
    repairs
        How many rows were mended, by kind.
    """

    def __init__(
        self,
        *,
        timezone: str,
        segment_by: str | None,
        latest: int | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        check_timezone(timezone)
        self.timezone = timezone
        self.segment_by = segment_by
        self.latest = latest
        self.end = NO_LATEST if latest is None else latest + FAR
        self.labels = dict(labels or {})
        self.problems = Problems()
        self.repairs: Counter[str] = Counter()
        self._zoned: dict[str, tuple[bool, int]] = {}

    def events(self, columns: Columns, *, lines: Ints) -> Events:
        """Rows of texts, "" where there is nothing, to events; `lines` says where each row stands."""
        ids = self._names(columns["entity_id"], "entity_id", lines)
        stages = self._names(columns["stage"], "stage", lines)
        ts = self._instants(columns["ts"], "ts", lines)
        return Events(
            ids, stages, ts, self._value(columns, lines), self._due(columns, lines), self._segment(columns, lines)
        )

    def counts(self, columns: Columns, *, lines: Ints) -> Counts:
        """Rows of texts to counts, likewise."""
        stages = self._names(columns["stage"], "stage", lines)
        ds = self._instants(columns["ds"], "ds", lines)
        y = self._counted(columns["y"], lines)
        return Counts(ds, stages, y, self._value(columns, lines), self._segment(columns, lines))

    @property
    def naive(self) -> bool | None:
        """Whether the times bear no zone; None before the first one, or where columns differ."""
        kinds = {zoned for zoned, _ in self._zoned.values()}
        return not kinds.pop() if len(kinds) == 1 else None

    def _label(self, field: str) -> str:
        return self.labels.get(field, field)

    def _names(self, texts: Sequence[str], field: str, lines: Ints) -> Texts:
        """Trimmed names: any text that is not empty, at most MAX_NAME characters, without NUL."""
        names = list(map(str.strip, texts))
        joined = "".join(names)
        if not all(names) or max(map(len, names), default=0) > MAX_NAME or "\0" in joined or not _encodable(joined):
            for row, name in enumerate(names):
                if found := _wrong_name(name):
                    self.problems.add(found[0], line=lines[row], field=self._label(field), remedy=found[1])
        result = np.empty(len(names), dtype=object)
        result[:] = names
        return result

    def _segment(self, columns: Columns, lines: Ints) -> Texts:
        """The segment of each row; an empty one is repaired to UNKNOWN."""
        if self.segment_by is None:
            result = np.empty(len(lines), dtype=object)
            result[:] = ""
            return result
        texts = list(map(str.strip, columns[self.segment_by]))
        if missing := texts.count(""):
            self.repairs["segment_unknown"] += missing
            texts = [text or UNKNOWN for text in texts]
        names = self._names(texts, self.segment_by, lines)
        for row in np.flatnonzero(names == TOTAL):
            self.problems.add(
                f"a segment cannot be called {TOTAL!r}: that is the sum of all segments",
                line=lines[row],
                field=self._label(self.segment_by),
                remedy="rename it, or leave the rows out if they are sums",
            )
        return names

    def _instants(self, texts: Sequence[str], field: str, lines: Ints) -> Ints:
        """Times to instants; refuses what is no time, mixed clocks, and times out of reach."""
        texts = list(map(str.strip, texts))
        times, label = times_from_texts(texts), self._label(field)
        for row in np.flatnonzero(~times.readable):
            self.problems.add(
                f"{texts[row][:40]!r} is not a time" if texts[row] else "the time is empty",
                line=lines[row],
                field=label,
                remedy="write it year first, such as 2024-02-13 or 2024-02-13T09:30:00+01:00",
            )
        self._check_clock(times.zoned, times.readable, label, lines)
        near = times.readable & (times.local >= -DAY) & (times.local <= self.end + DAY)
        zoned = near & times.zoned
        naive = near & ~times.zoned
        instants = np.where(zoned, times.local - times.offset, 0)
        instants[naive], odd = instants_from_local(times.local[naive], timezone=self.timezone)
        if odd.any():
            self.repairs["clock_change"] += int(odd.sum())
        if self.latest is not None and (coming := int((instants > self.latest).sum())):
            self.repairs["in_future"] += coming
        for row in np.flatnonzero(times.readable & ~(near & (times.local >= 0) & (instants <= self.end))):
            early = times.local[row] < 0
            self.problems.add(
                f"{texts[row]!r} is before 1970" if early else f"{texts[row]!r} is too far in the future",
                line=lines[row],
                field=label,
                remedy="correct the date or leave the row out",
            )
        return instants

    def _check_clock(self, zoned: Mask, readable: Mask, label: str, lines: Ints) -> None:
        """All times of one column bear a zone, or none does."""
        rows = np.flatnonzero(readable)
        if not len(rows):
            return
        before, line = self._zoned.setdefault(label, (bool(zoned[rows[0]]), int(lines[rows[0]])))
        for row in rows[zoned[rows] != before]:
            self.problems.add(
                f"the time {'bears no' if before else 'bears a'} time zone, the one on line {line} "
                f"{'bears one' if before else 'bears none'}",
                line=lines[row],
                field=label,
                remedy="write all times of a file with a zone, or all without",
            )

    def _due(self, columns: Columns, lines: Ints) -> npt.NDArray[np.int32]:
        """Due days in the funnel's zone. A placeholder such as 1900-01-01 or 9999-12-31 is read as none."""
        due = np.full(len(lines), NO_DAY, dtype=np.int32)
        if "due_on" not in columns:
            return due
        texts = list(map(str.strip, columns["due_on"]))
        given = np.array([bool(text) for text in texts], dtype=bool)
        times = times_from_texts(texts)
        for row in np.flatnonzero(given & ~times.readable):
            self.problems.add(
                f"{texts[row][:40]!r} is not a date",
                line=lines[row],
                field=self._label("due_on"),
                remedy="write it year first, such as 2024-02-13, or leave it empty",
            )
        near = times.readable & (times.local >= 0) & (times.local <= self.end)
        local = np.where(near, times.local, 0)
        zoned = near & times.zoned
        local[zoned] = local_from_instants(local[zoned] - times.offset[zoned], timezone=self.timezone)
        if far := int((times.readable & ~near).sum()):
            self.repairs["due_on_placeholder"] += far
        due[near] = (local[near] // DAY).astype(np.int32)
        return due

    def _value(self, columns: Columns, lines: Ints) -> Floats:
        if "value" not in columns:
            return np.full(len(lines), np.nan)
        texts = list(map(str.strip, columns["value"]))
        values, good = numbers_from_texts(texts)
        for row in np.flatnonzero(~good | (np.abs(values) > LARGEST)):
            self.problems.add(
                f"{texts[row][:40]!r} is not a number",
                line=lines[row],
                field=self._label("value"),
                remedy="write it such as 1234.5, without currency or thousands marks, or leave it empty",
            )
        return values

    def _counted(self, texts: Sequence[str], lines: Ints) -> Floats:
        texts = list(map(str.strip, texts))
        values, good = numbers_from_texts(texts)
        good &= (values >= 0) & (values <= LARGEST) & (values == np.floor(values))
        for row in np.flatnonzero(~good):
            self.problems.add(
                f"{texts[row][:40]!r} is not a count" if texts[row] else "the count is empty",
                line=lines[row],
                field=self._label("y"),
                remedy="write a whole number from 0 on; leave the row out where nothing was measured",
            )
        return values


def _encodable(text: str) -> bool:
    """False for half of a surrogate pair, which no file or database can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wrong_name(name: str) -> tuple[str, str] | None:
    """What is wrong with a name, and what to do about it."""
    if not name:
        return "empty", "fill it in, or leave the row out"
    if len(name) > MAX_NAME:
        return f"{len(name)} characters long", f"{MAX_NAME} is the most; send a shorter id or name"
    if "\0" in name:
        return "contains a NUL character", "remove it"
    return None if _encodable(name) else ("contains half of a surrogate pair", "remove it: it is not text")
