"""What a funnel nobody declared looks like: stage order, exits, due stage and segment, from its rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.errors import FunnelError
from models.funnel import Funnel
from models.journeys import MOST_STAGES, NOT_YET, Journeys, journeys_from_events
from models.records import NO_DAY, Counts, Events
from models.times import DAY, local_from_instants
from models.wording import worded

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

MOST_SEGMENTS = 50
LAST = 0.9
"""Share of entities for which a terminal stage is the last one they reach."""
APART = 0.05
"""Two ends exclude each other when fewer of the rarer one's entities reach both."""
RARE = 0.02
ALIKE = 0.84
"""A stage is taken for another one misspelt when it is this rare beside it and this similar to it."""
SHARED = 0.2
"""A stage of which more of its entities than this are at the other one too is a stage of its own."""
SKIPPED = 0.6
"""A stage that more entities pass by than this is worth a note."""

_EXIT_WORDS = re.compile(
    r"lost|cancel|declin|reject|refus|no_?show|churn|expir|withdr[ae]w|disqualif|unqualif|abandon|dropped|failed|denied"
    r"|bounced|dead|junk|spam|refund|chargeback|unsubscri|discard|void|terminated|inactive|dismissed|reverted"
    r"|annul|stornier|abgelehnt|verloren|perdu|perdid|rechaza|afgewezen|geannul"
)
_NEGATION = re.compile(r"(?<![^\W_])(?:un|non|not|dis|in)[\W_]*(?=[^\W_])")
_SEGMENT_WORDS = (
    *("segment", "region", "country", "market", "channel", "product", "source", "business_unit", "team"),
    *("category", "plan", "tier", "type", "kind", "area", "branch", "brand", "store", "campaign"),
)


@dataclass(frozen=True, slots=True)
class Inference:
    """A proposed funnel, and one sentence for each thing it took for granted."""

    funnel: Funnel
    notes: tuple[str, ...]


def infer_funnel(
    events: Events | None, counts: Counts | None = None, *, timezone: str, segment_by: str | None
) -> Inference:
    """Propose a funnel: stages that came as counts first, by volume, then those of the events, by order.

    Raises
    ------
    FunnelError
        When there are no rows, or more than MOST_STAGES stages.
    """
    volumes: dict[str, float] = {}
    for stage, y in zip(counts.stage, counts.y, strict=True) if counts is not None else ():
        volumes[stage] = volumes.get(stage, 0.0) + float(y)
    journeys = journeys_from_events(events) if events is not None and len(events) else None
    return infer_from_journeys(journeys, volumes, timezone=timezone, segment_by=segment_by)


def infer_from_journeys(
    journeys: Journeys | None, volumes: Mapping[str, float], *, timezone: str, segment_by: str | None
) -> Inference:
    """The same from entities' journeys and the sums of counts by stage."""
    notes: list[str] = []
    stages: list[str] = []
    exits: list[str] = []
    due_stage = None
    if journeys is not None:
        journeys = _without_misspelt(journeys, notes)
        stages, exits = _order_of_events(journeys, notes)
        due_stage = _due_stage(journeys, stages[1:], timezone, notes)
    if volumes:
        leading, sides = _order_of_counts(volumes, {*stages, *exits}, notes)
        stages, exits = [*leading, *stages], [*exits, *sides]
    if not stages:
        raise FunnelError("there are no rows to infer a funnel from", field="stages")
    if segment_by:
        notes.append(f"segments: the values of {segment_by!r}")
    funnel = Funnel(
        stages=tuple(stages), exits=tuple(exits), segment_by=segment_by, due_stage=due_stage, timezone=timezone
    )
    return Inference(funnel, tuple(notes))


def _without_misspelt(journeys: Journeys, notes: list[str]) -> Journeys:
    """Leave out rare stages that are spelt almost as a common one: they would become stages of their own."""
    sizes = {stage: int(journeys.reached(stage).sum()) for stage in journeys.stages}
    kept = []
    for column, stage in enumerate(journeys.stages):
        common = [
            other
            for other in journeys.stages
            if sizes[stage] <= RARE * sizes[other] and _is_misspelt(stage, other, journeys)
        ]
        if common:
            size = worded("{count} [entity|entities]", sizes[stage])
            notes.append(f"{stage!r} ({size}) is left out: it looks like {common[0]!r}, misspelt")
        else:
            kept.append(column)
    return Journeys(tuple(journeys.stages[column] for column in kept), journeys.first[:, kept], journeys.due)


def _is_misspelt(stage: str, other: str, journeys: Journeys) -> bool:
    """Whether a rare stage is a common one misspelt; what might be a stage of its own is not.

    That is what differs in its numbers or by a negation, what bears the name of an exit, and what
    entities pass through beside the other one: who misspells a stage does not write it rightly as well.
    """
    one, common = stage.casefold(), other.casefold()
    if _letters(one) == _letters(common):
        return True
    if _similarity(one, common) < ALIKE or re.findall(r"\d+", one) != re.findall(r"\d+", common):
        return False
    if _EXIT_WORDS.search(one) or _negates(one, common):
        return False
    return bool(journeys.reached(other)[journeys.reached(stage)].mean() <= SHARED)


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name)


def _similarity(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _negates(one: str, other: str) -> bool:
    """Whether two names are more alike without the un-, non-, not-, dis- or in- of one of them, or of both."""
    bare = _NEGATION.sub("", one), _NEGATION.sub("", other)
    without = _similarity(bare[0], other), _similarity(one, bare[1]), _similarity(*bare)
    return max(without) > _similarity(one, other)


def _order_of_events(journeys: Journeys, notes: list[str]) -> tuple[list[str], list[str]]:
    """Stages of the path, in order, and exits."""
    exits = _exits(journeys)
    path = [stage for stage in journeys.stages if stage not in exits]
    before = _before(journeys, path)
    strength = _strongest_paths(before)
    wins = (strength > strength.T).sum(axis=1)
    sizes = np.array([journeys.reached(stage).sum() for stage in path])
    order = sorted(range(len(path)), key=lambda i: (-wins[i], -sizes[i], path[i]))
    stages = [path[i] for i in order]
    notes.append(f"stages, in the order in which entities reach them: {' → '.join(stages)}")
    for one, other in pairwise(order):
        votes = before[one, other] + before[other, one]
        if before[one, other] <= 0.6 * votes:
            told = f"{before[one, other] / votes:.0%} of {votes:.0f} entities" if votes else "no entity reaches both"
            notes.append(
                f"the order of {path[one]} and {path[other]} is not clear ({told}): declare stages to settle it"
            )
        skipped = 1 - journeys.reached(path[one])[journeys.reached(path[other])].mean()
        if skipped > SKIPPED:
            notes.append(
                f"{skipped:.0%} of the entities at {path[other]} have not been at {path[one]}: "
                f"if that is an exit, declare it as one"
            )
    if exits:
        notes.append(f"exits, ends beside that path: {', '.join(exits)}")
    return stages, exits


def _before(journeys: Journeys, stages: list[str]) -> Floats:
    """How many entities reach stage i strictly before stage j, (stages, stages)."""
    first = np.stack([journeys.when(stage) for stage in stages], axis=1)
    both = first != NOT_YET
    return np.array(
        [
            [((first[:, i] < first[:, j]) & both[:, i] & both[:, j]).sum() for j in range(len(stages))]
            for i in range(len(stages))
        ],
        dtype=float,
    )


def _strongest_paths(before: Floats) -> Floats:
    """Schulze's strongest paths of the majorities: orders pairs that no entity links directly, too."""
    strength = np.where(before > before.T, before, 0.0)
    for middle in range(len(strength)):
        strength = np.maximum(strength, np.minimum(strength[:, [middle]], strength[[middle], :]))
    return strength


def _exits(journeys: Journeys) -> list[str]:
    """Ends beside the path: by name, or because another end that excludes them lies deeper.

    A rejected claim may be handed in again and paid: an exit by name need not be the last stage reached.
    """
    named = [stage for stage in journeys.stages if _EXIT_WORDS.search(stage.casefold())]
    if len(named) == len(journeys.stages):
        named = []
    path = [stage for stage in journeys.stages if stage not in named]
    last = [stage for stage in path if _is_last(journeys, stage, path)]
    if not last:
        return named

    def depth(stage: str) -> tuple[float, int]:
        there = journeys.reached(stage)
        others = [journeys.reached(other)[there] for other in path if other not in last]
        return round(float(np.sum([other.mean() for other in others])), 1), int(there.sum())

    end = max(last, key=depth)
    sides = [stage for stage in last if stage != end and _exclude_each_other(journeys, stage, end)]
    return sorted({*named, *sides}, key=lambda stage: (-int(journeys.reached(stage).sum()), stage))


def _is_last(journeys: Journeys, stage: str, path: list[str]) -> bool:
    """Whether entities that get there go no further, as a rule."""
    there = journeys.reached(stage)
    others = [journeys.when(other)[there] for other in path if other != stage]
    if not others:
        return True
    later = np.any([(other != NOT_YET) & (other > journeys.when(stage)[there]) for other in others], axis=0)
    return bool(later.mean() <= 1 - LAST)


def _exclude_each_other(journeys: Journeys, one: str, other: str) -> bool:
    here, there = journeys.reached(one), journeys.reached(other)
    return bool((here & there).sum() <= APART * min(here.sum(), there.sum()))


def _due_stage(journeys: Journeys, stages: list[str], timezone: str, notes: list[str]) -> str | None:
    """The stage whose days the due days are nearest to; the entry stage cannot be due."""
    known = journeys.due != NO_DAY
    best: tuple[float, float, str] | None = None
    for stage in stages:
        rows = known & journeys.reached(stage)
        if not rows.any():
            continue
        days = local_from_instants(journeys.when(stage)[rows], timezone=timezone) // DAY
        late = np.abs(days - journeys.due[rows])
        found = (float(np.median(late)), float(late.mean()), stage)
        best = found if best is None else min(best, found)
    if best is None:
        return None
    off = worded("{count} [day|days]", round(best[0]))
    notes.append(f"due_on speaks of {best[2]}: half of its entities are at most {off} off")
    return best[2]


def _order_of_counts(totals: Mapping[str, float], known: set[str], notes: list[str]) -> tuple[list[str], list[str]]:
    """Stages that only counts tell of, the largest first, and those that bear an exit's name."""
    if len(totals) > MOST_STAGES:
        raise FunnelError(
            f"{len(totals)} different stages: at most {MOST_STAGES} without a declaration", field="stages"
        )
    ordered = sorted((stage for stage in totals if stage not in known), key=lambda stage: (-totals[stage], stage))
    exits = [stage for stage in ordered if _EXIT_WORDS.search(stage.casefold())]
    stages = [stage for stage in ordered if stage not in exits]
    if not stages and not known:
        stages, exits = exits, []
    if len(stages) > 1:
        notes.append(f"stages that came as counts, ordered by volume, which is a guess: {' → '.join(stages)}")
    return stages, exits


def infer_segment_by(frame: pd.DataFrame | Mapping[str, Sequence[str]]) -> str | None:
    """The column that most looks like a segment: few values, text, filled in, the same all along an entity.

    Columns with a usual name (segment, region, ...) come first; without such a name a column is taken
    only if it is the only one that qualifies.
    """
    taken = {"entity_id", "stage", "ts", "ds", "y", "value", "due_on"}
    columns: dict[str, list[str]] = {str(name): list(texts) for name, texts in frame.items()}
    able = [name for name, texts in columns.items() if name not in taken and _could_be_segment(texts)]
    if "entity_id" in columns:
        able = [name for name in able if _is_steady(columns["entity_id"], columns[name])]
    for word in _SEGMENT_WORDS:
        for name in able:
            if word in re.split(r"[\W_]+", name.casefold()) or word == name.casefold():
                return name
    return able[0] if len(able) == 1 else None


def _could_be_segment(texts: list[str]) -> bool:
    given = [text for text in texts if isinstance(text, str) and text.strip()]
    values = set(given)
    if not 2 <= len(values) <= min(MOST_SEGMENTS, len(texts) / 3) or len(given) < 0.8 * len(texts):
        return False
    return not all(re.fullmatch(r"[\d.,:+TZ \-/]+", value) for value in values) and max(map(len, values)) <= 60


def _is_steady(entities: list[str], texts: list[str]) -> bool:
    """Whether the column says the same in (almost) all rows of an entity."""
    first: dict[str, str] = {}
    same = sum(first.setdefault(entity, text) == text for entity, text in zip(entities, texts, strict=True))
    return same >= 0.98 * len(texts)
