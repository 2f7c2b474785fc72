"""Champion and challenger: what was made under other conditions must not score worse than what is served.

With the same declaration, calendar and engine a version's parameters are what its data make of them: fitted anew or
continued, they are the same to the byte, and there is nothing to choose between. A challenger is a version for which
one of these has changed. Both carry scores of their forecasts at past origins, so that comparing them costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from models.funnel import TOTAL, Funnel
from service.store.versions import Draft, Version

WORSE = 1.02
"""A WQL of so many times the champion's is worse: the same series, origins and steps tell less than that by chance."""
PATIENCE = timedelta(days=7)
"""A champion whose data end so long before the challenger's is given up: by then age costs more than was at stake."""
ENGINE = "engine"
"""Where a version's quality holds what its states mean, see `models.memory.FORMAT`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the challenger takes the champion's place, and why, with the measured figures."""

    promoted: bool
    reason: str


def judge(champion: Version | None, challenger: Draft) -> Verdict | None:
    """Compare the two by their WQL of the total, over stages and steps scored in both; None: it is no challenger.

    What is asked for (stages, segments, zone, horizon) is no matter of scores: such a version is published.
    """
    if champion is None or not (changes := _changes(champion, challenger)):
        return None
    why = f"the challenger ({', '.join(changes)})"
    pairs = _pairs(champion.scorecard, challenger.scorecard)
    weight = sum(ours["n"] for _, ours in pairs)
    if not weight:
        return Verdict(True, f"promoted: {why} and version {champion.number} have no scores to be compared by")
    theirs, mine = (sum(pair[side]["wql"] * pair[1]["n"] for pair in pairs) / weight for side in (0, 1))
    origins = max(ours["n"] // (ours["last"] - ours["first"] + 1) for _, ours in pairs)
    figures = f"WQL {mine:.3f} against {theirs:.3f} over {origins} origins"
    if mine <= WORSE * theirs:
        word = "better" if mine < theirs else "as good" if mine == theirs else "no worse"
        return Verdict(True, f"promoted: {why} was {word} ({figures})")
    if challenger.cutoff - champion.cutoff > PATIENCE:
        days = (challenger.cutoff - champion.cutoff).days
        return Verdict(
            True, f"promoted: {why} was not better ({figures}), but version {champion.number} ends {days} days earlier"
        )
    return Verdict(False, f"kept version {champion.number}: {why} was not better ({figures})")


def _changes(champion: Version, challenger: Draft) -> list[str]:
    """Conditions that differ, as far as they are hints to the models; none when something else is asked for as well."""
    theirs, ours = champion.funnel, challenger.funnel
    if replace(theirs, **_hints(ours), gate=ours.gate) != ours:
        return []
    engines = champion.quality.get(ENGINE), challenger.quality.get(ENGINE)
    declared = _hints(theirs) != _hints(ours)
    differs = {
        "another declaration": declared,
        "another calendar": not declared and champion.calendar != challenger.calendar,
        "another engine": None not in engines and engines[0] != engines[1],
    }
    return [text for text, different in differs.items() if different]


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
