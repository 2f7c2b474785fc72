"""Instants as the store keeps them: whole microseconds since 1970-01-01T00:00Z."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros_from_datetime(instant: datetime) -> int:
    """Whole microseconds since the epoch; ValueError for a datetime without a zone."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone")
    return (instant - EPOCH) // MICROSECOND


def datetime_from_micros(micros: int) -> datetime:
    """The instant, in UTC."""
    return EPOCH + micros * MICROSECOND
