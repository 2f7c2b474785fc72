"""What a watermark is: how it is kept, from where it is read on, and how far it may reach."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from models.errors import InputError
from service.pull.marks import Highest, capped, json_from_mark, lowered, mark_from_json
from tests.service.pulls import NOW


@pytest.mark.parametrize("mark", [7, 1.5, datetime(2026, 1, 1, 3, 4, 5, 678901, tzinfo=UTC), date(2026, 1, 1), "x"])
def test_a_watermark_survives_its_storage_digit_for_digit(mark):
    kept = mark_from_json(json_from_mark(mark))
    assert (kept, type(kept)) == (mark, type(mark))


def test_times_are_read_again_a_while_before_the_watermark():
    assert lowered(NOW, seconds=300) == NOW - timedelta(minutes=5)
    assert lowered(NOW.date(), seconds=300) == NOW.date() - timedelta(days=1)
    assert lowered(5, seconds=300) == 5
    assert capped(NOW + timedelta(days=900), lowest=NOW, now=NOW) == NOW + timedelta(days=1)


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000])
@pytest.mark.parametrize("kind", [int, float, Decimal])
def test_numbers_that_are_times_count_at_most_as_tomorrow_and_others_as_they_are(unit, kind):
    seconds = round(NOW.timestamp())
    tomorrow = kind((seconds + 86_400) * unit)
    lowest, absurd = kind((seconds - 10**7) * unit), kind(9_999_999_999 * unit)
    assert capped(absurd, lowest=lowest, now=NOW) == tomorrow
    assert type(capped(absurd, lowest=lowest, now=NOW)) is kind
    assert capped(lowest, lowest=lowest, now=NOW) == lowest
    assert capped(absurd, lowest=kind(1), now=NOW) == absurd  # the numbers of rows


@pytest.mark.parametrize("values", [[True], ["text"], [NOW, NOW.replace(tzinfo=None)], [1, NOW]])
def test_what_does_not_rise_is_no_watermark(values):
    with pytest.raises(InputError, match="at"):
        Highest("at", texts=False).add(values)
