"""The forecast document: the shape that routes and command line share."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from models.errors import HorizonError
from models.forecast import QUANTILES, Coverage, DeclaredEffect, Forecast
from models.funnel import Funnel
from service.columns import step_columns
from service.document import forecast_document
from service.selection import FarHorizonError, NoValueError, Selection, SeriesNotFoundError, levels_from_text


@dataclass
class Version:
    """What `service.serving.Served` is to the document."""

    funnel: Funnel
    forecasts: dict
    scorecard: tuple = ()
    name: str = "sales"
    version: int = 3
    version_id: int = 30
    cutoff: date = date(2024, 1, 31)
    published_at: datetime = datetime(2024, 2, 1, tzinfo=UTC)
    quality: dict = field(default_factory=dict)


def make_forecast(segment="total", stage="won", *, horizon=8, reliable_until=5, parts=True, frequency="day"):
    mean = np.arange(1.0, horizon + 1)
    return Forecast(
        segment=segment,
        stage=stage,
        cutoff=date(2024, 1, 31),
        model="cascade",
        mean=mean,
        quantiles=mean[:, None] * np.linspace(0.5, 1.5, len(QUANTILES)),
        in_flight=mean * 0.25 if parts else None,
        new=mean * 0.75 if parts else None,
        reliable_until=reliable_until,
        frequency=frequency,
        coverage={80: Coverage(0.81, 100), 95: Coverage(float("nan"), 0)},
        repairs=("8 days without any event",),
    )


def in_money(forecast, price=10.0):
    parts = {name: getattr(forecast, name) * price for name in ("mean", "quantiles", "in_flight", "new")}
    return replace(forecast, value=replace(forecast, **parts))


def make_version(*forecasts, scorecard=(), **settings):
    funnel = Funnel(stages=("lead", "won"), **settings)
    return Version(funnel, {(each.segment, each.stage): each for each in forecasts}, scorecard)


def test_a_step_carries_its_parts_and_a_coverage_not_measured_is_null():
    series = forecast_document(make_version(make_forecast()), Selection())["forecasts"][0]
    assert series["steps"][1]["date"] == "2024-02-02"
    assert (series["steps"][1]["in_flight"], series["steps"][1]["new"], series["steps"][1]["mean"]) == (0.5, 1.5, 2.0)
    assert series["coverage"] == {"80": {"measured": 0.81, "samples": 100}, "95": {"measured": None, "samples": 0}}
    assert series["repairs"] == ["8 days without any event"]


def test_declared_days_that_the_steps_hold_are_told_in_their_order_with_what_is_known_of_them():
    sale = DeclaredEffect("Sale", date(2024, 2, 4), date(2024, 2, 9), 1.423, 6)
    launch = DeclaredEffect("Launch", date(2024, 2, 2), date(2024, 2, 2), 1.0, 0)
    once = DeclaredEffect("Fair", date(2024, 1, 30), date(2024, 2, 1), 0.5, 1)
    version = make_version(replace(make_forecast(), declared=(sale, launch, once)))
    told = forecast_document(version, Selection())["forecasts"][0]["declared"]
    assert [each["text"] for each in told] == [
        "Fair, 2024-01-30 to 2024-02-01: the forecast times 0.50, learnt from 1 earlier day",
        "Launch, 2024-02-02: no effect is known from earlier days of that name, or it is too usual",
        "Sale, 2024-02-04 to 2024-02-09: the forecast times 1.42, learnt from 6 earlier days",
    ]
    assert (told[2]["factor"], told[2]["evidence"], told[1]["factor"]) == (1.423, 6, 1.0)
    near = forecast_document(version, Selection(horizon=3))["forecasts"][0]["declared"]
    assert [each["name"] for each in near] == ["Fair", "Launch"]


def test_each_part_has_its_interval_and_csv_and_json_say_the_same():
    version = make_version(make_forecast())
    document = forecast_document(version, Selection(horizon=3))
    step = document["forecasts"][0]["steps"][2]
    for part in ("in_flight", "new"):
        low, high = step[f"{part}_intervals"]["80"]
        assert 0 <= low < step[part] < high
        columns = step_columns(version, Selection(horizon=3))
        assert [columns[f"{part}_{side}_80"][2] for side in ("lower", "upper")] == [low, high]
    apart = forecast_document(make_version(make_forecast(parts=False)), Selection())["forecasts"][0]["steps"][0]
    assert apart["in_flight_intervals"] is apart["new_intervals"] is None


def test_value_is_the_same_answer_in_money_and_refused_where_no_row_carries_any():
    version = make_version(in_money(make_forecast()), make_forecast(stage="lead"))
    document = forecast_document(version, Selection(measure="value"))
    assert (document["measure"], [series["stage"] for series in document["forecasts"]]) == ("value", ["won"])
    assert document["forecasts"][0]["steps"][1]["mean"] == 20.0
    assert forecast_document(version, Selection())["forecasts"][0]["steps"][1]["mean"] == 2.0
    with pytest.raises(NoValueError, match="no row of 'lead' carries a value; those of 'won' do") as error:
        forecast_document(version, Selection(stages=("lead",), measure="value"))
    assert error.value.members == {"stages": ["won"]}
    with pytest.raises(NoValueError, match="send a column `value`"):
        forecast_document(make_version(make_forecast()), Selection(measure="value"))


def test_steps_past_the_reliable_ones_are_flagged_or_left_out_as_the_gate_says():
    flagged = forecast_document(make_version(make_forecast()), Selection())["forecasts"][0]
    assert [step["reliable"] for step in flagged["steps"]] == [True] * 5 + [False] * 3
    assert flagged["refused"] is None
    refused = forecast_document(make_version(make_forecast(), gate="refuse"), Selection())["forecasts"][0]
    assert len(refused["steps"]) == 5
    assert refused["refused"].startswith("steps 6 to 8 are left out")
    within = forecast_document(make_version(make_forecast(), gate="refuse"), Selection(horizon=4))["forecasts"][0]
    assert len(within["steps"]) == 4
    assert within["refused"] is None


def test_weekly_steps_bear_the_last_day_of_their_week():
    version = make_version(make_forecast(frequency="week"), frequency="week")
    steps = forecast_document(version, Selection())["forecasts"][0]["steps"]
    assert [step["date"] for step in steps] == ["2024-02-07", "2024-02-14", "2024-02-21", "2024-02-28"]


def test_an_unknown_name_is_refused_with_those_that_are_known():
    version = make_version(make_forecast(), make_forecast("north"), make_forecast(stage="lead"))
    with pytest.raises(
        SeriesNotFoundError, match="no segment 'south' is forecast; there are 'total', 'north'"
    ) as error:
        forecast_document(version, Selection(segments=("south",)))
    assert error.value.members == {"stages": ["won", "lead"], "segments": ["total", "north"]}


def test_a_horizon_past_the_published_one_is_refused_in_measured_figures():
    scorecard = [
        {"segment": "total", "stage": "won", "steps": "1", "wmape": 0.1, "wql": 0.08, "skill": 0.3},
        {"segment": "total", "stage": "won", "steps": "2-3", "wmape": 0.25, "wql": 0.2, "skill": None},
        {"segment": "north", "stage": "won", "steps": "1", "wmape": 9.0, "wql": 9.0, "skill": -1.0},
    ]
    with pytest.raises(FarHorizonError, match="grows from 10% at steps 1 to 25% at steps 2-3") as error:
        forecast_document(make_version(make_forecast(), scorecard=scorecard), Selection(horizon=9))
    assert error.value.members["longest_horizon"] == 8
    assert [row["steps"] for row in error.value.members["error_growth"]] == ["1", "2-3"]
    level = [{**row, "wmape": 0.3 - row["wmape"]} for row in scorecard[:2]]
    with pytest.raises(FarHorizonError, match="error of won is 20% at steps 1 and 5% at steps 2-3"):
        forecast_document(make_version(make_forecast(), scorecard=level), Selection(horizon=9))
    with pytest.raises(FarHorizonError, match="up to 4 days are"):
        forecast_document(make_version(make_forecast(), max_horizon=4), Selection(horizon=5))


def test_levels_are_read_once_each_in_their_order():
    assert levels_from_text(" 95, 80,95") == (95, 80)
    with pytest.raises(HorizonError, match="20, 40, 60, 80, 95"):
        levels_from_text("90")
