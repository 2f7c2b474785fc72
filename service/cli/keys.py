"""`nearcast keys`: make, list and revoke API keys, in the store; they count where NEARCAST_AUTH=keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from service.auth import digest_of, make_secret
from service.cli.operate import moment
from service.cli.options import JsonOption, open_database, read_settings
from service.cli.output import print_json, print_lines, print_table
from service.store.keys import Key, create_key, list_keys, revoke_key

keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys; NEARCAST_AUTH=keys asks for them.")

NameArgument = Annotated[str, typer.Argument(help="What will use the key: crm-import, grafana.", show_default=False)]


class ScopeChoice(StrEnum):
    """What a key allows."""

    read = "read"
    write = "write"
    admin = "admin"


@keys.command()
def create(
    name: NameArgument,
    scope: Annotated[
        ScopeChoice,
        typer.Option(help="read: look, scenarios; write: also declare, upload, retrain; admin: also activate."),
    ] = ScopeChoice.read,
    funnel: Annotated[
        list[str] | None, typer.Option("--funnel", help="A funnel that it is for, again for more; all otherwise.")
    ] = None,
    expires: Annotated[int | None, typer.Option(min=1, max=36_500, help="Days until it is refused.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key; show its secret, once.

    Nothing but its hash is kept: a lost secret is replaced, not found again.
    """
    secret, now = make_secret(), datetime.now(UTC)
    with open_database(read_settings()) as database:
        database.migrate()
        with database.write() as connection:
            key = create_key(
                connection,
                name,
                sha256=digest_of(secret),
                scope=scope.value,
                funnels=funnel or (),
                expires_at=None if expires is None else now + timedelta(days=expires),
                now=now,
            )
    if as_json:
        print_json({**document_from_key(key, now=now), "secret": secret})
        return
    until = "until it is revoked" if key.expires_at is None else f"until {moment(key.expires_at)}"
    print_lines(
        [secret, f"{name}: scope {scope.value}, {funnels_text(key)}, good {until}; the secret is not shown again"]
    )


@keys.command(name="list")
def list_all(as_json: JsonOption = False) -> None:
    """Show all keys, never a secret."""
    with open_database(read_settings()) as database:
        database.check_schema()
        with database.read() as connection:
            found = list_keys(connection)
    now = datetime.now(UTC)
    if as_json:
        print_json({"keys": [document_from_key(key, now=now) for key in found]})
        return
    names = ["key", "scope", "funnels", "state", "created", "expires", "last used, to the hour"]
    rows = [
        [
            key.name,
            key.scope,
            funnels_text(key),
            key.state(now=now),
            moment(key.created_at),
            moment(key.expires_at) or "never",
            moment(key.last_used_at) or "never",
        ]
        for key in found
    ]
    print_table("Keys", names, rows)


@keys.command()
def revoke(name: NameArgument, as_json: JsonOption = False) -> None:
    """Refuse a key from now on, for good.

    Every server does within two seconds, and refuses whoever signed in with it.
    """
    now = datetime.now(UTC)
    with open_database(read_settings()) as database:
        database.check_schema()
        with database.write() as connection:
            key = revoke_key(connection, name, now=now)
    if as_json:
        print_json(document_from_key(key, now=now))
    else:
        print_lines([f"{name}: revoked at {moment(key.revoked_at)}"])


def document_from_key(key: Key, *, now: datetime) -> dict[str, Any]:
    """A key as JSON, without its hash."""
    return {
        "key": key.name,
        "scope": key.scope,
        "funnels": None if key.funnels is None else sorted(key.funnels),
        "state": key.state(now=now),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }


def funnels_text(key: Key) -> str:
    """Which funnels it is for."""
    return "all funnels" if key.funnels is None else ", ".join(sorted(key.funnels))
