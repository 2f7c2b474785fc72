"""The one transaction of an upload: declare what there is to declare, merge the rows, record what became of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from models.errors import FunnelError, InputError, Problem
from models.funnel import Funnel
from models.journeys import count_mended
from models.wording import worded
from service.ingest.declaring import reconsider
from service.ingest.intake import Intake
from service.ingest.options import AGES, REPAIRS, IngestOptions, IngestReport
from service.store.arrivals import write_arrivals
from service.store.funnels import (
    FunnelRecord,
    declaration_from_funnel,
    declare_funnel,
    find_funnel,
    set_naive_times,
    set_schedule,
)
from service.store.instants import micros_from_datetime
from service.store.lateness import count_by_age
from service.store.observations import MergeResult, merge_counts, merge_events
from service.store.retraction import retract_absent
from service.store.shapes import COUNTS, EVENTS
from service.store.staging import Staging
from service.store.uploads import Kind, Upload, begin_upload, finish_upload

CLOCK_SKEW = timedelta(minutes=5)
MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Whole:
    """The rows tell all events of their entities at these stages and at those they name themselves.

    Parameters
    ----------
    absent
        They tell of all entities as well, or of all counts: what is not among them is retracted.
    """

    stages: tuple[str, ...] = ()
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms rows are taken in.

    Parameters
    ----------
    now
        The present instant.
    whole
        What the rows tell all of, so that what is stored beside them is retracted; None: of nothing.
    settle
        Called at the end of the transaction that merges the rows, with the funnel's id.
    watermark
        Column that tells where reading goes on: it is of use, though no column of ours.
    """

    kind: Kind
    options: IngestOptions
    now: datetime
    whole: Whole | None = None
    settle: Callable[[Connection, int, Intake], None] | None = None
    watermark: str | None = None


@dataclass(frozen=True, slots=True)
class Merge:
    """The one transaction of an upload."""

    connection: Connection
    staging: Staging
    intake: Intake
    terms: Terms

    def run(self, name: str, seen: FunnelRecord | None, funnel: Funnel, proposal: tuple[str, ...]) -> IngestReport:
        """Declare what there is to declare, merge the rows and record the report."""
        intake, connection = self.intake, self.connection
        self._check_still(find_funnel(connection, name), seen)
        notes = [*intake.notes, *proposal]
        proposed = seen is None
        inferred = self._inferred(seen)
        if seen is None or funnel != seen.funnel or inferred != seen.inferred:
            record = declare_funnel(connection, name, funnel, now=self.terms.now, inferred=inferred)
        else:
            record = seen
        if self.terms.options.schedule is not None:
            set_schedule(connection, record, self.terms.options.schedule or None, now=self.terms.now)
        upload = begin_upload(
            connection, record.id, kind=intake.kind, now=self.terms.now, fresh_until=self._fresh_until(funnel.timezone)
        )
        merged = self._merge(record.id, upload.number)
        self._note_clock(record, notes)
        if record.inferred and record.active_version_id is None and not proposed and _unknown(intake, funnel):
            funnel, found = reconsider(connection, record)
            declare_funnel(connection, name, funnel, now=self.terms.now, inferred=True)
            notes, proposed = [*notes, *found], True
        report = self._report(name, funnel, merged, ages=self._ages(upload), number=upload.number)
        report = replace(
            report,
            inferred=declaration_from_funnel(funnel) if proposed and inferred else None,
            notes=(*notes, *_closing_notes(intake, report, watermark=self.terms.watermark)),
        )
        shape = COUNTS if intake.kind == "counts" else EVENTS
        write_arrivals(connection, shape, upload, timezone=funnel.timezone)
        finish_upload(connection, upload, changed=merged.changed, report=report.as_json())
        if self.terms.settle is not None:
            self.terms.settle(connection, record.id, intake)
        return report

    def _inferred(self, seen: FunnelRecord | None) -> bool:
        """Whether the declaration stays a proposal: a caller who names its stages has decided."""
        said = self.terms.options.stages or (self.terms.options.exits, self.terms.options.due_stage) != (None, None)
        return not said and (seen is None or seen.inferred)

    def _merge(self, funnel_id: int, number: int) -> MergeResult:
        said, whole, wide = self.intake.layout.said, self.terms.whole, tuple(self.terms.options.wide)
        stages = tuple(dict.fromkeys((*(whole.stages if whole else ()), *wide, *self.intake.sample.rows)))
        if self.intake.kind == "counts":
            merged = merge_counts(self.connection, funnel_id, number, self.staging, columns=said)
        else:
            if wide:
                _check_one_row_each(self.connection)
            replaced = stages if whole else wide or False
            merged = merge_events(self.connection, funnel_id, number, self.staging, replace=replaced, columns=said)
        if whole is None or not whole.absent:
            return merged
        shape = COUNTS if self.intake.kind == "counts" else EVENTS
        retracted = retract_absent(self.connection, shape, funnel_id, number, stages)
        return replace(merged, retracted=merged.retracted + retracted)

    def _fresh_until(self, timezone: str) -> datetime | None:
        instant = self.terms.options.fresh_until
        if instant is not None and instant.tzinfo is None:
            instant = instant.replace(tzinfo=ZoneInfo(timezone))
        if instant is not None and instant > self.terms.now + CLOCK_SKEW:
            raise InputError(
                Problem(
                    f"{instant} is in the future", field="fresh_until", remedy="say up to when the source is complete"
                )
            )
        return instant

    def _check_still(self, found: FunnelRecord | None, seen: FunnelRecord | None) -> None:
        """The rows were read as the funnel was declared when reading began."""
        if (found and found.funnel) != (seen and seen.funnel):
            raise FunnelError("it was declared anew while the upload was being read; send the upload again")

    def _note_clock(self, record: FunnelRecord, notes: list[str]) -> None:
        """Remember whether the source writes zones, and say so when that has changed."""
        naive = self.intake.gate.naive if self.intake.rows else None
        if naive is None or naive == record.naive_times:
            return
        if record.naive_times is not None:
            before, here = ("bore no zone", "bear one") if record.naive_times else ("bore a zone", "bear none")
            notes.append(f"times of earlier uploads {before}, these {here}: check that no hour has shifted")
        if record.naive_times is None or naive:
            set_naive_times(self.connection, record.id, naive=naive)

    def _report(
        self, name: str, funnel: Funnel, merged: MergeResult, *, ages: dict[str, int], number: int
    ) -> IngestReport:
        intake = self.intake
        repairs = dict(intake.repairs)
        if merged.duplicates:
            repairs["duplicate_row"] = merged.duplicates
        if (journeys := intake.sample.journeys()) is not None:
            for kind, count in count_mended(journeys, funnel).items():
                repairs[kind] = count * intake.sample.every
        return IngestReport(
            funnel=name,
            kind=intake.kind,
            upload=number,
            rows=merged.rows,
            inserted=merged.inserted,
            revised=merged.revised,
            unchanged=merged.unchanged,
            duplicates=merged.duplicates,
            retracted=merged.retracted,
            repairs=repairs,
            ages=ages,
            unknown_stages=_unknown(intake, funnel),
            inferred=None,
            notes=(),
        )

    def _ages(self, upload: Upload) -> dict[str, int]:
        """New and revised rows by age; the first upload of a funnel is all history and has none that are late."""
        if upload.number == 1:
            return {}
        shape = COUNTS if self.intake.kind == "counts" else EVENTS
        told = micros_from_datetime(upload.fresh_until)
        days = [days for days, _ in AGES.values()]
        found = count_by_age(self.connection, shape, upload.funnel_id, upload.number, told=told, days=days)
        return {age: found[place] for place, age in enumerate(AGES) if found[place]}


def _unknown(intake: Intake, funnel: Funnel) -> dict[str, int]:
    """Rows by stage, of the stages that the funnel does not declare."""
    known = {*funnel.stages, *funnel.exits}
    return {stage: rows for stage, rows in sorted(intake.sample.rows.items()) if stage not in known}


def _closing_notes(intake: Intake, report: IngestReport, *, watermark: str | None) -> list[str]:
    """What was ignored, not known, or mended."""
    notes = []
    if ignored := [name for name in intake.layout.ignored if name != watermark]:
        notes.append(f"ignored columns: {', '.join(ignored)}")
    if report.unknown_stages:
        listed = ", ".join(
            worded("{stage} ({count} [row|rows])", rows, stage=stage) for stage, rows in report.unknown_stages.items()
        )
        notes.append(f"stages that the funnel does not declare, stored but not forecast: {listed}")
    about = "about " if intake.sample.every > 1 else ""
    for kind, count in report.repairs.items():
        estimated = about if kind in ("out_of_order", "exit_before_entry") else ""
        notes.append(estimated + worded(REPAIRS[kind], count))
    return notes


def _check_one_row_each(connection: Connection) -> None:
    """Raise InputError when two rows of a wide table give an entity two dates for one stage."""
    query = (
        "SELECT entity_id, stage, min(line) AS first, max(line) AS last FROM staged_events "
        "GROUP BY entity_id, stage HAVING min(ts) < max(ts) ORDER BY max(line), stage LIMIT :most"
    )
    problems = [
        Problem(
            f"gives {row.entity_id[:60]!r} another date than line {row.first}",
            line=row.last,
            field=row.stage,
            remedy="keep one row per entity",
        )
        for row in connection.execute(sa.text(query), {"most": MOST_PROBLEMS})
    ]
    if problems:
        raise InputError(problems)
