"""How complete young days are is learnt from what uploads changed, and only where lateness is a habit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.arrivals import Arrivals
from models.calendar import day_from_number, number_from_day
from models.funnel import Funnel
from models.history import History
from models.lateness import MATURE, completeness_documents, lateness_of_stages, with_lateness

FUNNEL = Funnel(stages=("lead", "won"), timezone="Europe/Amsterdam")
HOUR = 3_600_000_000
FIRST = number_from_day(date(2026, 1, 5))


def nightly(
    days: int,
    shares: Sequence[float],
    *,
    rate: float = 60.0,
    missed: Sequence[int] = (),
    more: Sequence[tuple[int, int, float]] = (),
    seed: int = 0,
) -> Arrivals:
    """An upload a night about two hours after midnight, the first being history; `shares`: told after 0, 1, ... nights.

    `missed` nights bring nothing, and the next one brings what they would have; `more`: (upload, day, change).
    """
    generator = np.random.default_rng(seed)
    nights = [night for night in range(days) if night not in missed]
    fresh = [(FIRST + night + 1) * 24 * HOUR + HOUR + int(generator.integers(-10, 10)) * HOUR // 60 for night in nights]
    rows = [(nights.index(upload), FIRST + day, change) for upload, day, change in more]
    for day in range(days):
        for age, told in enumerate(generator.multinomial(generator.poisson(rate), shares)):
            later = [place for place, night in enumerate(nights) if night >= day + age]
            if told and later and later[0] > 0:
                rows.append((later[0], FIRST + day, float(told)))
    upload, day, change = (np.array(column) for column in zip(*rows, strict=True))
    return Arrivals(np.array(fresh), upload, ["won"] * len(rows), day, change.astype(float))


def known(periods: int, *, end: int) -> History:
    counts = np.full((1, 2, periods), 60.0)
    return History(day_from_number(FIRST + end - periods), "day", (), ("lead", "won"), counts)


@pytest.mark.parametrize("days", [60, 90, 250])
def test_the_share_that_is_told_at_each_age_is_recovered(days):
    (late,) = lateness_of_stages(nightly(days, [0.6, 0.2, 0.15, 0.05]), FUNNEL)
    assert late.stage == "won"
    assert_allclose(late.share[:5], [0.6, 0.8, 0.95, 1.0, 1.0], atol=0.04)
    assert (late.low <= late.high).all()
    assert late.days == min(days - MATURE - 2, 126)
    assert late.last == FIRST + days - 1


def test_nothing_is_said_before_three_weeks_are_complete():
    assert lateness_of_stages(nightly(MATURE + 15, [0.5, 0.5]), FUNNEL) == ()
    assert len(lateness_of_stages(nightly(MATURE + 23, [0.5, 0.5]), FUNNEL)) == 1


def test_what_comes_in_time_is_not_late():
    assert lateness_of_stages(nightly(120, [1.0]), FUNNEL) == ()
    assert lateness_of_stages(nightly(120, [0.999, 0.001], rate=400.0), FUNNEL) == ()


def test_nights_without_an_upload_make_nothing_late():
    assert lateness_of_stages(nightly(120, [1.0], missed=range(60, 70)), FUNNEL) == ()
    weekends = [night for night in range(120) if night % 7 in (5, 6)]
    assert lateness_of_stages(nightly(120, [1.0], missed=weekends), FUNNEL) == ()


def at_hours(arrivals: Arrivals, hours: Sequence[float]) -> Arrivals:
    """The same uploads at other hours of their days; each counts for the day before."""
    days = (arrivals.fresh + HOUR) // (24 * HOUR)
    fresh = days * 24 * HOUR - HOUR + (np.array(hours) * HOUR).astype(np.int64)
    return Arrivals(fresh, arrivals.upload, arrivals.stage, arrivals.day, arrivals.change)


@pytest.mark.parametrize(("before", "last"), [(8, 4), (20.5, 2), (8, 21), (1, 1), (2, 20)])
def test_another_hour_of_the_last_upload_makes_nothing_late_and_hides_nothing(before, last):
    hours = [before] * 89 + [last]
    assert lateness_of_stages(at_hours(nightly(90, [1.0]), hours), FUNNEL) == ()
    (late,) = lateness_of_stages(at_hours(nightly(90, [0.6, 0.3, 0.1]), hours), FUNNEL)
    assert_allclose(late.share[:4], [0.6, 0.9, 1.0, 1.0], atol=0.05)


def test_of_many_uploads_a_day_those_after_the_hour_asked_for_come_too_late():
    once = at_hours(nightly(90, [0.6, 0.4]), [3] * 90)
    fresh = np.sort(np.concatenate([once.fresh, once.fresh[:-1] + 9 * HOUR]))
    rest = once.day < FIRST + once.upload
    # What is told a night later in `once` comes at noon of the day before that night: after three o'clock all the same.
    upload = np.where(rest, 2 * once.upload - 1, 2 * once.upload)
    (late,) = lateness_of_stages(Arrivals(fresh, upload, once.stage, once.day, once.change), FUNNEL)
    assert_allclose(late.share[:2], [0.6, 1.0], atol=0.05)


def test_a_night_that_comes_in_two_uploads_an_hour_apart_is_told_in_time_until_both_are_there():
    once = at_hours(nightly(90, [1.0]), [3] * 90)
    fresh = np.sort(np.concatenate([once.fresh, once.fresh[:-1] + HOUR]))  # asked between the two of the last night
    halves = np.where(once.upload < 89, once.change / 2, once.change)
    second = once.upload < 89
    told = Arrivals(
        fresh,
        np.concatenate([2 * once.upload, 2 * once.upload[second] + 1]),
        ["won"] * (len(once.day) + int(second.sum())),
        np.concatenate([once.day, once.day[second]]),
        np.concatenate([halves, halves[second]]),
    )
    assert lateness_of_stages(told, FUNNEL) == ()


def test_how_much_weeks_differ_is_told_by_their_quartiles():
    even, odd = nightly(130, [0.5, 0.5]), nightly(130, [0.9, 0.1])
    mine, others = even.day % 14 < 7, odd.day % 14 >= 7
    mixed = Arrivals(
        even.fresh,
        np.concatenate([even.upload[mine], odd.upload[others]]),
        ["won"] * int(mine.sum() + others.sum()),
        np.concatenate([even.day[mine], odd.day[others]]),
        np.concatenate([even.change[mine], odd.change[others]]),
    )
    (late,) = lateness_of_stages(mixed, FUNNEL)
    assert_allclose([late.low[0], late.high[0]], [0.5, 0.9], atol=0.06)


def test_one_outage_that_was_filled_up_is_no_habit():
    turn = [(day, day, -4.0) for day in range(90, 96)]  # not told of when it was their turn ...
    came = [(102, day, 4.0) for day in range(90, 96)]  # ... but some nights later
    assert lateness_of_stages(nightly(120, [1.0], rate=6.0, more=[*turn, *came]), FUNNEL) == ()


def test_a_backfill_of_months_in_one_upload_is_not_lateness():
    backfill = [(126, day, 30.0) for day in range(40, 127)]
    assert lateness_of_stages(nightly(130, [1.0], more=backfill), FUNNEL) == ()


def test_weekly_uploads_are_judged_at_the_ages_at_which_they_come():
    missed = [night for night in range(160) if night % 7]
    (late,) = lateness_of_stages(nightly(160, [0.5, 0.5], missed=missed), FUNNEL)
    assert late.share[0] == pytest.approx(0.5, abs=0.1)
    assert_array_equal(late.share[1:], 1.0)


def test_rows_that_stand_for_weeks_are_not_judged():
    arrivals = nightly(120, [0.5, 0.5])
    chosen = arrivals.day % 7 == 3
    weekly = Arrivals(
        arrivals.fresh, arrivals.upload[chosen], ["won"] * chosen.sum(), arrivals.day[chosen], arrivals.change[chosen]
    )
    assert lateness_of_stages(weekly, FUNNEL) == ()


def turned(
    days: int, shares: Sequence[float], *, turn: int, then: Sequence[float] = (1.0,), rate: float = 60.0, seed: int = 0
) -> Arrivals:
    """As `nightly` for `days`, those from `turn` on being told as `then` says: in full at once, unless given."""
    before, after = nightly(days, shares, rate=rate, seed=seed), nightly(days, then, rate=rate, seed=seed)
    old, new = before.day < FIRST + turn, after.day >= FIRST + turn
    upload, day, change = (
        np.concatenate([getattr(before, name)[old], getattr(after, name)[new]]) for name in ("upload", "day", "change")
    )
    return Arrivals(before.fresh, upload, ["won"] * len(upload), day, change)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.0, 1.0], [0.6, 0.3, 0.1], [0.3, 0.2, 0.2, 0.2, 0.1]])
@pytest.mark.parametrize("rate", [3.0, 60.0])
def test_a_source_that_turns_prompt_is_believed_within_ten_days(shares, rate):
    for seed in range(5):
        for since in (10, 15, 20, 40) if rate > 10 else (20, 40):
            assert lateness_of_stages(turned(100 + since, shares, turn=100, rate=rate, seed=seed), FUNNEL) == ()


def test_old_habits_are_forgotten():
    (late,) = lateness_of_stages(turned(200, [0.4, 0.6], turn=137, then=[0.8, 0.2]), FUNNEL)
    assert late.share[0] == pytest.approx(0.8, abs=0.05)
    assert lateness_of_stages(turned(300, [0.5, 0.5], turn=150), FUNNEL) == ()


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.0, 1.0], [0.9, 0.1], [0.3, 0.2, 0.2, 0.2, 0.1]])
@pytest.mark.parametrize("rate", [3.0, 60.0])
def test_a_source_that_stays_late_stays_believed(shares, rate):
    found = [lateness_of_stages(nightly(90, shares, rate=rate, seed=seed), FUNNEL) for seed in range(40)]
    assert sum(late != () for late in found) >= 39
    assert np.mean([late[0].share[0] for late in found if late]) == pytest.approx(shares[0], abs=0.05)


def test_late_rows_that_come_once_a_week_are_no_end_of_a_habit():
    nights = np.arange(97)
    rows = [(int(night), FIRST + int(night), 30.0) for night in nights[1:]]
    rows += [(int(night), FIRST + int(day), 30.0) for night in nights[7::7] for day in range(night - 7, night)]
    upload, day, change = (np.array(column) for column in zip(*rows, strict=True))
    for until in range(90, 97):
        seen = upload <= until
        arrivals = Arrivals(
            (FIRST + nights[: until + 1] + 1) * 24 * HOUR, upload[seen], ["won"] * seen.sum(), day[seen], change[seen]
        )
        (late,) = lateness_of_stages(arrivals, FUNNEL)
        assert late.share[0] == pytest.approx(0.5, abs=0.02)


def test_a_history_says_what_share_of_its_last_days_is_told():
    late = lateness_of_stages(nightly(100, [0.6, 0.3, 0.1]), FUNNEL)
    history = with_lateness(known(80, end=100), late)
    assert history.told is not None
    assert_array_equal(history.told[0], 1.0)
    assert_allclose(history.told[1], late[0].share[1::-1])
    (repair,) = history.repairs
    assert (repair.stage, repair.end) == ("won", history.cutoff)
    assert repair.start == history.cutoff - timedelta(days=1)
    assert "as learnt from 84 days" in repair.text
    (document,) = completeness_documents(history, late)
    assert [day["ds"] for day in document["days"]] == [repair.end, repair.start]


def test_days_are_older_when_the_history_ends_before_the_uploads_do():
    late = lateness_of_stages(nightly(100, [0.6, 0.3, 0.1]), FUNNEL)
    history = with_lateness(known(80, end=99), late)
    assert history.told is not None
    assert_allclose(history.told[1], late[0].share[1:2])
    assert with_lateness(known(80, end=90), late).told is None


def test_a_week_is_as_complete_as_its_days_are():
    late = lateness_of_stages(nightly(100, [0.6, 0.3, 0.1]), FUNNEL)
    counts = np.full((1, 2, 20), 400.0)
    weeks = History(day_from_number(FIRST + 100 - 140), "week", (), ("lead", "won"), counts)
    told = with_lateness(weeks, late).told
    assert told is not None
    assert told.shape == (2, 1)
    assert told[1, 0] == pytest.approx(late[0].share[:7].mean())
