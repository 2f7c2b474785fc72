"""Large columns of PostgreSQL are compressed by LZ4: its older way costs a retrain more than everything else."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COLUMNS = (("forecasts", "payload"), ("states", "payload"), ("parts", "payload"), ("published", "steps"))
KNOWN = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
"""False where the server was built without it; no row before PostgreSQL 14."""


def upgrade() -> None:
    """What is stored stays as it is: either can be read, and every retrain writes most of it anew."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    how = "COMPRESSION lz4" if connection.execute(text(KNOWN)).scalar() else "STORAGE EXTERNAL"
    for table, column in COLUMNS:
        connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN {column} SET {how}"))


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    for table, column in COLUMNS:
        connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTENDED"))
        if connection.execute(text(KNOWN)).scalar() is not None:
            connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN {column} SET COMPRESSION DEFAULT"))
