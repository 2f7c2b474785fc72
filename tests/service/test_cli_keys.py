"""`nearcast keys`: what is shown, what is never shown, and what is refused, on each engine."""

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from models.errors import InputError
from service.auth import digest_of
from service.cli import make_cli
from service.cli.serve import is_loopback, run_server
from service.settings import Settings
from service.store.database import Database
from service.store.errors import KeyNameTakenError, KeyNotFoundError
from service.store.keys import list_keys

COLUMNS = {"key", "scope", "funnels", "state", "created_at", "expires_at", "last_used_at", "revoked_at"}


@pytest.fixture
def nearcast(store_url):
    """Runs `nearcast keys ...` on an empty store; what it printed, or the error it raised."""
    cli, runner = make_cli(["keys"]), CliRunner()

    def run(*arguments, code=0):
        done = runner.invoke(cli, ["keys", *arguments], env={"NEARCAST_DATABASE_URL": store_url})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.output

    return run


def stored(store_url):
    with Database(store_url) as database, database.read() as connection:
        return list_keys(connection)


def test_a_secret_is_printed_once_alone_on_its_line_and_only_its_hash_is_stored(nearcast, store_url):
    secret, told = nearcast("create", "etl", "--scope", "write", "--funnel", "b", "--funnel", "a").splitlines()
    assert secret.startswith("nc_")
    assert told == "etl: scope write, a, b, good until it is revoked; the secret is not shown again"
    (key,) = stored(store_url)
    assert (key.sha256, key.scope, key.funnels) == (digest_of(secret), "write", {"a", "b"})
    listed = (
        nearcast("list") + nearcast("list", "--json") + nearcast("revoke", "etl") + nearcast("revoke", "etl", "--json")
    )
    assert secret not in listed
    assert key.sha256 not in listed


def test_a_key_may_read_all_funnels_for_ever_unless_more_is_said(nearcast, store_url):
    document = json.loads(nearcast("create", "dash", "--json"))
    assert document.keys() == COLUMNS | {"secret"}
    assert (document["scope"], document["funnels"], document["expires_at"]) == ("read", None, None)
    before = datetime.now(UTC)
    until = datetime.fromisoformat(json.loads(nearcast("create", "short", "--expires", "7", "--json"))["expires_at"])
    assert timedelta(days=7) <= until - before < timedelta(days=7, minutes=5)


def test_the_list_tells_state_and_dates_for_people_and_for_programs(nearcast):
    for name in ("b", "a"):
        nearcast("create", name, "--funnel", "sales")
    nearcast("revoke", "b")
    listed = json.loads(nearcast("list", "--json"))["keys"]
    assert [(each["key"], each["state"]) for each in listed] == [("a", "good"), ("b", "revoked")]
    assert all(each.keys() == COLUMNS for each in listed)
    head, first, second = nearcast("list").splitlines()[1:]
    assert head.split()[:4] == ["key", "scope", "funnels", "state"]
    assert first.split()[:4] == ["a", "read", "sales", "good"]
    assert second.split()[:4] == ["b", "read", "sales", "revoked"]
    assert first.rstrip().endswith("never")


def test_what_cannot_be_is_refused_and_leaves_the_store_as_it_was(nearcast, store_url):
    nearcast("create", "etl")
    with pytest.raises(KeyNameTakenError):
        nearcast("create", "etl", "--scope", "admin")
    with pytest.raises(KeyNotFoundError):
        nearcast("revoke", "other")
    with pytest.raises(InputError):
        nearcast("create", "../etl")
    for wrong in (["--expires", "0"], ["--scope", "root"]):
        nearcast("create", "x", *wrong, code=2)
    assert [(key.name, key.scope) for key in stored(store_url)] == [("etl", "read")]


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.1.2.3", False),
        ("nas.local", False),
        ("", False),
    ],
)
def test_it_is_told_which_addresses_only_this_machine_reaches(host, own):
    assert is_loopback(host) == own


@pytest.mark.parametrize(
    ("settings", "warned"), [({"host": "0.0.0.0"}, True), ({"host": "0.0.0.0", "auth": "keys"}, False), ({}, False)]
)
def test_a_server_that_others_reach_without_keys_warns(settings, warned, monkeypatch, caplog):
    monkeypatch.setattr("service.cli.serve.make_server", lambda *_, **__: type("Server", (), {"run": lambda _: None})())
    monkeypatch.setattr("service.cli.serve.set_up_logging", lambda _: None)
    with caplog.at_level(logging.WARNING):
        run_server(Settings(**settings))
    assert ("NEARCAST_AUTH=keys" in caplog.text) == warned
