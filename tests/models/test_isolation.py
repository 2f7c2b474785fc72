"""Isolation: what takes its chunk down is found in three attempts, and nothing else is lost with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models import engine, plan
from models.blocks import Block, BlockResult, fit_block
from models.calendar import Calendar
from models.engine import fit
from models.funnel import TOTAL
from models.history import History
from models.isolation import HOPELESS, Lost, attempt, isolate

CALENDAR = Calendar(country="NL")


@dataclass(frozen=True)
class Numbers:
    """A chunk of nothing but numbers."""

    rows: tuple[int, ...]


def cut(chunk: Numbers, size: int) -> list[Numbers]:
    return [Numbers(chunk.rows[first : first + size]) for first in range(0, len(chunk.rows), size)]


def chunks_of(count: int, *, size: int) -> list[Numbers]:
    return cut(Numbers(tuple(range(count))), size)


def deaths(bad: set[int], counted: list[int]):
    """A mapper under which a chunk with one of these rows is lost; `counted` gets the size of each that is."""

    def mapper(function, chunks):
        outcomes = []
        for chunk in chunks:
            if bad & set(chunk.rows):
                counted.append(len(chunk.rows))
                outcomes.append(Lost("killed"))
            else:
                outcomes.append(function(chunk))
        return outcomes

    return mapper


@pytest.mark.parametrize("size", [1, 2, 3, 100, 128])
def test_one_bad_row_is_found_in_three_attempts_and_all_others_are_computed(size):
    counted: list[int] = []
    found = isolate(lambda chunk: chunk.rows, chunks_of(1000, size=size), mapper=deaths({417}, counted), divide=cut)
    assert found.lost == {417: "killed, at attempt 3"}
    assert sorted(row for rows in found.results for row in rows) == [row for row in range(1000) if row != 417]
    assert [chunk.rows for chunk in found.chunks] == found.results
    assert len(counted) == 3
    assert counted[-1] == 1


def test_several_bad_rows_are_found_at_once():
    counted: list[int] = []
    bad = {0, 1, 130, 999}
    found = isolate(lambda chunk: chunk.rows, chunks_of(1000, size=128), mapper=deaths(bad, counted), divide=cut)
    assert set(found.lost) == bad
    assert len(counted) <= 3 * len(bad)


def test_what_fails_once_by_accident_is_computed_at_the_next_attempt():
    accidents = [Lost("a power cut")]

    def mapper(function, chunks):
        return [accidents.pop() if accidents else function(chunk) for chunk in chunks]

    found = isolate(lambda chunk: chunk.rows, chunks_of(300, size=128), mapper=mapper, divide=cut)
    assert found.lost == {}
    assert sorted(row for rows in found.results for row in rows) == list(range(300))


def test_when_all_parts_are_lost_the_last_attempt_is_not_made():
    counted: list[int] = []
    everything = set(range(HOPELESS + 1))
    found = isolate(len, chunks_of(HOPELESS + 1, size=25), mapper=deaths(everything, counted), divide=cut)
    assert set(found.lost) == everything
    assert counted == [25, 8, *[5] * 5, 3, 3, 2]


def test_an_exception_is_told_with_its_place():
    lost = attempt(lambda chunk: chunk / 0, 1)
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("ZeroDivisionError: division by zero (test_isolation.py, line ")


def past(periods: int, *, segments: int = 12) -> History:
    counts = np.random.default_rng(5).poisson(20.0, (segments, 2, 90)).astype(float)[:, :, :periods]
    names = tuple(f"s{number:02}" for number in range(segments))
    return History(date(2024, 1, 1), "day", names, ("lead", "won"), counts)


def fails_for(segment: str, block: Block) -> BlockResult:
    if segment in block.segments:
        raise FloatingPointError("no such thing")
    return fit_block(block)


def failing(segment: str):
    """A mapper under which the fit of a segment raises."""
    return lambda _, chunks: engine.in_threads(partial(fails_for, segment), chunks)


def test_a_segment_that_cannot_be_fitted_is_answered_by_its_baseline_and_still_adds_up(monkeypatch):
    monkeypatch.setattr(plan, "BLOCK", 12)
    sound = fit(past(80), calendar=CALENDAR, horizon=14)
    fitted = fit(past(80), calendar=CALENDAR, horizon=14, mapper=failing("s07"))
    assert list(fitted.quarantined) == ["s07"]
    assert (fitted.appended, fitted.refitted) == (0, 24)
    by_series = {(each.segment, each.stage): each for each in fitted.forecasts}
    for stage in ("lead", "won"):
        ill = by_series["s07", stage]
        assert ill.model == "weekday_mean"
        assert ill.fallback_reason.startswith("quarantined: FloatingPointError: no such thing")
        assert ill.mean.sum() > 0
        summed = sum(by_series[f"s{number:02}", stage].mean for number in range(12))
        assert_allclose(summed, by_series[TOTAL, stage].mean)
    for healthy in sound.forecasts:
        other = by_series[healthy.segment, healthy.stage]
        if healthy.segment == TOTAL:
            assert_array_equal(other.quantiles, healthy.quantiles)
        if healthy.segment != "s07":
            assert other.fallback_reason is None
    assert {score.segment for score in sound.scorecard} - {score.segment for score in fitted.scorecard} == {"s07"}


def test_the_total_can_be_quarantined_too():
    fitted = fit(past(80), calendar=CALENDAR, horizon=14, mapper=failing(TOTAL))
    assert list(fitted.quarantined) == [TOTAL]
    assert all(forecast.fallback_reason for forecast in fitted.forecasts if forecast.segment == TOTAL)
    assert not any(forecast.fallback_reason for forecast in fitted.forecasts if forecast.segment != TOTAL)


@pytest.mark.parametrize("size", [12, 128])
def test_the_next_fit_tries_again_and_gives_what_a_fit_of_everything_gives(monkeypatch, size):
    monkeypatch.setattr(plan, "BLOCK", size)
    before = fit(past(80), calendar=CALENDAR, horizon=14, mapper=failing("s07")).memory
    again = fit(past(81), calendar=CALENDAR, horizon=14, before=before, mapper=failing("s07"), apart=True)
    assert list(again.quarantined) == ["s07"]
    assert (again.appended, again.refitted) == (24, 0)
    memory, figures = again.memory, [({}, 24, 2), ({}, 26, 0), ({}, 26, 0)]
    for periods, told in enumerate(figures, start=82):
        healed = fit(past(periods), calendar=CALENDAR, horizon=14, before=memory)
        assert (healed.quarantined, healed.appended, healed.refitted) == told
        fresh = fit(past(periods), calendar=CALENDAR, horizon=14)
        for one, other in zip(healed.forecasts, fresh.forecasts, strict=True):
            assert one.quantiles.tobytes() == other.quantiles.tobytes()
        assert repr(healed.scorecard) == repr(fresh.scorecard)
        memory = healed.memory


def test_blocks_that_fell_apart_are_joined_again():
    before = fit(past(80), calendar=CALENDAR, horizon=14, mapper=failing("s07")).memory
    assert len(before) > 1
    assert len(fit(past(81), calendar=CALENDAR, horizon=14, before=before).memory) == 2  # s07, and all others
