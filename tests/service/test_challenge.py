"""A version made under other conditions is served only if it scores no worse than the one that is."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from models import observance
from models.calendar import holidays_of_year, number_from_day
from models.funnel import DeclaredDay, Funnel
from service.cli.output import print_lines
from service.cli.retrain import lines_from_result
from service.ingest import ingest
from service.retrain import retrain
from service.retrain.challenge import Verdict, judge, rival_of
from service.store.database import Database
from service.store.funnels import declare_funnel, get_funnel
from service.store.runs import get_run
from service.store.versions import Draft, Version, get_version

NOW = datetime(2026, 3, 1, 1, tzinfo=UTC)
FUNNEL = Funnel(stages=("lead",), country="NL", max_horizon=14)


def scores(wql: float | None, *, segment: str = "total", n: int = 8) -> list[dict[str, Any]]:
    return [
        {"segment": segment, "stage": "lead", "first": 1, "last": 1, "n": n, "wql": wql, "measure": "count"},
        {"segment": segment, "stage": "lead", "first": 2, "last": 3, "n": 2 * n, "wql": wql, "measure": "count"},
    ]


def draft(wql: float | None, *, funnel: Funnel = FUNNEL, days: int = 0, calendar: str = "c") -> Draft:
    cutoff = date(2026, 2, 28) + timedelta(days=days)
    return Draft(funnel, cutoff, 1 + days, 14, "m", calendar, "rows changed", scores(wql), {})


def version() -> Version:
    made = draft(None)
    return Version(
        1,
        1,
        12,
        NOW,
        made.funnel,
        made.cutoff,
        1,
        14,
        "m",
        made.calendar,
        "",
        dict(made.quality),
    )


def compare(wql: float | None, challenger: Draft, rival: Draft | None = None) -> Verdict | None:
    """With a champion of that loss."""
    return judge(version(), challenger, rival, scorecard=scores(wql))


OTHER = replace(FUNNEL, country="DE")


def test_the_same_conditions_are_no_challenge_whatever_the_data_have_done_to_the_scores():
    assert compare(0.2, draft(0.9)) is None
    assert judge(None, draft(0.9)) is None


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"funnel": OTHER}, "another declaration"),
        ({"calendar": "d"}, "another calendar"),
    ],
)
def test_what_scores_worse_is_not_served_and_the_reason_has_the_figures(change, what):
    verdict = compare(0.2, draft(0.213, **change))
    assert verdict is not None
    assert not verdict.promoted
    assert verdict.reason == (
        f"kept version 12: the challenger ({what}) was not better (WQL 0.213 against 0.200 over 8 origins)"
    )


@pytest.mark.parametrize(("wql", "word"), [(0.19, "better"), (0.2, "as good"), (0.203, "no worse")])
def test_what_scores_better_or_the_same_by_chance_takes_the_place(wql, word):
    verdict = compare(0.2, draft(wql, funnel=OTHER))
    assert verdict is not None
    assert verdict.promoted
    assert f"was {word} (WQL {wql:.3f} against 0.200 over 8 origins)" in verdict.reason


def test_scores_of_other_data_are_not_compared_but_those_of_the_champions_hints_on_the_same():
    newer = draft(0.3, funnel=OTHER, days=1)
    verdict = compare(0.2, newer)
    assert verdict.promoted
    assert verdict.reason.endswith("has newer data than version 12, and is not compared")
    assert rival_of(version(), OTHER) == FUNNEL
    verdict = compare(0.2, newer, draft(0.31, days=1))
    assert verdict.promoted
    assert "was better (WQL 0.300 against 0.310" in verdict.reason
    verdict = compare(0.2, newer, draft(0.29, days=1))
    assert not verdict.promoted
    assert verdict.reason.startswith("kept the declaration of version 12: the challenger (another declaration)")


def test_a_rival_asks_for_what_is_asked_for_now():
    gated = replace(OTHER, gate="refuse")
    assert rival_of(version(), gated) == replace(FUNNEL, gate="refuse")
    assert rival_of(version(), FUNNEL) is None
    assert rival_of(version(), replace(OTHER, stages=("lead", "won"))) is None
    assert rival_of(None, OTHER) is None


def test_what_cannot_be_compared_is_published_and_says_so():
    assert "no scores to be compared by" in compare(None, draft(0.3, funnel=OTHER)).reason
    segments = replace(draft(0.3, funnel=OTHER), scorecard=scores(0.3, segment="east"))
    assert "no scores to be compared by" in compare(0.2, segments).reason


@pytest.mark.parametrize("change", [{"stages": ("lead", "won")}, {"timezone": "Europe/Paris"}, {"max_horizon": 7}])
def test_what_is_asked_for_is_no_matter_of_scores(change):
    assert compare(0.2, draft(0.9, funnel=replace(OTHER, **change))) is None


def test_a_changed_gate_is_no_challenge():
    assert compare(0.2, draft(0.9, funnel=replace(FUNNEL, gate="refuse"))) is None


def closed_on_holidays(database: Database, *, first: int = 730, last: int = 1, level: float = 60.0) -> None:
    """Two years of leads, or those of so many to so many days ago, none on Dutch holidays."""
    closed = {int(day) for year in (2024, 2025, 2026) for day in holidays_of_year("NL", year)}
    days = [NOW.date() - timedelta(days=back) for back in range(first, last - 1, -1)]
    noise = np.random.default_rng(4).poisson(level, len(days))
    rows = [f"{day},lead,{0 if number_from_day(day) in closed else y}" for day, y in zip(days, noise, strict=True)]
    body = io.BytesIO(("ds,stage,y\n" + "\n".join(rows) + "\n").encode())
    ingest(database, "sales", body, kind="counts", now=NOW)


def declare(database: Database, country: str) -> int:
    with database.write() as connection:
        return declare_funnel(connection, "sales", replace(FUNNEL, country=country), now=NOW).id


@pytest.fixture
def believed(monkeypatch):
    """Declared countries are believed whatever the history says: a hint that can be wrong."""
    monkeypatch.setattr(observance, "DECLARED_PRIOR", 1.0)


@pytest.mark.usefixtures("believed")
def test_a_country_whose_holidays_the_funnel_does_not_keep_is_not_served(database):
    funnel_id = declare(database, "NL")
    closed_on_holidays(database)
    first = retrain(database, "sales", now=NOW)
    assert (first.counts["promoted"], first.counts["kept"]) == (0, 0)
    declare(database, "JP")
    kept = retrain(database, "sales", now=NOW)
    assert kept.version is None
    assert (kept.counts["promoted"], kept.counts["kept"]) == (0, 1)
    assert "kept version 1: the challenger (another declaration) was not better (WQL 0." in kept.reason
    with database.read() as connection:
        assert get_run(connection, kept.run_id).reason == kept.reason
        active = get_funnel(connection, "sales").active_version_id
        assert get_version(connection, active).number == 1
    declare(database, "NL")
    assert retrain(database, "sales", now=NOW).reason == "nothing new since version 1"
    assert funnel_id == 1


@pytest.mark.usefixtures("believed")
def test_a_country_whose_holidays_the_funnel_keeps_takes_the_place(sqlite_database):
    declare(sqlite_database, "JP")
    closed_on_holidays(sqlite_database)
    retrain(sqlite_database, "sales", now=NOW)
    declare(sqlite_database, "NL")
    promoted = retrain(sqlite_database, "sales", now=NOW)
    assert (promoted.counts["promoted"], promoted.counts["kept"]) == (1, 0)
    assert promoted.version.number == 2
    assert "; promoted: the challenger (another declaration) was better (WQL 0." in promoted.version.reason


@pytest.mark.usefixtures("believed")
def test_new_data_are_taken_up_while_a_challenger_is_kept_from_serving(sqlite_database):
    declare(sqlite_database, "NL")
    closed_on_holidays(sqlite_database, last=3)
    retrain(sqlite_database, "sales", now=NOW)
    declare(sqlite_database, "JP")
    closed_on_holidays(sqlite_database, first=2, level=180.0)  # a jump must not be charged to the declaration
    kept = retrain(sqlite_database, "sales", now=NOW)
    assert (kept.counts["promoted"], kept.counts["kept"]) == (0, 1)
    assert "; kept the declaration of version 1: the challenger (another declaration) was not better" in kept.reason
    assert kept.version is not None
    assert kept.version.cutoff == NOW.date() - timedelta(days=1)
    assert kept.version.funnel.country == "NL"
    again = retrain(sqlite_database, "sales", now=NOW)
    assert again.version is None
    assert "kept version 2: the challenger (another declaration) was not better" in again.reason


def test_a_hint_without_effect_is_promoted_whatever_the_new_data_did(sqlite_database):
    declare(sqlite_database, "NL")
    closed_on_holidays(sqlite_database, last=9)
    retrain(sqlite_database, "sales", now=NOW)
    closed_on_holidays(sqlite_database, first=8, level=200.0)
    far = DeclaredDay("closed", date(2027, 6, 1), date(2027, 6, 2))
    with sqlite_database.write() as connection:
        declare_funnel(connection, "sales", replace(FUNNEL, declared_days=(far,)), now=NOW)
    promoted = retrain(sqlite_database, "sales", now=NOW)
    assert promoted.version.number == 2
    assert "promoted: the challenger (another declaration) was as good (WQL 0." in promoted.reason


def test_a_retrain_tells_whose_holidays_are_kept_when_they_are_not_the_declared_ones(sqlite_database, capsys):
    declare(sqlite_database, "JP")
    closed_on_holidays(sqlite_database)
    overruled = retrain(sqlite_database, "sales", now=NOW)
    print_lines(lines_from_result("sales", overruled))
    first, told = capsys.readouterr().out.splitlines()
    assert first.startswith("sales: version 1 is served after ")
    assert told.startswith("  the holidays of JP are declared, but the public holidays that fit best are those of ")
    declare(sqlite_database, "NL")
    kept = retrain(sqlite_database, "sales", now=NOW)
    assert len(lines_from_result("sales", kept)) == 1
