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


def infer_timezone(times: Times) -> tuple[str, str]:
    """A zone whose clock shows all the offsets written, and a sentence about how sure that is.

    Times that bear no zone, or offsets that no candidate shows, give UTC.
    """
    zoned = times.readable & times.zoned
    if not zoned.any():
        return "UTC", "the times bear no zone: they are taken as UTC and days are cut there; declare timezone if not"
    if times.offset[zoned].any():
        zoned &= times.offset != 0  # "Z" tells an instant, not where the clock hangs
    instants = times.local[zoned] - times.offset[zoned]
    days = np.unique(instants // DAY, return_index=True)[1]
    instants, offsets = instants[days], times.offset[zoned][days]
    for zone in CANDIDATES:
        if (local_from_instants(instants, timezone=zone) - instants == offsets).all():
            return zone, _note(zone, offsets)
    return "UTC", "no usual time zone shows the offsets written: days are cut in UTC; declare timezone if not"


def _note(zone: str, offsets: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    if zone == "UTC":
        return "the times are in UTC and days are cut there; declare timezone to cut them elsewhere"
    written = " and ".join(f"{offset / (3600 * SECOND):+g} h" for offset in np.unique(offsets))
    name = ZoneInfo(zone).key
    return f"time zone: {name}, one of those with the offsets written ({written}); declare timezone if it is another"
