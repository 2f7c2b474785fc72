"""A fit is an append to nothing: however the periods came, memory and forecasts are those of one pass, to the byte."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from models import observance
from models.calendar import Calendar
from models.engine import Fitted, fit
from models.funnel import DeclaredDay
from models.history import NEVER, Entities, History

CALENDAR = Calendar(country="NL")
PERIODS, ENTITIES = 110, 300


@pytest.fixture(autouse=True, scope="module")
def _believed():
    """Declared holidays are believed: a funnel that is found not to keep them is fitted anew, which is not meant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observance, "DECLARED_PRIOR", 1.0)
        yield


def journeys(seed: int) -> Entities:
    """Entities of two segments over PERIODS days: visit (counted), lead, offer, won; some with a due day, some lost."""
    generator = np.random.default_rng(seed)
    lead = generator.integers(0, PERIODS, ENTITIES)
    offer = lead + generator.integers(0, 8, ENTITIES)
    won = np.where(generator.random(ENTITIES) < 0.6, offer + generator.geometric(0.2, ENTITIES), NEVER)
    lost = np.where(generator.random(ENTITIES) < 0.3, offer + generator.integers(0, 20, ENTITIES), NEVER)
    due = np.where(generator.random(ENTITIES) < 0.5, offer + generator.integers(0, 30, ENTITIES), NEVER)
    days = np.stack([lead, lead, offer, won, lost], axis=1).astype(np.int32)
    segment = generator.integers(0, 2, ENTITIES).astype(np.int32)
    some = np.flatnonzero(generator.random(ENTITIES) < 0.4)  # due day moved, or heard of late
    known = lead[some] + generator.integers(1, 20, len(some))
    moved = np.stack([some, known, known + generator.integers(-3, 30, len(some))], axis=1).astype(np.int32)
    worth = np.repeat(generator.lognormal(3, 1, ENTITIES)[:, None], 4, axis=1)
    worth[:, :2] = np.nan  # told from the offer on
    return Entities(days, segment, due.astype(np.int32), worth[:, 3], moved, worth)


def known_until(entities: Entities, periods: int) -> History:
    """What is known after so many periods; the counted stage is missing on every eleventh day."""
    days = np.where(entities.days < periods, entities.days, NEVER)
    here = days[:, 0] != NEVER
    counts = np.zeros((2, 4, periods))
    for stage in range(4):
        reached = here & (days[:, stage] != NEVER)
        np.add.at(counts, (entities.segment[reached], stage, days[reached, stage]), 1.0)
    counts[:, 0] = np.random.default_rng(3).poisson(40.0, (2, PERIODS))[:, :periods]
    counts[:, 0, ::11] = np.nan
    moved = entities.moved[here[entities.moved[:, 0]] & (entities.moved[:, 1] < periods)]
    moved[:, 0] = (np.cumsum(here) - 1)[moved[:, 0]]
    worth = entities.amounts[here]
    known = Entities(days[here], entities.segment[here], entities.due[here], entities.value[here], moved, worth)
    value = np.full((2, 4, periods), np.nan)
    value[:, 2:] = 0.0
    for stage in (2, 3):
        reached = here & (days[:, stage] != NEVER)
        np.add.at(value, (entities.segment[reached], stage, days[reached, stage]), entities.amounts[reached, stage])
    return History(
        date(2024, 1, 1), "day", ("a", "b"), ("visit", "lead", "offer", "won"), counts,
        value=value, entities=known, counted=("visit",), due_stage="won",
    )  # fmt: skip


def assert_same(one: Fitted, other: Fitted) -> None:
    assert one.memory == other.memory
    assert repr(one.scorecard) == repr(other.scorecard)
    for first, second in zip(one.forecasts, other.forecasts, strict=True):
        assert (first.segment, first.stage, first.model) == (second.segment, second.stage, second.model)
        assert_array_equal(first.mean, second.mean)
        assert_array_equal(first.quantiles, second.quantiles)
        assert_array_equal(first.in_flight, second.in_flight)
        assert repr(first.coverage) == repr(second.coverage)
        assert (first.value is None) == (second.value is None) == (first.stage in ("visit", "lead"))
        if first.value is not None:
            assert_array_equal(first.value.quantiles, second.value.quantiles)
            assert_array_equal(first.value.in_flight, second.value.in_flight)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 3), cuts=st.lists(st.integers(1, PERIODS), max_size=4), horizon=st.sampled_from([7, 56]))
def test_appending_in_any_pieces_is_one_pass(seed, cuts, horizon):
    entities = journeys(seed)
    memory: tuple[bytes, ...] = ()
    for cut in sorted([*cuts, PERIODS]):
        fitted = fit(known_until(entities, cut), calendar=CALENDAR, horizon=horizon, before=memory)
        memory = fitted.memory
        assert fitted.anew is None
    assert_same(fitted, fit(known_until(entities, PERIODS), calendar=CALENDAR, horizon=horizon))


@settings(max_examples=5, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 79), st.integers(0, 90)), max_size=3),
    more=st.integers(0, 12),
)
def test_corrections_of_past_days_are_as_if_they_had_always_been_known(changes, more):
    entities = journeys(1)
    memory = fit(known_until(entities, 80), calendar=CALENDAR, horizon=28).memory
    later = known_until(entities, 80 + more)
    counts = later.counts.copy()
    for segment, day, count in changes:
        counts[segment, 0, day] = count
    corrected = replace(later, counts=counts)
    fitted = fit(corrected, calendar=CALENDAR, horizon=28, before=memory)
    assert_same(fitted, fit(corrected, calendar=CALENDAR, horizon=28))


def test_only_segments_whose_past_changed_are_fitted_anew_and_so_is_the_total():
    entities = journeys(2)
    memory = fit(known_until(entities, 90), calendar=CALENDAR, horizon=28).memory
    later = known_until(entities, 91)
    assert fit(later, calendar=CALENDAR, horizon=28, before=memory).refitted == 0
    counts = later.counts.copy()
    counts[1, 0, 40] += 5
    fitted = fit(replace(later, counts=counts), calendar=CALENDAR, horizon=28, before=memory)
    assert (fitted.appended, fitted.refitted) == (4, 8)


def test_a_moved_due_day_of_an_entity_is_a_change_of_the_past():
    entities = journeys(2)
    memory = fit(known_until(entities, 90), calendar=CALENDAR, horizon=28).memory
    waiting = np.flatnonzero((entities.due != NEVER) & (entities.days[:, 2] < 60) & (entities.segment == 0))[0]
    due = entities.due.copy()
    due[waiting] += 3
    moved = known_until(replace(entities, due=due), 92)
    fitted = fit(moved, calendar=CALENDAR, horizon=28, before=memory)
    assert fitted.refitted == 8
    assert_same(fitted, fit(moved, calendar=CALENDAR, horizon=28))


def test_a_due_day_that_moves_later_is_no_change_of_the_past():
    entities = journeys(2)
    memory = fit(known_until(entities, 90), calendar=CALENDAR, horizon=28).memory
    later = np.column_stack([np.arange(ENTITIES), np.full(ENTITIES, 90), np.full(ENTITIES, 99)]).astype(np.int32)
    moved = np.concatenate([entities.moved[entities.moved[:, 1] < 90], later])
    moved = moved[np.lexsort([moved[:, 1], moved[:, 0]])]
    fitted = fit(known_until(replace(entities, moved=moved), 91), calendar=CALENDAR, horizon=28, before=memory)
    assert (fitted.refitted, fitted.anew) == (0, None)
    other = fit(known_until(entities, 91), calendar=CALENDAR, horizon=28, before=memory)
    assert fitted.forecasts[3].mean[:14].sum() > other.forecasts[3].mean[:14].sum()


def test_segments_come_and_go():
    entities = journeys(0)
    both = known_until(entities, 90)
    one = replace(both, segments=("a",), counts=both.counts[:1], value=both.value[:1])
    for first, second in ((one, both), (both, one)):
        memory = fit(replace(first, entities=None), calendar=CALENDAR, horizon=7).memory
        fitted = fit(replace(second, entities=None), calendar=CALENDAR, horizon=7, before=memory)
        anew = fit(replace(second, entities=None), calendar=CALENDAR, horizon=7)
        assert [f.mean.tolist() for f in fitted.forecasts] == [f.mean.tolist() for f in anew.forecasts]


@pytest.mark.parametrize("new", ["a", "d"])
@pytest.mark.parametrize("valued", [False, True])
def test_a_new_segment_keeps_its_own_forecasts_night_after_night_wherever_its_name_is_sorted(new, valued):
    levels = {"b": 4.0, "c": 20.0, new: 60.0}
    generator = np.random.default_rng(0)
    daily = {name: generator.poisson(level, (2, 95)).astype(float) for name, level in levels.items()}

    def history(names: tuple[str, ...], periods: int) -> History:
        counts = np.stack([daily[name][:, :periods] for name in names])
        return History(date(2024, 1, 4), "day", names, ("lead", "won"), counts, 7 * counts if valued else None)

    memory = fit(history(("b", "c"), 90), calendar=CALENDAR, horizon=7).memory
    assert len(memory) == 1
    for periods in range(91, 95):
        night = history(tuple(sorted(levels)), periods)
        fitted = fit(night, calendar=CALENDAR, horizon=7, before=memory, responses=True)
        anew = fit(night, calendar=CALENDAR, horizon=7, responses=True)
        memory = fitted.memory
        for one, other in zip(fitted.forecasts, anew.forecasts, strict=True):
            assert (one.segment, one.stage) == (other.segment, other.stage)
            assert_array_equal(one.quantiles, other.quantiles)
            if valued:
                assert_array_equal(one.value.quantiles, other.value.quantiles)
        for name in levels:
            assert_array_equal(fitted.responses[name], anew.responses[name])


@pytest.mark.parametrize(
    ("change", "why"), [({"start": date(2024, 1, 2)}, "first day"), ({"stages": ("v", "l", "o", "w")}, "stages")]
)
def test_what_cannot_be_continued_is_fitted_anew_and_says_why(change, why):
    past = replace(known_until(journeys(0), 60), entities=None)
    memory = fit(past, calendar=CALENDAR, horizon=7).memory
    fitted = fit(replace(past, counted=(), **change), calendar=CALENDAR, horizon=7, before=memory)
    assert why in (fitted.anew or "")
    assert fitted.appended == 0


def declared(*days: tuple[str, int, int], segments: tuple[str, ...] = (), stages: tuple[str, ...] = ()) -> Calendar:
    """A calendar with days by name, first and last period."""
    first = date(2024, 1, 1)
    return replace(
        CALENDAR,
        declared_days=tuple(
            DeclaredDay(name, first + timedelta(start), first + timedelta(end), stages, segments)
            for name, start, end in days
        ),
    )


DAYS = (
    ("sale", 20, 23),
    ("Closed ", 26, 26),
    ("sale", 45, 47),
    ("closed", 46, 46),
    ("SALE", 80, 88),
    ("closed", 112, 130),
)


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 3),
    cuts=st.lists(st.integers(1, PERIODS), max_size=4),
    horizon=st.sampled_from([3, 28]),
    segments=st.sampled_from([(), ("b",)]),
    stages=st.sampled_from([(), ("visit", "offer")]),
)
def test_appending_in_any_pieces_is_one_pass_with_declared_days(seed, cuts, horizon, segments, stages):
    entities, calendar = journeys(seed), declared(*DAYS, segments=segments, stages=stages)
    memory: tuple[bytes, ...] = ()
    for cut in sorted([*cuts, PERIODS]):
        fitted = fit(known_until(entities, cut), calendar=calendar, horizon=horizon, before=memory)
        memory = fitted.memory
        assert fitted.anew is None
    assert_same(fitted, fit(known_until(entities, PERIODS), calendar=calendar, horizon=horizon))


def test_a_day_declared_for_later_is_taken_up_without_a_fit_from_the_start():
    entities = journeys(1)
    for before in (CALENDAR, declared(*DAYS[:3])):
        memory = fit(known_until(entities, 60), calendar=before, horizon=28).memory
        far = replace(before, declared_days=declared(("launch", 90, 91)).declared_days + before.declared_days)
        fitted = fit(known_until(entities, 62), calendar=far, horizon=28, before=memory)
        assert (fitted.refitted, fitted.anew) == (0, None)
        assert_same(fitted, fit(known_until(entities, 62), calendar=far, horizon=28))
        back = fit(known_until(entities, 63), calendar=before, horizon=28, before=fitted.memory)
        assert back.refitted == 0
        assert_same(back, fit(known_until(entities, 63), calendar=before, horizon=28))


@pytest.mark.parametrize(("segments", "refitted"), [((), 12), (("b",), 8)])
def test_a_day_declared_or_withdrawn_within_the_horizon_leaves_no_trace_of_what_was_said_before(segments, refitted):
    entities, known = journeys(1), declared(("closed", 20, 20), ("closed", 37, 37), ("closed", 51, 51))
    soon = replace(
        known, declared_days=known.declared_days + declared(("closed", 63, 64), segments=segments).declared_days
    )
    for before, after in ((known, soon), (soon, known)):
        memory = fit(known_until(entities, 60), calendar=before, horizon=28).memory
        fitted = fit(known_until(entities, 61), calendar=after, horizon=28, before=memory)
        assert (fitted.refitted, fitted.anew) == (refitted, None)
        assert_same(fitted, fit(known_until(entities, 61), calendar=after, horizon=28))
        later = fit(known_until(entities, 80), calendar=after, horizon=28, before=fitted.memory)
        assert later.refitted == 0
        assert_same(later, fit(known_until(entities, 80), calendar=after, horizon=28))


def test_what_is_declared_of_the_past_is_fitted_anew_for_the_series_that_it_concerns():
    entities = journeys(1)
    memory = fit(known_until(entities, 90), calendar=declared(*DAYS[:2]), horizon=28).memory
    for days, segments, refitted in (((*DAYS[:3],), (), 12), (DAYS[:1], (), 12), ((("SALE", 20, 23), DAYS[1]), (), 0)):
        calendar = declared(*days, segments=segments)
        fitted = fit(known_until(entities, 91), calendar=calendar, horizon=28, before=memory)
        assert (fitted.refitted, fitted.anew) == (refitted, None)
        assert_same(fitted, fit(known_until(entities, 91), calendar=calendar, horizon=28))
    plain = fit(known_until(entities, 90), calendar=CALENDAR, horizon=28).memory
    fitted = fit(known_until(entities, 91), calendar=declared(*DAYS[:2], segments=("b",)), horizon=28, before=plain)
    assert fitted.refitted == 8
    assert_same(fitted, fit(known_until(entities, 91), calendar=declared(*DAYS[:2], segments=("b",)), horizon=28))


def test_a_history_without_anything_new_gives_the_same_bytes():
    past = known_until(journeys(1), 100)
    first = fit(past, calendar=CALENDAR, horizon=28)
    again = fit(past, calendar=CALENDAR, horizon=28, before=first.memory)
    assert again.refitted == 0
    assert_same(first, again)
