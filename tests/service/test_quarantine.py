"""A retrain with a series that kills, holds up or fails its worker: all others are published, and it is named."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.blocks import fit_block
from models.funnel import TOTAL, Funnel
from models.records import Counts
from models.state import bytes_from_forecast
from service.retrain import candidate, retrain
from service.retrain.quarantine import SeriesLostError
from service.serving import Serving
from service.store.funnels import declare_funnel, get_funnel
from service.store.observations import merge_counts
from service.store.runs import finish_run, get_run, list_runs, queue_run
from service.store.uploads import begin_upload, finish_upload
from service.store.versions import get_version, read_forecasts
from service.workers import Pool, make_mapper

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = 86_400_000_000
FUNNEL = Funnel(stages=("visit",), segment_by="shop", max_horizon=7)
ILL = "shop0117"

MODULE = """
import os, time
from pathlib import Path
from models.blocks import fit_block

def told(block, number):
    if {ill!r} in block.segments:
        with open({log!r}, "a") as log:
            print(len(block.rows), file=log)
        return True
    return False

def killing(block):
    if told(block, 9):
        os.kill(os.getpid(), 9)
    return fit_block(block)

def raising(block):
    if told(block, 1):
        raise RuntimeError("ill")
    return fit_block(block)

def slow(block):
    time.sleep(0.5)
    return fit_block(block)
"""


@pytest.fixture
def functions(tmp_path, monkeypatch, worker_modules):
    """Functions around `fit_block`, importable by workers of all kinds; `attempts()` tells how often ILL was tried."""
    name, log = f"around_{os.getpid()}_{time.monotonic_ns()}", tmp_path / "attempts"
    (worker_modules / f"{name}.py").write_text(MODULE.format(ill=ILL, log=str(log)))
    monkeypatch.syspath_prepend(worker_modules)
    module = import_module(name)
    module.attempts = lambda: log.read_text().split() if log.exists() else []
    yield module
    sys.modules.pop(name)


@pytest.fixture
def fit_with(monkeypatch):
    """Lets retrains fit by another function than `fit_block`."""

    def use(function):
        @contextmanager
        def around(*arguments, **named):
            with make_mapper(*arguments, **named) as mapper:

                def mapped(asked, chunks):
                    assert asked is fit_block
                    return mapper(function, chunks)

                yield mapped

        monkeypatch.setattr(candidate, "make_mapper", around)

    return use


def upload(database, *, segments: int, days: int = 60, add: int = 0, name: str = "shops") -> None:
    """Counts of one stage, different in each segment; `add` to the last day's."""
    ds = int(NOW.timestamp()) * 1_000_000 // DAY - np.arange(days, 0, -1)
    generator = np.random.default_rng(11)
    y = generator.poisson(generator.uniform(3, 30, (segments, 1)), (segments, days)).astype(float)
    y[:, -1] += add
    shops = np.repeat(np.array([f"shop{number:04}" for number in range(segments)], dtype=object), days)
    stages = np.full(len(shops), "visit", dtype=object)
    counts = Counts(np.tile(ds * DAY, segments), stages, y.ravel(), np.full(y.size, np.nan), shops)
    with database.write() as connection:
        declare_funnel(connection, name, FUNNEL, now=NOW)
    with database.stage() as staging:
        staging.append_counts(counts, lines=2)
        with staging.write() as connection:
            funnel_id = get_funnel(connection, name).id
            taken = begin_upload(connection, funnel_id, kind="counts", now=NOW)
            merged = merge_counts(connection, funnel_id, taken.number, staging)
            finish_upload(connection, taken, changed=merged.changed, report={})


def published(database, result) -> dict[tuple[str, str], bytes]:
    """Forecasts of a run's version as bytes, without those of ILL, whose reason says where it ran."""
    with database.read() as connection:
        made = read_forecasts(connection, result.version.id)
    return {series: bytes_from_forecast(each) for series, each in made.items() if series[0] != ILL}


@pytest.mark.slow
def test_of_1000_series_the_one_that_kills_its_worker_is_quarantined_on_every_kind_of_worker(
    sqlite_database, functions, fit_with, dask_cluster, caplog
):
    """1,000 series: the total and 999 segments. The figures of the report come from here."""
    pools = {
        "inline": (Pool("inline"), functions.raising),
        "process": (Pool("process", processes=2), functions.killing),
        "dask": (Pool("dask", address=dask_cluster.address), functions.killing),
    }
    made, results = {}, {}
    for name, (pool, function) in pools.items():
        upload(sqlite_database, segments=999, name=name)
        fit_with(function)
        before, began = len(functions.attempts()), time.monotonic()
        results[name] = retrain(sqlite_database, name, now=NOW, pool=pool)
        tried = functions.attempts()[before:]
        print(f"{name}: {results[name].counts}, tried {len(tried)} times, {time.monotonic() - began:.1f} s")
        made[name] = published(sqlite_database, results[name])
        assert len(tried) == 3
        assert (results[name].counts["series"], results[name].counts["quarantined"]) == (1000, 1)
    assert len(made["inline"]) == 999
    assert made["process"] == made["inline"]
    assert made["dask"] == made["inline"]
    (named,) = results["process"].version.quality["quarantined"]
    assert named == {"segment": ILL, "reason": "its worker was killed by SIGKILL, at attempt 3"}
    (named,) = results["dask"].version.quality["quarantined"]
    assert named["segment"] == ILL
    assert [record.segment for record in caplog.records if "quarantined" in record.message] == [ILL] * 3
    with sqlite_database.read() as connection:
        forecasts = read_forecasts(connection, results["process"].version.id)
    ill = forecasts[ILL, "visit"]
    assert ill.model == "weekday_mean"
    assert ill.fallback_reason.startswith("quarantined: its worker was killed by SIGKILL")
    segments = sum(each.mean for (segment, _), each in forecasts.items() if segment != TOTAL)
    assert_allclose(segments, forecasts[TOTAL, "visit"].mean)


@pytest.mark.slow
def test_what_is_quarantined_is_tried_again_at_the_next_retrain(sqlite_database, functions, fit_with):
    fit_with(functions.killing)
    pool = Pool("process", processes=2)
    upload(sqlite_database, segments=130)
    first = retrain(sqlite_database, "shops", now=NOW, pool=pool)
    assert first.counts["quarantined"] == 1

    still = retrain(sqlite_database, "shops", now=NOW, pool=pool)
    assert still.version is None
    assert still.reason == "nothing new since version 1; what is quarantined stays so"

    upload(sqlite_database, segments=130, add=3)  # the other series are continued, in workers all the same
    second = retrain(sqlite_database, "shops", now=NOW, pool=pool)
    assert (second.counts["quarantined"], second.version.number) == (1, 2)

    fit_with(fit_block)
    healed = retrain(sqlite_database, "shops", now=NOW, pool=pool)
    assert healed.reason == "1 quarantined segment is tried again"
    assert (healed.counts["quarantined"], healed.counts["appended"], healed.counts["refitted"]) == (0, 130, 1)
    assert retrain(sqlite_database, "shops", now=NOW, pool=pool).reason == "nothing new since version 3"


@pytest.mark.slow
def test_a_series_that_kills_the_job_itself_is_fitted_apart_the_next_time(sqlite_database, functions, fit_with):
    upload(sqlite_database, segments=130)
    retrain(sqlite_database, "shops", now=NOW)
    with sqlite_database.write() as connection:
        run = queue_run(connection, get_funnel(connection, "shops").id, now=NOW)
        finish_run(connection, run.id, status="failed", reason="its process was killed by SIGKILL", now=NOW)
    upload(sqlite_database, segments=130, add=2)
    fit_with(functions.killing)
    result = retrain(sqlite_database, "shops", now=NOW, pool=Pool("process", processes=1))
    assert result.counts["quarantined"] == 1
    assert result.counts["appended"] + result.counts["refitted"] == 130


def test_when_most_series_are_lost_the_version_before_goes_on_being_served(sqlite_database, fit_with):
    upload(sqlite_database, segments=30)
    retrain(sqlite_database, "shops", now=NOW)
    serving = Serving(sqlite_database)
    serving.refresh()
    upload(sqlite_database, segments=30, add=2)
    fit_with(len)  # fits nothing: a block has no length
    with pytest.raises(SeriesLostError, match=r"31 of 31 segments could not be fitted, so version 1 goes on"):
        retrain(sqlite_database, "shops", now=NOW, pool=Pool("inline"))
    serving.refresh()
    assert serving.find("shops").version == 1
    with sqlite_database.read() as connection:
        assert get_run(connection, list_runs(connection)[0].id).status == "failed"


def test_a_funnel_s_first_forecasts_are_baselines_rather_than_none(sqlite_database, fit_with):
    upload(sqlite_database, segments=3)
    fit_with(len)
    result = retrain(sqlite_database, "shops", now=NOW, pool=Pool("inline"))
    with sqlite_database.read() as connection:
        assert len(get_version(connection, result.version.id).quality["quarantined"]) == 4
        assert {each.model for each in read_forecasts(connection, result.version.id).values()} == {"weekday_mean"}


@pytest.mark.slow
def test_a_dask_worker_killed_in_the_middle_of_a_run_costs_nothing_but_time(
    sqlite_database, functions, fit_with, dask_cluster, wait
):
    from distributed import Client

    with Client(dask_cluster.address, set_as_default=False) as client:
        workers = wait(lambda: len(found := client.run(os.getpid)) == 2 and found, seconds=60, what="two workers")
    for name in ("here", "there"):
        upload(sqlite_database, segments=500, name=name)
    here = retrain(sqlite_database, "here", now=NOW)
    killed = threading.Event()

    def kill_one(phase: str, done: int, total: int) -> None:
        if phase == "fit" and done == 1 and total > 1 and not killed.is_set():
            killed.set()
            os.kill(next(iter(workers.values())), signal.SIGKILL)

    fit_with(functions.slow)
    pool = Pool("dask", address=dask_cluster.address)
    there = retrain(sqlite_database, "there", now=NOW, pool=pool, progress=kill_one)
    assert killed.is_set()
    assert there.counts["quarantined"] == 0
    assert published(sqlite_database, there) == published(sqlite_database, here)
