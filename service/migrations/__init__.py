"""Alembic migrations, shipped inside the package."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from service.store.errors import SchemaError

LOCK = 0x6E656172
"""Key of the PostgreSQL lock under which migrations run ("near")."""


def make_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without a file of its own."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """Name of the newest migration."""
    newest = ScriptDirectory.from_config(make_config()).get_current_head()
    assert newest is not None
    return newest


def upgrade(connection: Connection, revision: str = "head") -> bool:
    """Apply the missing migrations inside the caller's transaction; whether there were any.

    Raises SchemaError when the database was written by a newer release.
    """
    from service.store.database import schema_version  # noqa: PLC0415 - the database imports this package lazily

    if connection.dialect.name == "postgresql":
        # Ends with the transaction; two processes that start together migrate one after the other.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    before = schema_version(connection)
    config = make_config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if before is not None and before not in known:
        raise SchemaError(f"the database has schema {before}, of a newer release; upgrade nearcast")
    command.upgrade(config, revision)
    return schema_version(connection) != before


def downgrade(connection: Connection, revision: str) -> None:
    """Undo migrations down to `revision` ("base": all) inside the caller's transaction; loses what they added."""
    command.downgrade(make_config(connection), revision)
