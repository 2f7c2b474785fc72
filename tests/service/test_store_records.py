"""Funnels, uploads, versions, runs and idempotency keys, as stored."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.testing import assert_array_equal

from models.errors import FunnelError
from models.forecast import QUANTILES, Forecast
from models.funnel import DeclaredDay, Funnel
from models.state import DamagedPayloadError
from service.store.database import Database
from service.store.errors import FunnelNotFoundError, KeyInUseError, KeyReusedError, RunNotFoundError
from service.store.funnels import declare_funnel, find_funnel, funnel_from_declaration, get_funnel
from service.store.idempotency import Answer, claim_key, forget_keys, release_key, settle_key
from service.store.runs import Phase, fail_silent_runs, finish_run, get_run, list_runs, queue_run, report_run, start_run
from service.store.tables import forecasts
from service.store.uploads import begin_upload, changed_since, finish_upload, fresh_until, watermark
from service.store.versions import (
    Draft,
    Version,
    list_versions,
    publish_version,
    read_forecasts,
    read_scorecard,
)
from service.store.versions import version_as_of as as_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FUNNEL = Funnel(
    stages=("lead", "won"),
    exits=("lost",),
    timezone="Europe/Amsterdam",
    declared_days=(DeclaredDay("launch", date(2026, 5, 1), date(2026, 5, 3), stages=("lead",)),),
)


def declare(database: Database, funnel: Funnel = FUNNEL) -> int:
    with database.write() as connection:
        return declare_funnel(connection, "sales", funnel, now=NOW).id


def forecast(stage: str, level: float) -> Forecast:
    mean = np.full(3, level)
    return Forecast("total", stage, date(2026, 2, 28), "combination", mean, np.outer(mean, np.ones(len(QUANTILES))))


def publish(database: Database, funnel_id: int, *, level: float, now: datetime = NOW) -> Version:
    draft = Draft(
        FUNNEL, date(2026, 2, 28), 1, 3, "combination", "no holidays", "the first", [{"wql": float("nan")}], {}
    )
    with database.write() as connection:
        made = [forecast(stage, level) for stage in FUNNEL.stages]
        return publish_version(connection, funnel_id, draft, made=made, now=now)


def test_a_funnel_comes_back_as_it_was_declared(database):
    declare(database)
    with database.read() as connection:
        record = get_funnel(connection, "sales")
        assert find_funnel(connection, "other") is None
        with pytest.raises(FunnelNotFoundError):
            get_funnel(connection, "other")
    assert record.funnel == FUNNEL
    assert (record.inferred, record.naive_times, record.active_version_id, record.created_at) == (
        False,
        None,
        None,
        NOW,
    )


def test_declaring_again_changes_the_funnel_and_keeps_what_is_served(database):
    version = publish(database, declare(database), level=1.0)
    with database.write() as connection:
        record = declare_funnel(connection, "sales", Funnel(stages=("lead",)), now=NOW + HOUR)
    assert record.funnel.stages == ("lead",)
    assert (record.created_at, record.updated_at, record.active_version_id) == (NOW, NOW + HOUR, version.id)


@pytest.mark.parametrize(
    ("declaration", "field"),
    [
        ({"stages": ["a"], "colour": 1}, "colour"),
        ({}, "stages"),
        ({"stages": ["a"], "declared_days": [{"name": "x", "start": "soon"}]}, "declared_days"),
    ],
)
def test_a_declaration_that_cannot_be_names_the_setting(declaration, field):
    with pytest.raises(FunnelError) as refused:
        funnel_from_declaration(declaration)
    assert refused.value.field == field


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a" * 65, "é", "a b"])
def test_a_funnel_name_that_cannot_stand_in_an_address_is_refused(sqlite_database, name):
    with sqlite_database.write() as connection, pytest.raises(FunnelError, match="name"):
        declare_funnel(connection, name, FUNNEL, now=NOW)


def test_upload_numbers_and_instants_increase_even_when_the_clock_goes_back(database):
    funnel_id = declare(database)
    with database.write() as connection:
        assert watermark(connection, funnel_id) == 0
        first = begin_upload(connection, funnel_id, kind="events", now=NOW)
        finish_upload(connection, first, changed=7, report={"rows": 7})
        second = begin_upload(connection, funnel_id, kind="events", now=NOW - HOUR, fresh_until=NOW - 24 * HOUR)
        finish_upload(connection, second, changed=2, report={})
    assert (first.number, second.number) == (1, 2)
    assert second.recorded_at > first.recorded_at
    with database.read() as connection:
        assert (watermark(connection, funnel_id), watermark(connection, funnel_id, as_of=NOW)) == (2, 1)
        assert (changed_since(connection, funnel_id, 0), changed_since(connection, funnel_id, 1)) == (9, 2)


def test_events_decide_how_fresh_a_funnel_is_where_there_are_any(database):
    funnel_id = declare(database)
    with database.write() as connection:
        assert fresh_until(connection, funnel_id) is None
        begin_upload(connection, funnel_id, kind="counts", now=NOW, fresh_until=NOW)
        assert fresh_until(connection, funnel_id) == NOW.timestamp() * 1e6
        begin_upload(connection, funnel_id, kind="events", now=NOW, fresh_until=NOW - 48 * HOUR)
        assert fresh_until(connection, funnel_id) == (NOW - 48 * HOUR).timestamp() * 1e6


def test_a_published_version_comes_back_whole_and_is_the_one_served(database):
    funnel_id = declare(database)
    first, second = publish(database, funnel_id, level=1.0), publish(database, funnel_id, level=2.0, now=NOW + HOUR)
    with database.read() as connection:
        assert get_funnel(connection, "sales").active_version_id == second.id
        assert list_versions(connection, funnel_id) == (second, first)
        assert as_of(connection, funnel_id, NOW + HOUR / 2) == first
        assert as_of(connection, funnel_id, NOW - HOUR) is None
        made = read_forecasts(connection, first.id)
        assert read_scorecard(connection, first.id) == ({"wql": None},)
    assert sorted(made) == [("total", "lead"), ("total", "won")]
    assert_array_equal(made["total", "won"].mean, [1.0, 1.0, 1.0])
    assert (first.number, second.number, first.funnel, first.cutoff) == (1, 2, FUNNEL, date(2026, 2, 28))


def test_a_forecast_damaged_in_the_store_is_never_served(database):
    version = publish(database, declare(database), level=1.0)
    with database.write() as connection:
        payload = bytearray(connection.execute(sa.select(forecasts.c.payload).limit(1)).scalar_one())
        payload[-1] ^= 1
        connection.execute(sa.update(forecasts).values(payload=bytes(payload)))
    with database.read() as connection, pytest.raises(DamagedPayloadError):
        read_forecasts(connection, version.id)


def test_a_run_goes_from_queued_to_its_end_once(database):
    funnel_id = declare(database)
    with database.write() as connection:
        run = queue_run(connection, funnel_id, now=NOW)
        assert (run.status, run.funnel, run.finished_at) == ("queued", "sales", None)
        assert start_run(connection, run.id, now=NOW) is True
        assert start_run(connection, run.id, now=NOW) is False
        assert report_run(connection, run.id, now=NOW + HOUR, phases=[Phase("read", 1.5)]) is True
        ended = {"reason": "the first version", "now": NOW + 2 * HOUR, "counts": {"series": 2}}
        assert finish_run(connection, run.id, status="succeeded", **ended) is True
        assert finish_run(connection, run.id, status="failed", reason="late", now=NOW) is False
        run = get_run(connection, run.id)
        assert (run.status, run.phases, run.counts) == ("succeeded", (Phase("read", 1.5),), {"series": 2})
        assert list_runs(connection, funnel_id=funnel_id) == (run,) == list_runs(connection)
        with pytest.raises(RunNotFoundError):
            get_run(connection, run.id + 1)


def test_a_run_that_has_fallen_silent_is_marked_failed_and_others_are_not(database):
    funnel_id = declare(database)
    with database.write() as connection:
        dead, alive, done = (queue_run(connection, funnel_id, now=NOW).id for _ in range(3))
        start_run(connection, dead, now=NOW)
        start_run(connection, alive, now=NOW)
        report_run(connection, alive, now=NOW + HOUR, phases=[])
        finish_run(connection, done, status="succeeded", reason="nothing new", now=NOW)
        assert fail_silent_runs(connection, now=NOW + HOUR) == 1
        assert [get_run(connection, each).status for each in (dead, alive, done)] == ["failed", "running", "succeeded"]
        assert "stopped reporting" in (get_run(connection, dead).reason or "")


def test_a_request_sent_twice_is_answered_once_and_then_replayed(database):
    answer = Answer(body_sha256="aa", status=201, response={"rows": 3})
    with database.write() as connection:
        assert claim_key(connection, scope="POST /x", key="k", now=NOW) is None
    with database.write() as connection, pytest.raises(KeyInUseError):
        claim_key(connection, scope="POST /x", key="k", now=NOW)
    with database.write() as connection:
        assert claim_key(connection, scope="POST /y", key="k", now=NOW) is None
        settle_key(connection, scope="POST /x", key="k", answer=answer)
    with database.write() as connection:
        found = claim_key(connection, scope="POST /x", key="k", now=NOW)
    assert found == answer
    found.check_body("aa")
    with pytest.raises(KeyReusedError):
        found.check_body("bb")


def test_a_key_is_free_again_when_its_request_failed_or_died_or_is_long_past(database):
    with database.write() as connection:
        for key in ("failed", "died", "past"):
            claim_key(connection, scope="s", key=key, now=NOW)
        release_key(connection, scope="s", key="failed")
        settle_key(connection, scope="s", key="past", answer=Answer("aa", 200, {}))
        assert claim_key(connection, scope="s", key="failed", now=NOW) is None
        assert claim_key(connection, scope="s", key="died", now=NOW + HOUR) is None
        assert forget_keys(connection, before=NOW + HOUR) == 2
        assert claim_key(connection, scope="s", key="past", now=NOW + HOUR) is None
