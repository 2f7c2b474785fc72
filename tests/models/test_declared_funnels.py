"""Declared days in whole funnels: what they do to forecasts, and what they leave alone."""

import pickle
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.calendar import Calendar
from models.cleaning import clean
from models.engine import Fitted, fit
from models.forecast import MEDIAN
from models.funnel import DeclaredDay
from models.history import History
from models.isolation import attempt
from models.levers import unpack
from models.metrics import quantile_loss
from models.state import bytes_from_forecast, forecast_from_bytes

START, PERIODS, HORIZON = date(2024, 1, 1), 200, 28
STAGES = ("visit", "lead", "won")
SALES = tuple(range(24, PERIODS, 16))
"""Days of the sale: irregular weekdays, 11 of them."""


def day(name: str, first: int, last: int | None = None, **where: tuple[str, ...]) -> DeclaredDay:
    return DeclaredDay(name, START + timedelta(first), START + timedelta(first if last is None else last), **where)


def calendar(*days: DeclaredDay) -> Calendar:
    return Calendar(declared_days=days)


def counted(
    factors: dict[int, float] | None = None, *, level: float = 200.0, periods: int = PERIODS, seed: int = 0
) -> History:
    """Counts of two segments, `thin` with a fiftieth; a third of the visits are leads, half of these won."""
    generator = np.random.default_rng(seed)
    mean = np.full(periods + HORIZON, level)
    for period, factor in (factors or {}).items():
        mean[period] *= factor
    week = np.tile([1.2, 1.2, 1.1, 1.0, 1.0, 0.6, 0.5], periods)[: len(mean)]
    means = [mean * week]
    for share, kernel in ((0.35, [0.5, 0.3, 0.2]), (0.5, [0.1, 0.2, 0.3, 0.2, 0.2])):
        means.append(share * np.convolve(means[-1], kernel)[: len(mean)])
    counts = generator.poisson(np.stack([np.stack(means), np.stack(means) / 50]))[:, :, :periods]
    return History(START, "day", ("large", "thin"), STAGES, counts.astype(float), counted=STAGES)


def fitted(history: History, *days: DeclaredDay, **wishes: object) -> Fitted:
    return fit(history, calendar=calendar(*days), horizon=HORIZON, **wishes)


def mean_of(made: Fitted, segment: str, stage: str) -> np.ndarray:
    return next(each.mean for each in made.forecasts if (each.segment, each.stage) == (segment, stage))


def same(one: Fitted, other: Fitted) -> bool:
    plain = [replace(each, declared=()) for each in one.forecasts]
    return [bytes_from_forecast(each) for each in plain] == [bytes_from_forecast(each) for each in other.forecasts]


@pytest.fixture(scope="module")
def sold() -> tuple[History, Fitted, Fitted]:
    """A funnel with a sale that doubles the visits, forecast with its days declared, and without."""
    history = counted(dict.fromkeys((*SALES, PERIODS + 9), 2.0))
    days = [day("Sale", period) for period in (*SALES, PERIODS + 9)]
    return history, fitted(history, *days), fitted(history)


def test_a_day_that_is_declared_again_is_forecast_by_what_it_brought_before(sold):
    _, made, plain = sold
    for segment, least in (("total", 1.7), ("large", 1.7), ("thin", 1.2)):
        ratio = mean_of(made, segment, "visit") / mean_of(plain, segment, "visit")
        assert least < ratio[9] < 2.2
        assert (
            0.85 < np.delete(ratio, 9).min() <= np.delete(ratio, 9).max() < 1.05
        )  # the sales no longer teach the rest


def test_what_a_day_brings_reaches_later_stages_in_its_time_and_once(sold):
    _, made, plain = sold
    visit, lead, won = (mean_of(made, "total", stage) / mean_of(plain, "total", stage) for stage in STAGES)
    assert 1.3 < lead[9] < 1.6 < visit[9]  # half of the leads come on the day itself
    assert won[10:20].mean() > 1.01 > won[:9].mean()
    (effect,) = next(each for each in made.forecasts if (each.segment, each.stage) == ("total", "won")).declared
    assert effect.factor == pytest.approx(1.0, abs=0.12)


def test_the_more_the_days_of_a_name_differ_the_wider_is_the_next_one():
    days = [*SALES, PERIODS + 9]

    def width(factors: list[float]) -> float:
        made = fitted(counted(dict(zip(days, factors, strict=True))), *(day("Sale", period) for period in days))
        ahead = next(each.quantiles for each in made.forecasts if (each.segment, each.stage) == ("total", "visit"))
        return float(((ahead[:, -2] - ahead[:, 1]) / ahead[:, MEDIAN])[9])

    assert width([1.2, 2.8] * (len(days) // 2)) > 2 * width([2.0] * len(days))


def test_value_follows(sold):
    history, made, plain = sold
    days = [day("Sale", period) for period in (*SALES, PERIODS + 9)]
    priced = replace(history, value=7.0 * history.counts)
    for one, other in zip(fitted(priced, *days).forecasts, fitted(priced).forecasts, strict=True):
        if one.segment == "total":
            ratio = one.value.mean / other.value.mean
            counts = mean_of(made, "total", one.stage) / mean_of(plain, "total", one.stage)
            assert_allclose(ratio, counts, rtol=0.05)
            assert one.value.declared == one.declared


def test_forecasts_name_the_days_ahead_with_their_effect_and_its_evidence(sold):
    _, made, plain = sold
    (effect,) = made.forecasts[0].declared
    assert (effect.name, effect.start, effect.end) == ("Sale", *[START + timedelta(PERIODS + 9)] * 2)
    assert effect.factor == pytest.approx(2.0, rel=0.1)
    assert effect.evidence == len(SALES)
    assert plain.forecasts[0].declared == ()
    assert forecast_from_bytes(bytes_from_forecast(made.forecasts[0])).declared == (effect,)


def test_what_was_never_seen_changes_no_byte():
    history = counted()
    for days in ((day("launch", PERIODS + 3, PERIODS + 9),), (day("elsewhere", 9, stages=("offer",)),)):
        made = fitted(history, *days)
        assert same(made, fitted(history))
        if days[0].name == "launch":
            assert [(each.factor, each.evidence) for each in made.forecasts[0].declared] == [(1.0, 0)]


def test_what_is_declared_for_one_segment_leaves_the_others():
    history = counted(dict.fromkeys(SALES, 2.0))
    days = [day("sale", period, segments=("thin",)) for period in SALES]
    made, plain = (fitted(history, *each) for each in (days, ()))
    one, other = (mean_of(each, "large", "visit") for each in (made, plain))
    assert_allclose(one, other, rtol=0.05)  # not to the byte: segments add up to the total, which is touched


def test_what_is_declared_for_a_segment_that_is_not_there_is_told_and_changes_no_byte():
    history = counted(dict.fromkeys(SALES, 2.0))
    sales = (day("sale", period, segments=("Large",)) for period in (*SALES, PERIODS + 3))
    made = fitted(history, *sales)
    assert same(made, fitted(history))
    assert "segments of which there is no row: 'Large'" in (made.calendar_note or "")


def test_closures_are_forecast_as_next_to_nothing_and_teach_nothing_of_other_days():
    closed = (*range(31, PERIODS, 41), PERIODS + 4)
    history = counted(dict.fromkeys(closed, 0.0))
    counts = history.counts.copy()
    counts[:, :, list(closed[:-1])] = 0.0
    history = clean(replace(history, counts=counts), calendar=calendar())[0]
    made, plain = fitted(history, *(day("closed", period) for period in closed)), fitted(history)
    for stage in STAGES:
        mean, other = mean_of(made, "total", stage), mean_of(plain, "total", stage)
        assert mean[4] < 0.02 * other[4]
        assert (np.delete(mean, 4) > 0.9 * np.delete(other, 4)).all()
    forecast = made.forecasts[0]
    assert forecast.interval(80)[1][4] < 0.1 * forecast.mean[3]


def losses(history: History, *days: DeclaredDay, cutoffs: range) -> float:
    """Sum over the stages of the total, at each cutoff of what came in the four weeks after."""
    loss, memory = 0.0, ()
    for cutoff in cutoffs:
        known = replace(history, counts=history.counts[:, :, :cutoff])
        made = fitted(known, *days, before=memory, scored=False)
        memory = made.memory
        for stage, forecast in enumerate(made.forecasts[: len(STAGES)]):
            came = history.matrix[stage, cutoff : cutoff + HORIZON]
            loss += float(quantile_loss(came, forecast.quantiles[: len(came)]).sum())
    return loss


@pytest.mark.parametrize("first", [0, 90, PERIODS + 1])
def test_a_permanent_campaign_changes_no_byte(first):
    history = counted(dict.fromkeys(range(first, PERIODS), 1.5))
    made = fitted(history, day("always on", first, 999))
    assert same(made, fitted(history))
    assert [(each.factor, each.evidence) for each in made.forecasts[0].declared] == [(1.0, 0)]


def test_campaigns_on_half_of_all_days_do_no_harm():
    on = [(first, first + 24) for first in range(60, 400, 50)]
    history = counted(
        {period: 1.5 for first, last in on for period in range(first, last + 1) if period < 400}, periods=400
    )
    cutoffs = range(90, 372, 13)
    days = [day("campaign", *each) for each in on]
    assert losses(history, *days, cutoffs=cutoffs) < 0.9 * losses(history, cutoffs=cutoffs)


def test_a_name_without_an_effect_does_little_harm():
    history = counted(periods=400)
    days = [day("webinar", int(period)) for period in np.random.default_rng(1).integers(10, 400, 60)]
    cutoffs = range(60, 372, 13)
    assert losses(history, *days, cutoffs=cutoffs) < 1.02 * losses(history, cutoffs=cutoffs)


def test_a_thin_segment_stays_within_what_it_has_seen():
    history = counted(dict.fromkeys(SALES, 3.0), level=20.0)
    made = fitted(history, *(day("sale", period) for period in (*SALES, *range(PERIODS, PERIODS + 5))))
    for stage in STAGES:
        mean = mean_of(made, "thin", stage)
        assert np.isfinite(mean).all()
        assert mean[:5].max() < 3.5 * max(mean[5:].max(), 0.2)


def test_scenarios_see_the_same_effects():
    closed = (*range(31, PERIODS, 41), PERIODS + 4)
    history = counted(dict.fromkeys(closed, 0.0))
    days = [day("closed", period) for period in closed]
    made, plain = (fitted(history, *each, responses=True) for each in (days, ()))
    for stage, (one, other) in enumerate(
        zip(*(unpack(each.responses["total"], horizon=HORIZON) for each in (made, plain)), strict=True), start=1
    ):
        (effect,) = made.forecasts[stage].declared
        assert effect.factor < 1.0
        assert one[1:, 4].sum() < other[1:, 4].sum()


def test_blocks_may_be_cut_anywhere_and_be_worked_on_elsewhere(sold, monkeypatch):
    history, made, _ = sold
    days = [day("Sale", period) for period in (*SALES, PERIODS + 9)]
    monkeypatch.setattr("models.plan.BLOCK", 3)
    seen = []

    def mapper(function, blocks):
        seen.extend(blocks)
        return [attempt(function, pickle.loads(pickle.dumps(block))) for block in blocks]

    other = fitted(history, *days, mapper=mapper)
    assert len(seen) == 3
    assert [bytes_from_forecast(each) for each in other.forecasts] == [
        bytes_from_forecast(each) for each in made.forecasts
    ]
