"""Keys in the store and in memory: what is kept of a secret, how long it is good, what happens without the store."""

import asyncio
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa

from models.errors import FunnelError, InputError
from service.auth import Caller, ForbiddenError, UnauthenticatedError, digest_of, make_secret
from service.keyring import LOOK_PAUSE, Keyring
from service.store.database import Database
from service.store.errors import KeyNameTakenError, KeyNotFoundError, StoreUnavailableError
from service.store.keys import create_key, list_keys, list_sessions, note_uses, revoke_key

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def make_key(database, name, *, scope="read", **options):
    """The secret of a new key."""
    secret = make_secret()
    with database.write() as connection:
        create_key(connection, name, sha256=digest_of(secret), scope=scope, **{"now": NOW} | options)
    return secret


@pytest.fixture
def keyring(database):
    return Keyring(database)


def test_secrets_are_32_random_bytes_behind_a_prefix_that_tells_what_they_are():
    secrets = {make_secret() for _ in range(50)}
    assert len(secrets) == 50
    assert all(secret.startswith("nc_") and len(secret) == 3 + 43 for secret in secrets)


def test_the_store_keeps_the_hash_of_a_secret_and_nothing_else_of_it(database):
    secret = make_key(database, "etl", scope="write", funnels=["b", "a"], expires_at=NOW + timedelta(days=3))
    with database.read() as connection:
        (key,) = list_keys(connection)
        (row,) = connection.execute(sa.text("SELECT * FROM keys")).all()
    assert (key.name, key.scope, key.funnels) == ("etl", "write", {"a", "b"})
    assert (key.created_at, key.expires_at, key.last_used_at) == (NOW, NOW + timedelta(days=3), None)
    assert key.sha256 == digest_of(secret)
    assert not any(secret[3:12] in str(value) for value in row)


def test_a_name_means_one_key_for_ever(database):
    make_key(database, "etl")
    with database.write() as connection:
        revoke_key(connection, "etl", now=NOW)
    with pytest.raises(KeyNameTakenError, match="such as etl-2"):
        make_key(database, "etl")
    with database.read() as connection:
        assert len(list_keys(connection)) == 1


def test_of_several_that_make_a_key_of_one_name_at_once_one_does(database):
    made, refused = [], []

    def make():
        try:
            made.append(make_key(database, "same"))
        except KeyNameTakenError:
            refused.append(True)

    makers = [threading.Thread(target=make) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert (len(made), len(refused)) == (1, 3)


@pytest.mark.parametrize(
    ("name", "funnels", "error"), [("", [], InputError), ("a b", [], InputError), ("a", ["/"], FunnelError)]
)
def test_names_that_cannot_be_are_refused(database, name, funnels, error):
    with pytest.raises(error, match="letters, digits"):
        make_key(database, name, funnels=funnels)


def test_revoking_again_keeps_the_first_instant_and_what_never_was_is_named(database):
    make_key(database, "etl")
    with database.write() as connection:
        first = revoke_key(connection, "etl", now=NOW)
        assert revoke_key(connection, "etl", now=NOW + timedelta(days=1)) == first
        assert first.state(now=NOW) == "revoked"
        with pytest.raises(KeyNotFoundError, match="no key 'nobody'"):
            revoke_key(connection, "nobody", now=NOW)


def test_a_key_is_good_until_the_instant_at_which_it_expires(database, keyring):
    secret = make_key(database, "short", expires_at=NOW + timedelta(days=1))
    keyring.refresh()
    assert keyring.key_of(secret, now=NOW + timedelta(hours=23)).name == "short"
    with pytest.raises(UnauthenticatedError, match="'short' is expired"):
        keyring.key_of(secret, now=NOW + timedelta(days=1))


@pytest.mark.parametrize("wrong", ["", "nc_", "x", "nc_" + "A" * 43, "é\udcff", "0" * 64])
def test_what_is_no_secret_is_not_known(database, keyring, wrong):
    secret = make_key(database, "etl")
    keyring.refresh()
    for guess in (wrong, secret + wrong + " ", secret[:-1], digest_of(secret), secret.upper()):
        with pytest.raises(UnauthenticatedError, match="not known"):
            keyring.key_of(guess, now=NOW)


def test_a_scope_includes_those_before_it_and_a_key_is_for_its_funnels_only():
    caller = Caller("etl", "write", frozenset({"a"}))
    assert [caller.may(scope) for scope in ("read", "write", "admin")] == [True, True, False]
    caller.check_scope("read")
    caller.check_funnel("a")
    for check in (lambda: caller.check_scope("admin"), lambda: caller.check_funnel("b"), caller.check_all_funnels):
        with pytest.raises(ForbiddenError, match="'etl'"):
            check()
    Caller("all", "read", None).check_all_funnels()


def test_a_session_ends_with_its_time_with_signing_out_and_with_its_key(database, keyring):
    secret = make_key(database, "me", expires_at=NOW + timedelta(hours=20))
    keyring.refresh()
    key = keyring.key_of(secret, now=NOW)
    token, other = (keyring.open_session(key, now=NOW) for _ in range(2))
    assert keyring.key_of_session(token, now=NOW + timedelta(hours=11)) == key
    with pytest.raises(UnauthenticatedError, match="sign in again"):
        keyring.key_of_session(token, now=NOW + timedelta(hours=12))
    with pytest.raises(UnauthenticatedError):  # a session is no key, and a key no session
        keyring.key_of(token, now=NOW)
    with pytest.raises(UnauthenticatedError):
        keyring.key_of_session(secret, now=NOW)
    keyring.close_session(token)
    with pytest.raises(UnauthenticatedError):
        keyring.key_of_session(token, now=NOW)
    assert keyring.key_of_session(other, now=NOW) == key
    late = keyring.open_session(key, now=NOW + timedelta(hours=19))
    with pytest.raises(UnauthenticatedError, match="'me' is expired"):
        keyring.key_of_session(late, now=NOW + timedelta(hours=21))
    with database.write() as connection:
        assert len(list_sessions(connection)) == 1, "those that have ended are forgotten when somebody signs in"
        revoke_key(connection, "me", now=NOW)
        assert list_sessions(connection) == ()
    keyring.refresh()
    with pytest.raises(UnauthenticatedError):
        keyring.key_of_session(late, now=NOW + timedelta(hours=19))


def test_the_last_use_is_written_once_an_hour_at_most(database, keyring):
    secret = make_key(database, "etl")

    def used(at):
        keyring.refresh()
        keyring.key_of(secret, now=at)
        keyring.write_uses()
        with database.read() as connection:
            return list_keys(connection)[0].last_used_at

    assert used(NOW) == NOW
    assert used(NOW + timedelta(minutes=59)) == NOW
    assert used(NOW + timedelta(minutes=61)) == NOW + timedelta(minutes=61)
    with database.write() as connection:  # another server, whose clock is behind
        note_uses(connection, {1: NOW})
        assert list_keys(connection)[0].last_used_at == NOW + timedelta(minutes=61)


def test_no_request_waits_for_a_last_use_to_be_written(database, keyring):
    secret = make_key(database, "etl")
    keyring.refresh()
    with database.write():  # somebody else writes, for long
        writer = threading.Thread(target=keyring.write_uses)
        keyring.key_of(secret, now=NOW)
        writer.start()
        began = time.monotonic()
        assert keyring.key_of(secret, now=NOW).name == "etl"
        assert time.monotonic() - began < 0.1
    writer.join()
    with database.read() as connection:
        assert list_keys(connection)[0].last_used_at == NOW


@contextmanager
def away(database, monkeypatch):
    """The store does not answer."""

    def nothing():
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(database, "read", nothing)
        patch.setattr(database, "write", nothing)
        yield


def test_known_keys_stay_good_while_the_store_is_away_and_without_any_look_nobody_is_let_in(database, monkeypatch):
    secret = make_key(database, "etl")
    known, unknowing = Keyring(database), Keyring(database)
    known.refresh()
    with away(database, monkeypatch):
        known.refresh()
        unknowing.refresh()
        assert (known.loaded, known.stale, unknowing.loaded) == (True, True, False)
        assert known.key_of(secret, now=NOW).name == "etl"
        known.write_uses()
        with pytest.raises(StoreUnavailableError, match="which keys are good is not known"):
            unknowing.key_of(secret, now=NOW)
    known.refresh()
    assert not known.stale


def test_who_waits_for_a_look_sees_what_was_there_when_they_came_and_many_share_one(database, keyring, monkeypatch):
    looks, refresh = [], keyring.refresh
    monkeypatch.setattr(keyring, "refresh", lambda: (looks.append(time.monotonic()), refresh()))

    async def many():
        first = [asyncio.create_task(keyring.look()) for _ in range(20)]
        await asyncio.gather(*first)
        assert len(looks) == 1
        end = time.monotonic() + 5 * LOOK_PAUSE
        while time.monotonic() < end:
            secret = await asyncio.to_thread(make_key, database, make_secret())
            await asyncio.gather(*(keyring.look() for _ in range(20)))
            assert keyring.knows(secret)

    asyncio.run(many())
    assert min(later - sooner for sooner, later in pairwise(looks)) >= LOOK_PAUSE


def test_who_comes_while_the_store_is_read_waits_for_another_look(database, keyring, monkeypatch):
    read, go_on, refresh = threading.Event(), threading.Event(), keyring.refresh

    def slow():
        refresh()
        read.set()
        assert go_on.wait(10)

    monkeypatch.setattr(keyring, "refresh", slow)

    async def overlapping():
        first = asyncio.create_task(keyring.look())
        assert await asyncio.to_thread(read.wait, 10)
        secret = await asyncio.to_thread(make_key, database, "late")
        second = asyncio.create_task(keyring.look())
        await asyncio.sleep(0)  # so that it has come
        go_on.set()
        await asyncio.gather(first, second)
        assert keyring.knows(secret)

    asyncio.run(overlapping())


def test_in_the_background_new_keys_become_good_and_revoked_ones_do_not_stay(database, store_url, wait):
    keyring = Keyring(database, every=0.1)
    keyring.start()
    try:
        with Database(store_url) as elsewhere:
            secret = make_key(elsewhere, "late")
            wait(lambda: keyring.knows(secret), seconds=5, what="the new key")
            with elsewhere.write() as connection:
                revoke_key(connection, "late", now=NOW)

        def refused():
            try:
                keyring.key_of(secret, now=NOW)
            except UnauthenticatedError as error:
                return "is revoked" in str(error)
            return False

        wait(refused, seconds=5, what="the key to be refused")
    finally:
        keyring.stop()
