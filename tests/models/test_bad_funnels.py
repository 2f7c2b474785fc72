"""Funnels that cannot be right are mended and named, or leave nothing to say; forecasts of them stay forecasts."""

from datetime import date

import numpy as np
import pytest

from models.calendar import Calendar, make_calendar
from models.cleaning import clean
from models.engine import fit
from models.errors import HistoryError
from models.funnel import Funnel
from models.history import NEVER, make_history
from models.records import Events

FUNNEL = Funnel(stages=("lead", "offer", "won"), exits=("lost",), segment_by="segment", due_stage="won")
DAY = 86_400_000_000
DAYS, EACH = 60, 4


def rows_of(journey) -> Events:
    """EACH entities a day over DAYS days; `journey(number, day)` gives rows (stage, day, segment, due day)."""
    rows = []
    for number in range(DAYS * EACH):
        entered = number // EACH
        for stage, day, segment, due in journey(number, entered):
            if day < DAYS:
                rows.append((f"e{number}", stage, (20_000 + day) * DAY, np.nan, due, segment))
    columns = list(zip(*rows, strict=True))
    kinds = (object, object, np.int64, np.float64, np.int32, object)
    return Events(*(np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)))


def plain(number, day, *, segment="web", due=NEVER):
    yield "lead", day, segment, NEVER
    yield "offer", day + 1, segment, due
    yield ("won" if number % 2 else "lost"), day + 4 + number % 3, segment, NEVER


def forecast(journey):
    """Forecasts by series of the whole file, and how often each kind of repair was made."""
    history, repairs = clean(
        make_history(FUNNEL, events=rows_of(journey), cutoff=date(2024, 12, 2)), calendar=make_calendar(FUNNEL)
    )
    made = fit(history, calendar=Calendar(country="NL"), horizon=14).forecasts
    found: dict[str, int] = {}
    for repair in repairs:
        found[repair.kind] = found.get(repair.kind, 0) + repair.count
    return {(each.segment, each.stage): each for each in made}, found, history


@pytest.fixture(scope="module")
def usual():
    return forecast(plain)[0]["total", "won"].mean.sum()


def test_an_exit_before_the_entry_is_moved_to_it(usual):
    def early(number, day):
        yield from plain(number, day)
        if number % 10 == 0:
            yield "lost", max(day - 3, 0), "web", NEVER

    made, found, history = forecast(early)
    assert found["exit_before_entry"] > 15
    assert (history.entities.days[:, 3] >= history.entities.days[:, 0])[history.entities.days[:, 3] != NEVER].all()
    assert made["total", "won"].mean.sum() == pytest.approx(usual, rel=0.25)


def test_a_conversion_before_the_entry_makes_the_entry_no_later(usual):
    def early(number, day):
        yield from plain(number, day) if number % 10 else [("won", day, "web", NEVER), ("lead", day + 2, "web", NEVER)]

    made, found, history = forecast(early)
    assert found["out_of_order"] > 15
    assert (np.diff(np.where(history.entities.days == NEVER, 10**6, history.entities.days)[:, :3], axis=1) >= 0).all()
    assert made["total", "won"].mean.sum() == pytest.approx(usual, rel=0.35)


def test_due_days_before_the_entry_and_years_away_are_named_and_do_no_harm(usual):
    def odd(number, day):
        yield from plain(number, day, due=20_000 + day + (-40, 10, 3_600)[number % 3])

    made, found, _ = forecast(odd)
    assert min(found["due_before_entry"], found["due_far_away"]) > 70
    assert made["total", "won"].mean.sum() == pytest.approx(usual, rel=0.25)


def test_an_entity_in_two_segments_counts_once_in_that_of_its_first_row():
    def moving(number, day):
        for stage, when, _, due in plain(number, day):
            yield stage, when, "web" if stage == "lead" else "shop", due

    made, found, history = forecast(moving)
    assert found["two_segments"] > 200
    assert history.segments == ("web",)
    assert made["web", "won"].mean.tobytes() == made["total", "won"].mean.tobytes()


def test_a_stage_that_nobody_has_reached_is_forecast_as_never_reached():
    made, _, _ = forecast(lambda number, day: list(plain(number, day))[:2])
    assert made["total", "offer"].mean.sum() == pytest.approx(EACH * 14, rel=0.1)
    assert made["total", "won"].mean.sum() < 0.1
    assert made["total", "won"].quantiles.max() < 1.0


def test_where_everybody_leaves_nobody_is_expected_further_down():
    def leaving(number, day):
        yield "lead", day, "web", NEVER
        yield "lost", day + number % 3, "web", NEVER

    made, _, _ = forecast(leaving)
    assert made["total", "lead"].mean.sum() == pytest.approx(EACH * 14, rel=0.1)
    assert max(made["total", stage].mean.sum() for stage in ("offer", "won")) < 0.1


def test_exits_without_any_stage_are_left_out_and_a_file_of_nothing_else_is_refused():
    def orphans(number, day):
        yield from plain(number, day) if number % 2 else [("lost", day, "web", NEVER)]

    _, found, history = forecast(orphans)
    assert found["exit_without_stage"] == DAYS * EACH / 2 == len(history.entities.value)
    with pytest.raises(HistoryError, match="no row of the stages"):
        forecast(lambda _, day: [("lost", day, "web", NEVER)])
