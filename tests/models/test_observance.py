"""Holidays that nobody declared are found where they show, and nowhere else."""

from datetime import date

import numpy as np
import pytest

from models.calendar import HOLIDAY, day_from_number, holidays_of_year, number_from_day
from models.observance import infer_observance

START = date(2023, 1, 2)
WEEKDAYS = np.array([20.0, 22.0, 21.0, 20.0, 18.0, 6.0, 4.0])


def activity(periods: int, *, country: str | None, seed: int = 0) -> np.ndarray:
    """Three stages that are nearly silent on the holidays of `country`."""
    days = np.arange(periods) + number_from_day(START)
    rate = WEEKDAYS[np.arange(periods) % 7].copy()
    if country:
        years = range(START.year, day_from_number(int(days[-1])).year + 1)
        rate[np.isin(days, np.concatenate([holidays_of_year(country, year) for year in years]))] = 1.0
    return np.random.default_rng(seed).poisson(np.tile(rate, (3, 1))).astype(float)


def types_after(observance, periods: int) -> list[date]:
    later = np.flatnonzero(observance.day_types[periods:] == HOLIDAY) + periods
    return [day_from_number(int(number_from_day(START) + day)) for day in later]


@pytest.mark.parametrize("country", ["NL", "US", "DE", "JP"])
def test_a_year_of_kept_holidays_names_the_country_or_one_that_keeps_the_same(country):
    periods = 364
    observance = infer_observance(activity(periods, country=country), start=START, horizon=130)
    ahead = set(types_after(observance, periods))
    weekdays = {day for day in ahead if day.weekday() < 5}
    first, last = number_from_day(START) + periods, number_from_day(START) + periods + 130
    expected = {day_from_number(int(number)) for number in holidays_of_year(country, 2024) if first <= number < last}
    assert weekdays == {day for day in expected if day.weekday() < 5}


def test_a_business_that_keeps_no_holidays_gets_none():
    observance = infer_observance(activity(364, country=None), start=START, horizon=130)
    assert observance.belief[0][0] == ""
    assert types_after(observance, 364) == []
    assert "none" in observance.note


def test_without_evidence_only_days_that_most_of_the_world_keeps_are_holidays():
    observance = infer_observance(activity(14, country="NL")[:, :14], start=date(2023, 12, 4), horizon=40)
    days = np.flatnonzero(observance.day_types == HOLIDAY)
    found = {day_from_number(int(number_from_day(date(2023, 12, 4)) + day)) for day in days}
    assert date(2024, 1, 1) in found
    assert len(found) <= 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("counts", [np.zeros((2, 60)), np.full((2, 60), np.nan), np.ones((1, 1))])
def test_histories_without_anything_to_learn_are_answered(counts):
    observance = infer_observance(counts, start=START, horizon=28)
    assert len(observance.day_types) == counts.shape[1] + 28


def test_the_country_of_the_zone_is_believed_until_the_history_tells_otherwise():
    fresh = infer_observance(activity(14, country=None), start=date(2024, 4, 8), horizon=28, likely="NL")
    assert fresh.belief[0][0] == "NL"
    kings_day = number_from_day(date(2024, 4, 27)) - number_from_day(date(2024, 4, 8))
    assert fresh.day_types[kings_day] == HOLIDAY
    american = infer_observance(activity(364, country="US"), start=START, horizon=130, likely="NL")
    assert american.belief[0][0] != "NL"
    restless = infer_observance(activity(364, country=None), start=START, horizon=130, likely="NL")
    assert types_after(restless, 364) == []


def test_a_zone_of_a_country_beyond_the_candidates_is_heard_too():
    observance = infer_observance(activity(14, country=None), start=date(2024, 6, 10), horizon=28, likely="LU")
    national_day = number_from_day(date(2024, 6, 23)) - number_from_day(date(2024, 6, 10))
    assert observance.belief[0][0] == "LU"
    assert observance.day_types[national_day] == HOLIDAY


def test_a_declared_country_is_believed_from_the_first_day_and_needs_no_note():
    fresh = infer_observance(activity(14, country=None), start=date(2024, 4, 8), horizon=28, likely="NL", declared=True)
    assert fresh.note is None
    assert fresh.share[number_from_day(date(2024, 4, 27)) - number_from_day(date(2024, 4, 8))] > 0.95
    kept = infer_observance(activity(364, country="NL"), start=START, horizon=130, likely="NL", declared=True)
    assert kept.note is None
    assert date(2024, 1, 1) in types_after(kept, 364)


def test_a_declared_country_whose_holidays_are_never_kept_is_believed_no_longer_and_the_note_says_so():
    open_always = infer_observance(activity(364, country=None), start=START, horizon=130, likely="NL", declared=True)
    assert types_after(open_always, 364) == []
    assert open_always.note.startswith(
        "the holidays of NL are declared, but the public holidays that fit best are none"
    )
    american = infer_observance(activity(364, country="US"), start=START, horizon=130, likely="NL", declared=True)
    assert date(2024, 4, 27) not in types_after(american, 364)
    assert "those of US" in american.note


def test_a_shop_that_lives_on_its_declared_holidays_keeps_them():
    days = np.arange(364) + number_from_day(START)
    counts = activity(364, country=None)
    counts[:, np.isin(days, holidays_of_year("NL", 2023))] *= 2.5
    busy = infer_observance(counts, start=START, horizon=130, likely="NL", declared=True)
    assert busy.note is None
    assert date(2024, 1, 1) in types_after(busy, 364)


def test_stages_that_fill_up_are_no_holidays():
    start, periods = date(2024, 1, 1), 240
    counts = np.random.default_rng(1).poisson(40 * np.tile(WEEKDAYS / 20, 35)[:periods], (3, periods)).astype(float)
    counts[1:, :21] *= np.linspace(0, 1, 21)
    told = infer_observance(counts, start=start, horizon=100, filling=(1, 2))
    assert told.belief[0][0] == ""
    assert infer_observance(counts, start=start, horizon=100).belief[0][0] != ""
