"""Activating a version: one made under another declaration, and one before or during a retrain."""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import date

import httpx
import numpy as np
import pytest

from models.forecast import QUANTILES, Forecast
from models.funnel import Funnel
from service.app import make_app
from service.cli import main
from service.retrain import retrain
from service.settings import Settings
from service.store.database import Database
from service.store.funnels import declare_funnel, get_funnel
from service.store.memories import read_memory
from service.store.versions import Draft, activate_version, get_version, publish_version
from tests.service.retrains import NOW, declare, upload, versions

FUNNEL = Funnel(stages=("lead", "won"))


async def answer_over_http(url):
    """What the server answers to the same."""
    app = make_app(Settings(database_url=url))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
    async with app.router.lifespan_context(app), client:
        return (await client.post("/v1/funnels/sales/versions/1/activate")).json()


@pytest.fixture
def activate(sqlite_database, monkeypatch, capsys):
    """Activates version 1 in three ways, after it was declared as given: document, answer, lines."""

    def run(present):
        mean = np.ones(3)
        made = [Forecast("total", "lead", date(2026, 2, 28), "m", mean, np.outer(mean, np.ones(len(QUANTILES))))]
        draft = Draft(FUNNEL, date(2026, 2, 28), 1, 3, "m", "no holidays", "a test", [], {})
        with sqlite_database.write() as connection:
            funnel_id = declare_funnel(connection, "sales", FUNNEL, now=NOW).id
            publish_version(connection, funnel_id, draft, made=made, now=NOW)
            declare_funnel(connection, "sales", present, now=NOW)
        url = str(sqlite_database.engine.url)
        monkeypatch.setenv("NEARCAST_DATABASE_URL", url)
        told = []
        for options in (["--json"], []):
            monkeypatch.setattr(sys, "argv", ["nearcast", "activate", "--funnel", "sales", "--version", "1", *options])
            with pytest.raises(SystemExit) as end:
                main()
            assert not end.value.code
            told.append(capsys.readouterr().out)
        return json.loads(told[0]), asyncio.run(answer_over_http(url)), told[1].splitlines()

    return run


def test_a_version_made_under_another_declaration_says_which_settings_differ(activate):
    document, answer, lines = activate(replace(FUNNEL, country="NZ", due_stage="won"))
    assert document["changed_settings"] == answer["changed_settings"] == ["due_stage", "country"]
    assert document["note"] == answer["note"] == lines[1]
    assert "another declaration of the funnel (due_stage, country): the next retrain uses the present one" in lines[1]


def test_a_version_made_under_the_present_declaration_has_nothing_to_note(activate):
    document, answer, lines = activate(FUNNEL)
    assert (document["changed_settings"], document["note"], len(lines)) == ([], None, 1)
    assert (answer["changed_settings"], answer["note"]) == ([], None)


def test_a_retrain_continues_from_the_version_that_was_activated(database):
    funnel_id = declare(database)
    upload(database)
    retrain(database, "sales", now=NOW)
    upload(database, add=5)
    retrain(database, "sales", now=NOW)
    with database.write() as connection:
        activate_version(connection, funnel_id, 1)
    assert retrain(database, "sales", now=NOW).reason == "4 rows changed in upload 2"
    assert versions(database) == [3, 2, 1]


@pytest.mark.parametrize("phase", ["read", "publish"])
@pytest.mark.parametrize(("before", "chosen"), [(2, 1), (1, 2), (2, 2)])
def test_a_version_activated_during_a_retrain_stays_served(database, store_url, before, chosen, phase):
    funnel_id = declare(database)
    upload(database)
    retrain(database, "sales", now=NOW)
    upload(database, add=5)
    retrain(database, "sales", now=NOW)
    upload(database, add=9)
    with database.write() as connection:
        activate_version(connection, funnel_id, before)

    def choose(reached: str, done: int, total: int) -> None:
        if (reached, done) == (phase, 0):
            with Database(store_url) as other, other.write() as connection:
                activate_version(connection, funnel_id, chosen)

    result = retrain(database, "sales", now=NOW, progress=choose)
    assert result.reason == f"version {chosen} was activated meanwhile; the next retrain continues from it"
    with database.read() as connection:
        active = get_funnel(connection, "sales").active_version_id
        assert get_version(connection, active).number == chosen
        assert len(list(read_memory(connection, funnel_id))) == 1  # nothing is left of what was stopped
    assert versions(database) == [2, 1]
    assert retrain(database, "sales", now=NOW).version.number == 3
