"""Live scores: what was published is scored by the retrains that come after it, and shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from models.calendar import Calendar, number_from_day
from models.engine import fit
from models.forecast import STEP_DAYS
from models.history import History
from models.live import advance, bytes_from_live, live_from_bytes, steps_issued
from service.cli.operate import read_status
from service.live import alerts_document, live_document, live_summary
from service.observability import ServedCollector
from service.retrain.live import live_after
from service.serving import Serving
from service.store.tables import states
from service.store.versions import read_live

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAYS, NIGHTS = 100, 12
PERIODS = 60


def served_from(database):
    serving = Serving(database)
    serving.refresh()
    return serving, serving.find("sales")


def test_a_first_version_has_nothing_to_show_yet_and_later_ones_do(database, pass_nights):
    pass_nights(database, range(1))
    _, served = served_from(database)
    assert live_document(served)["scores"] == live_document(served)["drifting"] == []
    nothing = {"actuals": 0, "coverage80": None, "coverage95": None, "drifting": 0, "alerts": 0}
    assert live_summary(served.live) == nothing
    assert read_status(database)["funnels"][0]["live"] == nothing

    pass_nights(database, range(1, NIGHTS + 1), outlier=DAYS + 7)
    serving, served = served_from(database)
    document = live_document(served)
    near = {(each["segment"], each["stage"]): each for each in document["scores"] if each["steps"] == "1-7"}
    assert set(near) == set(served.forecasts)
    first = number_from_day(served.cutoff) - NIGHTS
    steps = [dict(steps_issued(first + night, horizon=28))[0] for night in range(NIGHTS)]
    arrived = sum(night + step <= NIGHTS for night, step in enumerate(steps))
    assert {each["n"] for each in near.values()} == {arrived}
    assert arrived > 5
    assert 0.5 < sum(each["coverage80"] for each in near.values()) / len(near) <= 1.0
    assert all(0 < each["revision"] < 0.2 for each in near.values())
    pooled = {(each["stage"], each["steps"]): each["n"] for each in document["pooled"]}
    assert pooled["lead", "1-7"] == 3 * arrived
    alerts = alerts_document(served, stale=False)["alerts"]
    assert (document["looked_at"], document["outside"]) == (6 * NIGHTS, len(alerts))

    newest = next(each for each in alerts if each["segment"] == "east" and each["actual"] > 100)
    assert newest["stage"] == "lead"
    assert newest["date"] == (NOW + timedelta(days=7)).date().isoformat()
    assert newest["actual"] == 400.0 > newest["upper"]

    samples = [sample for each in ServedCollector(serving).collect() for sample in each.samples]
    told = {(sample.name, *sample.labels.values()): sample.value for sample in samples}
    assert told["nearcast_alerts", "sales"] == document["outside"]
    assert told["nearcast_live_actuals", "sales"] == sum(pooled.values())
    assert told["nearcast_live_coverage", "sales", "80"] == live_summary(served.live)["coverage80"]
    assert told["nearcast_quarantined_segments", "sales"] == 0
    assert read_status(database)["funnels"][0]["live"] == live_summary(served.live)


def test_only_the_last_version_keeps_what_waits_and_a_damaged_one_starts_the_scores_anew(
    sqlite_database, caplog, pass_nights
):
    pass_nights(sqlite_database, range(3))
    with sqlite_database.write() as connection:
        assert len(connection.execute(states.select().where(states.c.name == "live")).all()) == 1
        payload = read_live(connection, 1)
        damaged = payload[:-1] + bytes([payload[-1] ^ 1])
        connection.execute(states.update().where(states.c.name == "live").values(payload=damaged))
    pass_nights(sqlite_database, range(3, 4))
    assert "live scores start anew" in caplog.text
    _, served = served_from(sqlite_database)
    assert live_document(served)["scores"] == []


@pytest.mark.parametrize("stale", [True, False])
def test_a_version_from_before_there_were_live_scores_is_answered_without(sqlite_database, stale, pass_nights):
    pass_nights(sqlite_database, range(1))
    with sqlite_database.write() as connection:
        connection.execute(states.delete().where(states.c.name.startswith("view/live")))
    serving, served = served_from(sqlite_database)
    assert live_document(served) is None
    assert alerts_document(served, stale=stale)["alerts"] == []
    assert list(ServedCollector(serving).collect())
    assert read_status(sqlite_database)["funnels"][0]["live"] is None


@pytest.mark.parametrize("frequency", ["day", "week"])
@pytest.mark.parametrize("later", [1, 9])
@pytest.mark.parametrize("young", [0, 2])
def test_live_scores_are_the_same_when_only_the_latest_counts_are_looked_at(frequency, later, young):
    counts = np.random.default_rng(1).poisson(30.0, (2, 2, PERIODS + later + 1)).astype(float)
    told = np.full((2, young), 0.7) if young else None
    known = History(date(2024, 1, 4), frequency, ("north", "south"), ("lead", "won"), counts, told=told)
    start = number_from_day(known.start) // STEP_DAYS[frequency]
    of_all = None if told is None else np.tile(told, (3, 1))
    found, whole, scored = None, None, 0
    for seen in (PERIODS, PERIODS + later, PERIODS + later + 1):
        history = replace(known, counts=counts[:, :, :seen])
        fitted = fit(history, calendar=Calendar(frequency=frequency), horizon=14)
        for target in [] if whole is None else whole.targets[whole.blocks == 0]:
            scored += int(target < start + seen - young)
        after = live_after(found and bytes_from_live(found), history, fitted)
        before = whole and live_from_bytes(bytes_from_live(whole))
        backtest, found = after.backtest, after
        whole = advance(before, fitted.forecasts, history.matrix, start=start, backtest=backtest, told=of_all)
        assert bytes_from_live(found) == bytes_from_live(whole)
    assert found.cutoff == start + PERIODS + later
    assert found.looked[:, 0].tolist() == [later + 1] * 6
    assert found.sums[:, 0, 0].tolist() == [scored] * 6
