"""What charts mark: declared days of a series, repaired stretches, and nothing of another series."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import numpy as np
import pytest

from models.forecast import QUANTILES, Forecast
from models.freshness import partial_until
from models.funnel import DeclaredDay, Funnel
from service.dashboard.figures import declared_for, fan, touched
from service.dashboard.upload import phases_of

CUTOFF = date(2026, 11, 22)
OBSERVED = np.full(56, 10.0)


def forecast(*, frequency="day", segment="total"):
    mean = np.full(28, 10.0)
    return Forecast(
        segment, "won", CUTOFF, "m", mean, mean[:, None] + np.linspace(0, 5, len(QUANTILES)), frequency=frequency
    )


def stretches(svg, kind):
    """Left edge and width, in places, of the stretches of a kind, with their text."""
    found = re.findall(
        rf'<rect class="{kind}" x="([\d.]+)" y="0" width="([\d.]+)" height="\d+"><title>(.*?)</title>', svg
    )
    unit = 1000 / (56 + 28)
    return [(round(float(x) / unit), round(float(width) / unit), text) for x, width, text in found]


def test_declared_days_are_marked_in_the_past_and_in_the_future():
    past = DeclaredDay("sale", date(2026, 11, 20), date(2026, 11, 21))
    future = DeclaredDay("launch & party", date(2026, 11, 24), date(2026, 11, 24))
    svg = fan(forecast(), OBSERVED, last=28, declared=[past, future])
    assert stretches(svg, "declared") == [
        (53, 2, "sale, 2026-11-20 to 2026-11-21"),
        (57, 1, "launch &amp; party, 2026-11-24 to 2026-11-24"),
    ]
    assert ">launch &amp; party</text>" in svg


@pytest.mark.parametrize(
    ("reliable", "last", "said", "lines"),
    [
        (56, 28, "reliable at all 28 steps", 0),
        (28, 28, "reliable at all 28 steps", 0),
        (14, 28, "reliable until step 14", 1),
        (0, 28, None, 0),
    ],
)
def test_how_far_to_rely_is_drawn_where_it_ends_and_said_where_it_does_not(reliable, last, said, lines):
    mean = np.full(56, 10.0)
    quantiles = mean[:, None] + np.linspace(0, 5, len(QUANTILES))
    svg = fan(Forecast("total", "won", CUTOFF, "m", mean, quantiles, reliable_until=reliable), OBSERVED, last=last)
    assert re.findall(r">(reliable [^<]*)<", svg) == ([said] if said else [])
    assert svg.count('class="until"') == lines


def test_days_declared_for_another_stage_or_segment_are_not_marked():
    days = [
        DeclaredDay("a", CUTOFF, CUTOFF, stages=("lead",)),
        DeclaredDay("b", CUTOFF, CUTOFF, segments=("north",)),
        DeclaredDay("c", CUTOFF, CUTOFF),
    ]
    assert [each.name for each in declared_for(forecast(segment="south"), days)] == ["c"]
    assert [each.name for each in declared_for(forecast(segment="total"), days)] == ["b", "c"]


@pytest.mark.parametrize(("frequency", "places"), [("day", [1]), ("week", [1])])
def test_a_period_is_touched_by_any_of_its_days(frequency, places):
    days = [date(2026, 11, 15), date(2026, 11, 22)]
    inside = date(2026, 11, 18) if frequency == "week" else date(2026, 11, 22)
    assert touched(days, inside, inside, frequency=frequency) == places


def test_a_repair_is_marked_where_it_was_made():
    repair = {"kind": "gap", "segment": "total", "stage": "", "start": "2026-11-01", "end": "2026-11-03", "text": "gap"}
    other = repair | {"stage": "lead"}
    assert stretches(fan(forecast(), OBSERVED, last=28, repairs=[repair, other]), "repaired") == [(34, 3, "gap")]


def test_the_partial_day_is_marked_and_not_beyond_it():
    svg = fan(forecast(), OBSERVED, last=28, partial_until=date(2026, 11, 23))
    assert [(place, width) for place, width, _ in stretches(svg, "partial")] == [(56, 1)]
    assert stretches(fan(forecast(), OBSERVED, last=28), "partial") == []


@pytest.mark.parametrize(
    ("told", "frequency", "until"),
    [
        (datetime(2026, 11, 23, 15, tzinfo=UTC), "day", date(2026, 11, 23)),
        (datetime(2026, 11, 23, 23, 30, tzinfo=UTC), "day", date(2026, 11, 24)),  # past midnight in Amsterdam
        (datetime(2026, 11, 22, 15, tzinfo=UTC), "day", None),
        (datetime(2026, 12, 24, 15, tzinfo=UTC), "day", None),
        (datetime(2026, 11, 27, 15, tzinfo=UTC), "week", date(2026, 11, 27)),
        (None, "day", None),
    ],
)
def test_a_day_is_partial_that_was_not_over_when_the_source_was_told(told, frequency, until):
    funnel = Funnel(("won",), timezone="Europe/Amsterdam", frequency=frequency)
    micros = None if told is None else round(told.timestamp() * 1_000_000)
    assert partial_until(CUTOFF, funnel, fresh_until=micros) == until


def test_phases_of_a_run_are_done_under_way_or_to_come():
    run = {"status": "running", "phases": [{"name": "read", "seconds": 1.0}, {"name": "clean", "seconds": 0.5}]}
    assert [state for _, _, state in phases_of(run)] == ["done", "now", "", ""]
    assert [state for _, _, state in phases_of(run | {"status": "succeeded"})] == ["done", "done", "", ""]
    assert [name for name, _, _ in phases_of({"status": "queued", "phases": []})] == ["read", "clean", "fit", "publish"]
