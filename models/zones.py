"""Which time zone a source lives in, from the offsets it writes."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np

from models.times import DAY, SECOND, Times, local_from_instants

CANDIDATES = (
    "UTC", "Europe/London", "Europe/Berlin", "Europe/Athens", "Europe/Moscow", "Africa/Lagos", "Africa/Johannesburg",
    "Africa/Nairobi", "Asia/Jerusalem", "Asia/Dubai", "Asia/Karachi", "Asia/Kolkata", "Asia/Dhaka", "Asia/Bangkok",
    "Asia/Shanghai", "Asia/Tokyo", "Australia/Brisbane", "Australia/Sydney", "Australia/Adelaide", "Pacific/Auckland",
    "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles",
    "America/Anchorage", "America/Halifax", "America/St_Johns", "America/Bogota", "America/Caracas",
    "America/Sao_Paulo", "America/Santiago", "Pacific/Honolulu",
)  # fmt: skip
"""One zone for each set of clock rules that many people live by."""
END = 200 * 366 * DAY
"""Instants from here on are placeholders, microseconds since the epoch."""


class Offsets:
    """The offsets that times bear, each once a day: a whole file of them in bounded memory."""

    def __init__(self) -> None:
        self._instants: dict[tuple[int, int], int] = {}

    def add(self, times: Times) -> None:
        """Take note of times; those without a zone, and those that no funnel reaches, say nothing."""
        instants = times.local - times.offset
        rows = np.flatnonzero(times.readable & times.zoned & (instants >= 0) & (instants < END))
        found = np.stack([instants[rows] // DAY, times.offset[rows]], axis=1)
        days, first = np.unique(found, axis=0, return_index=True)
        for (day, offset), row in zip(days.tolist(), rows[first].tolist(), strict=True):
            self._instants.setdefault((day, offset), int(instants[row]))

    def infer(self) -> tuple[str, str]:
        """A zone whose clock shows all the offsets written, and a sentence about how sure that is.

        Times that bear no zone, or offsets that no candidate shows, give UTC.
        """
        if not self._instants:
            return "UTC", "the times bear no zone: taken as UTC, and days are cut there; declare timezone if not"
        offsets = np.array([offset for _, offset in self._instants], dtype=np.int64)
        instants = np.fromiter(self._instants.values(), dtype=np.int64)
        if offsets.any():  # "Z" tells an instant, not where the clock hangs
            instants, offsets = instants[offsets != 0], offsets[offsets != 0]
        for zone in CANDIDATES:
            if (local_from_instants(instants, timezone=zone) - instants == offsets).all():
                return zone, _note(zone, offsets)
        return "UTC", "no usual time zone shows the offsets written: days are cut in UTC; declare timezone if not"


def infer_timezone(times: Times) -> tuple[str, str]:
    """The zone that these times suggest, as `Offsets.infer`."""
    offsets = Offsets()
    offsets.add(times)
    return offsets.infer()


def _note(zone: str, offsets: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    if zone == "UTC":
        return "the times are in UTC and days are cut there; declare timezone to cut them elsewhere"
    written = " and ".join(f"{offset / (3600 * SECOND):+g} h" for offset in np.unique(offsets))
    name = ZoneInfo(zone).key
    return f"time zone: {name}, one of those with the offsets written ({written}); declare timezone if it is another"
