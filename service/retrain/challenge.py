"""Champion and challenger: what was made under other conditions must not score worse than what is served.

With the same declaration and calendar a version's parameters are what its data make of them: fitted anew or continued,
they are the same to the byte, and there is nothing to choose between. A challenger is a version for which one of these
has changed. Scores are compared on the same data only: where there are new ones, the champion's hints are fitted to
them as well, see `rival_of`, and whichever is served knows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.funnel import TOTAL, Funnel
from service.store.versions import Draft, Version

WORSE = 1.02
"""A WQL of so many times the champion's is worse: the same series, origins and steps tell less than that by chance."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the challenger takes the champion's place, and why, with the measured figures."""

    promoted: bool
    reason: str


def rival_of(champion: Version | None, funnel: Funnel) -> Funnel | None:
    """The funnel with the hints of the champion; None when it gives the same, or asks for something else as well."""
    if champion is None or not _is_comparable(champion.funnel, funnel):
        return None
    rival = replace(funnel, **_hints(champion.funnel))
    return None if rival == funnel else rival


def judge(
    champion: Version | None,
    challenger: Draft,
    rival: Draft | None = None,
    *,
    scorecard: Sequence[Mapping[str, Any]] = (),
) -> Verdict | None:
    """Compare the two by their WQL of the total, over stages and steps scored in both; None: it is no challenger.

    `scorecard` is the champion's. `rival` is what its conditions make of the challenger's data, when those are not the
    champion's. What is asked for (stages, segments, zone, horizon) is no matter of scores: such a version is published.
    """
    if champion is None or not (change := _change(champion, challenger)):
        return None
    why = f"the challenger ({change})"
    if rival is None and (champion.cutoff, champion.watermark) != (challenger.cutoff, challenger.watermark):
        return Verdict(True, f"promoted: {why} has newer data than version {champion.number}, and is not compared")
    pairs = _pairs(scorecard if rival is None else rival.scorecard, challenger.scorecard)
    weight = sum(ours["n"] for _, ours in pairs)
    if not weight:
        return Verdict(True, f"promoted: {why} and version {champion.number} have no scores to be compared by")
    theirs, mine = (sum(pair[side]["wql"] * pair[1]["n"] for pair in pairs) / weight for side in (0, 1))
    origins = max(ours["n"] // (ours["last"] - ours["first"] + 1) for _, ours in pairs)
    figures = f"WQL {mine:.3f} against {theirs:.3f} over {origins} origins"
    if mine <= WORSE * theirs:
        word = "better" if mine < theirs else "as good" if mine == theirs else "no worse"
        return Verdict(True, f"promoted: {why} was {word} ({figures})")
    kept = f"kept version {champion.number}" if rival is None else f"kept the declaration of version {champion.number}"
    return Verdict(False, f"{kept}: {why} was not better ({figures})")


def _change(champion: Version, challenger: Draft) -> str | None:
    """What differs, as far as it is a hint to the models; None when something else is asked for as well."""
    if not _is_comparable(champion.funnel, challenger.funnel):
        return None
    if _hints(champion.funnel) != _hints(challenger.funnel):
        return "another declaration"
    return "another calendar" if champion.calendar != challenger.calendar else None


def _is_comparable(theirs: Funnel, ours: Funnel) -> bool:
    """Whether the two ask for the same."""
    return replace(theirs, **_hints(ours), gate=ours.gate) == ours


def _hints(funnel: Funnel) -> dict[str, Any]:
    """What a declaration tells the models about days and dates; the rest says what is asked for."""
    return {name: getattr(funnel, name) for name in ("country", "declared_days", "due_stage")}


def _pairs(
    theirs: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Scores of the same stage and steps of the total, that could be measured in both."""
    by_name = {_name(score): score for score in theirs if _is_usable(score)}
    return [(by_name[_name(score)], score) for score in ours if _is_usable(score) and _name(score) in by_name]


def _name(score: Mapping[str, Any]) -> tuple[Any, ...]:
    return score["stage"], score["first"], score["last"], score.get("measure", "count")


def _is_usable(score: Mapping[str, Any]) -> bool:
    """Whether it is a count's of the total with a loss; a NaN is stored as none."""
    wql = score["wql"]
    return score["segment"] == TOTAL and score.get("measure", "count") == "count" and wql is not None and wql == wql  # noqa: PLR0124
