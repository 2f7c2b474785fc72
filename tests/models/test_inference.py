"""Inference of an undeclared funnel, on made-up ways and on real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.errors import FunnelError
from models.inference import infer_funnel, infer_segment_by
from models.rows import Counts, Events, counts_from_frame, events_from_frame
from models.times import times_from_texts
from models.zones import infer_timezone

CASES = Path(__file__).parents[3] / "shared" / "cases"


def events_of(ways, *, due=None) -> Events:
    """One entity a way; a way is stage names, a day apart, `a+b` on the same day."""
    rows = [
        (f"e{number}", stage, f"2024-{1 + number % 9:02}-{1 + day:02}", (due or {}).get(number, ""))
        for number, way in enumerate(ways)
        for day, together in enumerate(way.split())
        for stage in together.split("+")
    ]
    table = pd.DataFrame(rows, columns=["entity_id", "stage", "ts", "due_on"], dtype=object)
    return events_from_frame(table, timezone="UTC", segment_by=None)


def counts_of(**volumes) -> Counts:
    table = pd.DataFrame({"ds": "2024-01-01", "stage": list(volumes), "y": list(volumes.values())})
    return counts_from_frame(table, timezone="UTC", segment_by=None)


def inferred(*ways, **arguments):
    return infer_funnel(events_of(ways, **arguments), timezone="UTC", segment_by=None)


def test_stages_come_in_the_order_in_which_entities_reach_them():
    funnel = inferred(*["z y x"] * 5, *["z y"] * 5, *["z"] * 30).funnel
    assert funnel.stages == ("z", "y", "x")
    assert funnel.exits == ()


def test_stages_that_no_entity_links_directly_are_ordered_through_others():
    funnel = inferred(*["b c"] * 5, *["c a"] * 5, *["a d"] * 5).funnel
    assert funnel.stages == ("b", "c", "a", "d")


def test_stages_reached_on_the_same_day_do_not_confuse_the_order():
    funnel = inferred(*["b+a"] * 50, *["b a"] * 5, *["b"] * 9).funnel
    assert funnel.stages == ("b", "a")


def test_an_end_that_excludes_the_deeper_end_is_an_exit_whatever_its_name():
    funnel = inferred(*["s1 s2 s3"] * 20, *["s1 s9"] * 15, *["s1 s2 s9"] * 5, *["s1"] * 3).funnel
    assert funnel.stages == ("s1", "s2", "s3")
    assert funnel.exits == ("s9",)


def test_an_exit_by_name_need_not_be_the_end():
    funnel = inferred(*["handed_in rejected approved paid"] * 5, *["handed_in approved paid"] * 20).funnel
    assert funnel.stages == ("handed_in", "approved", "paid")
    assert funnel.exits == ("rejected",)


def test_exits_come_the_most_frequent_first():
    funnel = inferred(*["lead won"] * 9, *["lead lost"] * 3, *["lead cancelled"] * 7).funnel
    assert funnel.exits == ("cancelled", "lost")


def test_a_stage_that_few_leave_is_still_a_stage():
    funnel = inferred(*["lead"] * 95, *["lead deal"] * 5).funnel
    assert funnel.stages == ("lead", "deal")


def test_one_stage_is_a_funnel_even_by_the_name_of_an_exit():
    assert inferred("lead", "lead").funnel.stages == ("lead",)
    assert inferred("cancelled").funnel.stages == ("cancelled",)


def test_a_rare_misspelling_is_left_out_and_said():
    result = inferred(*["lead qualified"] * 120, "lead qualifed", "lead Qualified")
    assert result.funnel.stages == ("lead", "qualified")
    assert sum("misspelt" in note for note in result.notes) == 2


@pytest.mark.parametrize(
    ("common", "rare"),
    [
        ("checkout_step_1", "checkout_step_3"),
        ("qualified", "unqualified"),
        ("lead_qualified", "lead_not_qualified"),
        ("inspected", "uninspected"),
        ("interested", "disinterested"),
        ("invited", "uninvited"),
        ("ejected", "rejected"),
    ],
)
def test_a_rare_stage_that_only_looks_like_a_common_one_is_kept(common, rare):
    result = inferred(*[f"start {common}"] * 120, f"start {rare}")
    assert {common, rare} <= {*result.funnel.stages, *result.funnel.exits}
    assert not any("misspelt" in note for note in result.notes)


def test_a_rare_stage_that_entities_pass_through_beside_the_common_one_is_no_misspelling():
    result = inferred(*["start contract_sent"] * 150, *["start contract_sent contract_sentry"] * 2)
    assert result.funnel.stages == ("start", "contract_sent", "contract_sentry")


@pytest.mark.parametrize("rare", ["invoced", "in voiced", "Invoiced", "invoicd"])
def test_what_looks_like_a_negation_does_not_hide_a_misspelling(rare):
    events = events_of([*["start invoiced"] * 120, "start X"])
    stages = np.array([rare if stage == "X" else stage for stage in events.stage], dtype=object)
    found = Events(events.entity_id, stages, events.ts, events.value, events.due_on, events.segment)
    assert infer_funnel(found, timezone="UTC", segment_by=None).funnel.stages == ("start", "invoiced")


def test_the_due_stage_is_the_one_that_falls_on_the_due_days():
    due = {number: f"2024-{1 + number % 9:02}-03" for number in range(20)}
    assert inferred(*["booked confirmed arrived left"] * 20, due=due).funnel.due_stage == "arrived"
    assert inferred(*["booked arrived"] * 20).funnel.due_stage is None


def test_an_unclear_order_is_said():
    notes = inferred(*["a b"] * 10, *["b a"] * 9).notes
    assert any("the order of a and b is not clear" in note for note in notes)


def test_a_stage_that_most_pass_by_is_said():
    notes = inferred(*["a b c"] * 2, *["a c"] * 18).notes
    assert any("have not been at b" in note for note in notes)


def test_counted_stages_come_first_and_by_volume():
    events = events_of(["lead won", "lead"])
    result = infer_funnel(events, counts_of(signups=30, visits=900, lead=2), timezone="UTC", segment_by="region")
    assert result.funnel.stages == ("visits", "signups", "lead", "won")
    assert result.funnel.segment_by == "region"
    assert any("a guess" in note for note in result.notes)


def test_the_order_of_rows_does_not_matter():
    events = events_of([*["z y x"] * 5, *["z lost"] * 5, "z", "y x"])
    rows = np.random.default_rng(1).permutation(len(events))
    funnels = [infer_funnel(found, timezone="UTC", segment_by=None) for found in (events, events.take(rows))]
    assert funnels[0] == funnels[1]


def test_a_column_of_too_many_stages_is_refused():
    with pytest.raises(FunnelError, match="61 different stages"):
        inferred(" ".join(["a"]), *[f"s{number}" for number in range(60)])


def test_no_rows_are_refused():
    with pytest.raises(FunnelError, match="no rows"):
        infer_funnel(Events.none(), None, timezone="UTC", segment_by=None)


def test_the_segment_is_the_column_with_a_usual_name():
    ids = [f"e{row // 2}" for row in range(40)]
    regions = [["north", "south"][row // 2 % 2] for row in range(40)]
    owners = [["ann", "bob", "cy"][row // 2 % 3] for row in range(40)]
    table = pd.DataFrame({"entity_id": ids, "owner": owners, "sales_region": regions})
    assert infer_segment_by(table) == "sales_region"
    assert infer_segment_by({"entity_id": ids, "owner": owners}) == "owner"
    assert infer_segment_by({"entity_id": ids, "owner": owners, "buyer": regions}) is None


def test_columns_that_vary_are_empty_or_hold_numbers_are_no_segments():
    ids = [f"e{row // 2}" for row in range(40)]
    assert infer_segment_by({"entity_id": ids, "kind": ["x", "y"] * 20}) is None
    assert infer_segment_by({"entity_id": ids, "region": ["x"] * 10 + [""] * 30}) is None
    assert infer_segment_by({"entity_id": ids, "tier": [str(row // 2 % 2) for row in range(40)]}) is None
    assert infer_segment_by({"entity_id": ids, "country": [f"c{row // 2}" for row in range(40)]}) is None


@pytest.mark.parametrize("timezone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney", "UTC"])
def test_the_zone_is_one_that_shows_the_offsets_written(timezone):
    moments = pd.date_range("2023-01-01", "2024-12-31", freq="17h", tz=timezone)
    assert infer_timezone(times_from_texts([moment.isoformat() for moment in moments]))[0] == timezone


def test_instants_in_utc_among_local_ones_do_not_hide_the_zone():
    moments = pd.date_range("2023-01-01", "2024-12-31", freq="5h", tz="America/Chicago")
    texts = [
        moment.isoformat() if row % 3 else moment.tz_convert("UTC").isoformat().replace("+00:00", "Z")
        for row, moment in enumerate(moments)
    ]
    assert infer_timezone(times_from_texts(texts))[0] == "America/Chicago"


def test_times_without_a_zone_give_utc_and_say_so():
    zone, note = infer_timezone(times_from_texts(["2024-01-01", ""]))
    assert zone == "UTC"
    assert "bear no zone" in note


@pytest.mark.parametrize("rows", [None, 20_000, 5000])
@pytest.mark.parametrize("name", ["hotel", "bpi2012_loans", "bpi2020_expenses"])
def test_real_funnels_are_inferred_as_people_declared_them(name, rows):
    folder = CASES / name
    if not folder.exists():
        pytest.skip(f"the real funnels are not beside this checkout ({folder})")
    case = json.loads((folder / "case.json").read_text())
    table = pd.read_csv(folder / "events.csv.gz", dtype=str, keep_default_na=False, nrows=rows)
    segment_by = infer_segment_by(table)
    events = events_from_frame(table, timezone="UTC", segment_by=segment_by)
    funnel = infer_funnel(events, timezone="UTC", segment_by=segment_by).funnel
    assert list(funnel.stages) == case["stages"]
    assert set(funnel.exits) == set(case["exits"])
    assert funnel.segment_by == case["segment_by"]
    assert funnel.due_stage == case.get("due_stage")
