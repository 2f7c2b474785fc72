"""Levers with days become steps, of weeks too; and a version without responses says so."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from models.forecast import QUANTILES, Forecast
from models.funnel import Funnel
from models.levers import LeverError, pack
from service.problems import problem_from_error
from service.scenario import AskedLever, NoResponsesError, Scenario, scenario_document
from service.serving import Served

CUTOFF = date(2026, 3, 1)
"""A Sunday."""
HORIZON = 8
MEAN = {"lead": 10.0, "won": 4.0}


def served(*, gate="flag", reliable_until=HORIZON):
    forecasts = {
        ("total", stage): Forecast(
            segment="total",
            stage=stage,
            cutoff=CUTOFF,
            model="cascade+univariate",
            mean=np.full(HORIZON, mean),
            quantiles=np.full((HORIZON, len(QUANTILES)), mean),
            in_flight=np.full(HORIZON, 1.0),
            new=np.full(HORIZON, mean - 1.0),
            frequency="week",
            reliable_until=reliable_until,
        )
        for stage, mean in MEAN.items()
    }
    return Served(
        name="sales",
        funnel=Funnel(("lead", "won"), frequency="week", gate=gate),
        version_id=1,
        version=3,
        published_at=datetime(2026, 3, 2, tzinfo=UTC),
        cutoff=CUTOFF,
        horizon=HORIZON,
        model="cascade+univariate",
        reason="",
        forecasts=forecasts,
        scorecard=(),
        quality={},
    )


def responses():
    """Half of the entrants are won in the week after; of those waiting, one a week."""
    response = np.zeros((1, 1 + HORIZON, HORIZON))
    response[0, 0] = 1.0
    response[0, 1:-1, 1:] = np.diag(np.full(HORIZON - 1, 0.5))
    return {"total": pack(response)}


def answer(*levers, horizon=6, version=None):
    return scenario_document(version or served(), responses(), Scenario(levers, horizon))


def steps(document, stage):
    (series,) = (each for each in document["series"] if each["stage"] == stage)
    return [step["change"] for step in series["steps"]]


def test_a_day_stands_for_the_week_that_holds_it():
    document = answer(AskedLever("inflow", "lead", add=4.0, start=date(2026, 3, 9), end=date(2026, 3, 22)))
    assert steps(document, "lead") == [0, 4, 4, 0, 0, 0]
    assert steps(document, "won") == [0, 0, 2, 2, 0, 0]
    assert document["levers"][0]["start"] == "2026-03-09"
    midweek = answer(AskedLever("inflow", "lead", add=4.0, start=date(2026, 3, 12), end=date(2026, 3, 20)))
    assert (steps(midweek, "won"), midweek["levers"][0]["start"]) == (steps(document, "won"), "2026-03-09")


def test_sums_half_and_what_is_decided_are_those_of_the_steps():
    won = answer(AskedLever("inflow", "lead", add=4.0, start=date(2026, 3, 9)))["series"][1]
    assert (won["mean"], won["change"], won["scenario"]) == (24, 8, 32)
    assert (won["in_flight"], won["decided"]) == (6, 0.25)
    assert won["half_arrived"] == {"step": 4, "date": "2026-03-29"}


def test_a_scenario_is_never_below_zero():
    levers = [AskedLever("inflow", "lead", percent=-100.0), AskedLever("inflow", "won", add=3.0)]
    won = answer(*levers)["series"][1]
    assert [step["scenario"] for step in won["steps"]] == [7.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    nobody = AskedLever("conversion", "won", percent=-100.0)
    assert [step["scenario"] for step in answer(nobody)["series"][1]["steps"]] == [3.0, 0, 0, 0, 0, 0]


def test_what_arrives_earlier_than_it_can_be_known_is_refused_with_the_longest_horizon():
    assert steps(answer(AskedLever("delay", "won", days=-2)), "won")[-1] == 0
    with pytest.raises(LeverError, match="at most 6") as refused:
        answer(AskedLever("delay", "won", days=-2), horizon=7)
    assert refused.value.field == "levers.0.days"


def test_a_version_without_responses_is_a_conflict_that_the_next_retrain_mends():
    with pytest.raises(NoResponsesError, match=r"version 3 .* next retrain") as missing:
        scenario_document(served(), {}, Scenario((AskedLever("inflow", "lead", add=1.0),)))
    assert problem_from_error(missing.value).status == 409


def test_under_gate_refuse_only_reliable_steps_are_answered():
    lever = AskedLever("inflow", "lead", add=4.0)
    document = answer(lever, horizon=None, version=served(gate="refuse", reliable_until=2))
    assert [len(series["steps"]) for series in document["series"]] == [2, 2]
    assert all("left out" in series["refused"] for series in document["series"])
