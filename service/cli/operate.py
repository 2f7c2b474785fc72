"""Looking after the store: status, migrate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from service.cli.options import JsonOption, open_database, read_settings
from service.cli.output import print_json, print_lines, print_table
from service.document import document_from_run
from service.live import live_summary
from service.serving import live_views
from service.store.database import Database
from service.store.funnels import list_funnels, next_due_of
from service.store.runs import list_runs
from service.store.uploads import list_uploads
from service.store.versions import get_version, read_views

LISTED_RUNS = 10


def status(as_json: JsonOption = False) -> None:
    """Show funnels, what they serve, and the latest runs."""
    with open_database(read_settings()) as database:
        database.check_schema()
        document = read_status(database)
    if as_json:
        print_json(document)
        return
    print_table(
        "Funnels",
        ["funnel", "stages", "version", "observed until", "published", "uploads", "last upload", "schedule", "due"],
        [
            [
                funnel["funnel"],
                str(len(funnel["stages"])),
                str(funnel["version"] or "none"),
                str(funnel["cutoff"] or ""),
                moment(funnel["published_at"]),
                str(funnel["uploads"]),
                moment(funnel["last_upload_at"]),
                funnel["schedule"] or "none",
                due(funnel["next_due_at"], now=datetime.now(UTC)),
            ]
            for funnel in document["funnels"]
        ],
    )
    print_standing(document["funnels"])
    print_table(
        "Runs",
        ["run", "funnel", "status", "started", "seconds", "reason"],
        [
            [
                str(run["run"]),
                run["funnel"],
                run["status"],
                moment(run["started_at"]),
                f"{sum(phase['seconds'] for phase in run['phases']):.1f}",
                run["reason"] or "",
            ]
            for run in document["runs"]
        ],
    )


def print_standing(funnels: list[dict[str, Any]]) -> None:
    """How what was published fared, of funnels of which that is known or something is quarantined."""
    rows = [
        [
            funnel["funnel"],
            *(f"{share:.0%}" if (share := live[f"coverage{level}"]) is not None else "" for level in (80, 95)),
            str(live["actuals"]),
            str(live["alerts"]),
            str(live["drifting"]),
            str(funnel["quarantined"]),
        ]
        for funnel in funnels
        if (live := funnel["live"]) is not None and (live["actuals"] or funnel["quarantined"])
    ]
    if rows:
        names = ["funnel", "80% held", "95% held", "of actuals", "alerts", "drifting series", "quarantined segments"]
        print_table("Published forecasts", names, rows)


def read_status(database: Database) -> dict[str, Any]:
    """All funnels with what they serve, and the latest runs, from the store."""
    with database.read() as connection:
        funnels = []
        for record in list_funnels(connection):
            active = None if record.active_version_id is None else get_version(connection, record.active_version_id)
            uploads = list_uploads(connection, record.id, limit=1)
            funnels.append(
                {
                    "funnel": record.name,
                    "stages": list(record.funnel.stages),
                    "inferred": record.inferred,
                    "version": active and active.number,
                    "quarantined": len(active.quality.get("quarantined", ())) if active else 0,
                    "live": live_summary(live_views(read_views(connection, active.id))) if active else None,
                    "cutoff": active and active.cutoff,
                    "published_at": active and active.created_at,
                    "uploads": uploads[0].number if uploads else 0,
                    "last_upload_at": uploads[0].recorded_at if uploads else None,
                    "schedule": record.schedule,
                    "next_due_at": next_due_of(record),
                }
            )
        return {
            "funnels": funnels,
            "runs": [document_from_run(run) for run in list_runs(connection, limit=LISTED_RUNS)],
        }


def moment(instant: datetime | None) -> str:
    """An instant to the minute."""
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%MZ}"


def due(instant: datetime | None, *, now: datetime) -> str:
    """When the next scheduled run is due, or since when nobody has started it."""
    return "" if instant is None else f"{'overdue since ' * (instant <= now)}{moment(instant)}"


def migrate(as_json: JsonOption = False) -> None:
    """Bring the store's schema to the one of this release; make the store if there is none."""
    with open_database(read_settings()) as database:
        changed = database.migrate()
        version = database.schema_version()
    if as_json:
        print_json({"changed": changed, "schema": version})
    else:
        print_lines([f"schema {version}: {'migrated' if changed else 'nothing to do'}"])
