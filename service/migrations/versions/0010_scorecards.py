"""Scorecards are compressed by LZ4 on PostgreSQL too: they are megabytes where there are thousands of series."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COLUMNS = ("scorecard", "quality")
KNOWN = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
"""False where the server was built without it; no row before PostgreSQL 14."""


def upgrade() -> None:
    """What is stored stays as it is: either can be read."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql" and connection.execute(text(KNOWN)).scalar():
        for column in COLUMNS:
            connection.execute(text(f"ALTER TABLE versions ALTER COLUMN {column} SET COMPRESSION lz4"))


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql" and connection.execute(text(KNOWN)).scalar() is not None:
        for column in COLUMNS:
            connection.execute(text(f"ALTER TABLE versions ALTER COLUMN {column} SET COMPRESSION DEFAULT"))
