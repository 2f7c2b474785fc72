"""What a funnel may be declared to be."""

import pytest

from models.errors import FunnelError
from models.funnel import Funnel, check_declarable, check_timezone

STAGES = tuple(f"stage {number}" for number in range(200))


@pytest.mark.parametrize(
    ("funnel", "field"),
    [
        (Funnel((*STAGES, "one more")), "stages"),
        (Funnel(STAGES, exits=("lost",)), "stages"),
        (Funnel(("lead",), segment_by="x" * 201), "segment_by"),
        (Funnel(("lead",), segment_by=""), "segment_by"),
        (Funnel(("lead",), segment_by="due_on"), "segment_by"),
        (Funnel(("lead",), country="DEU"), "country"),
        (Funnel(("lead",), country="DE-"), "country"),
        (Funnel(("lead",), country="DE-BY\n"), "country"),
    ],
)
def test_what_may_not_be_declared_can_be_held_but_is_refused_by_name_of_its_field(funnel, field):
    with pytest.raises(FunnelError) as refused:
        check_declarable(funnel)
    assert refused.value.field == field
    assert field not in refused.value.reason[: len(field)]


@pytest.mark.parametrize(
    "funnel",
    [Funnel(STAGES), Funnel(("lead",), segment_by="x" * 200, country="DE-BY"), Funnel(("lead",), country="NL")],
)
def test_what_is_just_within_the_limits_may_be_declared(funnel):
    check_declarable(funnel)


@pytest.mark.parametrize("timezone", ["localtime", "posixrules", "right/UTC", "Factory", "Mars/Base", "", "../UTC"])
def test_a_zone_that_depends_on_the_machine_is_none(timezone):
    with pytest.raises(FunnelError, match="timezone"):
        check_timezone(timezone)


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Amsterdam", "US/Eastern", "Etc/GMT+5", "CET"])
def test_zones_and_their_aliases_are_known(timezone):
    check_timezone(timezone)
