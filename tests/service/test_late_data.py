"""Late data is learnt from the uploads: noted as they come, read by the retrain, and told with the forecast."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.calendar import EPOCH
from models.funnel import Funnel
from service.document import forecast_document
from service.ingest import IngestOptions, ingest
from service.retrain import retrain
from service.selection import Selection
from service.serving import Serving
from service.store.arrivals import read_arrivals
from service.store.database import Database
from service.store.funnels import declare_funnel, get_funnel
from service.store.versions import read_forecasts

FIRST = datetime(2026, 1, 5, 1, tzinfo=UTC)
"""The first night: what is uploaded then is the history before it."""
FUNNEL = Funnel(stages=("lead", "won"), max_horizon=14)
HISTORY, NIGHTS = 70, 45
TOLD = 0.6
"""Share of the wins that is told in the night after their day, the others a night later."""


def night(number: int) -> datetime:
    return FIRST + timedelta(days=number)


def counts_of(day: datetime) -> tuple[int, int]:
    """Leads and wins of a day."""
    number = day.toordinal()
    return 40 + 5 * (number % 7), 20 + 3 * (number % 7)


def rows_of(number: int, *, late: bool) -> list[str]:
    """What a night's upload brings: leads and some wins of the day before, and all of the day before that."""
    rows = []
    for age in (1, 2):
        day = night(number) - timedelta(days=age)
        leads, wins = counts_of(day)
        told = round(TOLD * wins) if late and age == 1 else wins
        rows += [f"{day:%Y-%m-%d},lead,{leads}", f"{day:%Y-%m-%d},won,{told}"]
    return rows


def take(database: Database, rows: list[str], *, now: datetime) -> None:
    text = "\n".join(["ds,stage,y", *rows]) + "\n"
    ingest(database, "sales", io.BytesIO(text.encode()), kind="counts", now=now, options=IngestOptions())


def lived(database: Database, *, late: bool = True, nights: int = NIGHTS) -> None:
    """A history, and a night's upload at a time."""
    with database.write() as connection:
        declare_funnel(connection, "sales", FUNNEL, now=night(0))
    days = [night(0) - timedelta(days=back) for back in range(HISTORY, 0, -1)]
    take(
        database,
        [f"{day:%Y-%m-%d},{stage},{y}" for day in days for stage, y in zip(FUNNEL.stages, counts_of(day), strict=True)],
        now=night(0),
    )
    for number in range(1, nights + 1):
        take(database, rows_of(number, late=late), now=night(number))


def published(database: Database, version_id: int) -> dict[tuple[str, str], np.ndarray]:
    with database.read() as connection:
        return {series: made.quantiles for series, made in read_forecasts(connection, version_id).items()}


def test_each_upload_notes_what_it_changed_but_the_first(database):
    lived(database, nights=3)
    with database.read() as connection:
        funnel_id = get_funnel(connection, "sales").id
        (told,) = read_arrivals(connection, funnel_id, upload=4)
        (before,) = read_arrivals(connection, funnel_id, upload=3)
    leads, wins = counts_of(night(2))
    newest = {
        (stage, day): change
        for stage, day, change, upload in zip(
            told.stage, told.day.tolist(), told.change.tolist(), told.upload, strict=True
        )
        if upload == 3
    }
    today = night(3).date().toordinal() - EPOCH.toordinal()
    _, yesterday = counts_of(night(1))
    assert newest == {
        ("lead", today - 1): float(leads),
        ("won", today - 1): round(TOLD * wins),
        ("won", today - 2): yesterday - round(TOLD * yesterday),
    }
    assert 0 not in told.upload.tolist()
    assert len(before.fresh) == 3


def test_events_that_are_late_corrected_or_retracted_are_noted(database):
    def events(rows: list[str], when: datetime) -> None:
        text = "\n".join(["entity_id,lead,won", *rows]) + "\n"
        options = IngestOptions(stages=("lead", "won"), wide={"lead": "lead", "won": "won"})
        ingest(database, "deals", io.BytesIO(text.encode()), now=when, options=options)

    events(["a,2026-01-01,2026-01-02"], night(0))
    events(["b,2026-01-04,2026-01-05", "c,2026-01-05,"], night(1))
    events(["b,2026-01-04,", "c,2026-01-05,2026-01-06"], night(2))
    with database.read() as connection:
        (told,) = read_arrivals(connection, get_funnel(connection, "deals").id, upload=3)
    epoch = date(2026, 1, 1).toordinal() - EPOCH.toordinal()
    noted = list(
        zip(told.upload.tolist(), told.stage, (told.day - epoch + 1).tolist(), told.change.tolist(), strict=True)
    )
    assert noted == [
        (1, "lead", 4, 1.0),
        (1, "lead", 5, 1.0),
        (1, "won", 5, 1.0),
        (2, "won", 5, -1.0),
        (2, "won", 6, 1.0),
    ]


def test_a_forecast_starts_from_what_late_days_come_to_and_says_so(database):
    lived(database)
    result = retrain(database, "sales", now=night(NIGHTS))
    assert result.version is not None
    (late,) = result.version.quality["completeness"]
    assert late["stage"] == "won"
    (day,) = late["days"]
    assert day["ds"] == result.version.cutoff.isoformat()
    assert day["share"] == pytest.approx(TOLD, abs=0.03)
    serving = Serving(database)
    serving.refresh()
    served = serving.find("sales")
    assert served is not None
    lead, won = forecast_document(served, Selection())["forecasts"]
    assert lead["completeness"] == []
    assert won["completeness"] == late["days"]
    assert any("won is told of late: 6" in repair for repair in won["repairs"])
    truth = sum(counts_of(night(NIGHTS + step))[1] for step in range(14))
    assert sum(step["mean"] for step in won["steps"]) == pytest.approx(truth, rel=0.02)


def test_a_night_later_the_state_is_continued_and_says_what_one_pass_would(database, sqlite_url):
    lived(database)
    retrain(database, "sales", now=night(NIGHTS))
    take(database, rows_of(NIGHTS + 1, late=True), now=night(NIGHTS + 1))
    result = retrain(database, "sales", now=night(NIGHTS + 1))
    assert (result.counts["appended"], result.counts["refitted"]) == (2, 0)
    assert retrain(database, "sales", now=night(NIGHTS + 1)).version is None
    with Database(sqlite_url + "-other") as other:
        other.migrate()
        lived(other, nights=NIGHTS + 1)
        whole = retrain(other, "sales", now=night(NIGHTS + 1))
        for series, quantiles in published(other, whole.version.id).items():
            assert_array_equal(quantiles, published(database, result.version.id)[series])


def test_nothing_is_said_where_nothing_is_late(sqlite_database):
    lived(sqlite_database, late=False)
    version = retrain(sqlite_database, "sales", now=night(NIGHTS)).version
    assert version.quality["completeness"] == []
    assert not [repair for repair in version.quality["repairs"] if repair["kind"] == "incomplete"]


def test_forecasts_published_are_scored_once_their_day_is_complete(sqlite_database):
    lived(sqlite_database)
    for number in range(NIGHTS, NIGHTS + 12):
        if number > NIGHTS:
            take(sqlite_database, rows_of(number, late=True), now=night(number))
        retrain(sqlite_database, "sales", now=night(number))
    serving = Serving(sqlite_database)
    serving.refresh()
    served = serving.find("sales")
    rows = list(served.forecasts)
    n, actual, _, error, *_ = served.live["sums"][rows.index(("total", "won")), 0]
    assert n > 0
    assert_allclose(error / actual, 0.0, atol=0.05)  # of days that are told in part, it would be two thirds too much
