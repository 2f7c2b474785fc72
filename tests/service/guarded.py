"""Servers that ask for keys: two of one store, and the keys to try there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from service.auth import digest_of, make_secret
from service.store.database import Database
from service.store.keys import SCOPES, create_key
from tests.service.processes import Running, running


@dataclass(frozen=True)
class Guarded:
    """Both servers, a client of each, and their store; funnels `a` and `b`.

    key: secrets, one of each scope by its name, and `a`, of scope admin for the funnel `a` only.
    """

    one: Running
    other: Running
    client: httpx.Client
    elsewhere: httpx.Client
    database: Database
    key: dict[str, str] = field(default_factory=dict)


@contextmanager
def guarded_servers(first: Path, second: Path, *, url: str) -> Iterator[Guarded]:
    """Both, in processes of their own with a directory each; ended afterwards."""
    settings = {"database_url": url, "workers": "inline", "auth": "keys"}
    with (
        running(first, **settings) as one,
        running(second, **settings) as other,
        Database(url) as database,
        one.client() as client,
        other.client() as elsewhere,
    ):
        place = Guarded(one, other, client, elsewhere, database)
        place.key.update({scope: new_key(database, scope, scope=scope) for scope in SCOPES})
        place.key["a"] = new_key(database, "only-a", scope="admin", funnels=["a"])
        for funnel in ("a", "b"):
            declaration = {"stages": ["lead", "won"]}
            declared = client.put(f"/v1/funnels/{funnel}", json=declaration, headers=bearer(place.key["write"]))
            assert declared.status_code == 201, declared.text
        yield place


def new_key(database: Database, name: str, **options: Any) -> str:
    """The secret of a key made past the servers."""
    secret = make_secret()
    with database.write() as connection:
        create_key(connection, name, sha256=digest_of(secret), **{"scope": "read", "now": datetime.now(UTC)} | options)
    return secret


def bearer(secret: str) -> dict[str, str]:
    """The header that carries it."""
    return {"authorization": f"Bearer {secret}"}
