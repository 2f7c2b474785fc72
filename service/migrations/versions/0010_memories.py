"""What a run leaves for the next one has a table of its own; on PostgreSQL scorecards are compressed by LZ4 too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import text

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KNOWN = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
"""False where the server was built without it; no row before PostgreSQL 14."""
SCORECARDS = ("scorecard", "quality")
UP = """
INSERT INTO memories (run_id, number, payload)
SELECT r.id, CAST(substr(s.name, 8) AS integer), s.payload
FROM states s JOIN runs r ON r.version_id = s.version_id
WHERE s.name LIKE 'memory/%' AND r.status = 'succeeded'
"""
DOWN = """
INSERT INTO states (version_id, name, payload)
SELECT r.version_id, 'memory/' || substr(CAST(1000000 + m.number AS text), 2), m.payload
FROM memories m JOIN runs r ON r.id = m.run_id
WHERE r.version_id IS NOT NULL AND r.status = 'succeeded'
"""


def upgrade() -> None:
    op.create_table(
        "memories",
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_memories"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_memories_run_id"),
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        compressed = connection.execute(text(KNOWN)).scalar()
        how = "COMPRESSION lz4" if compressed else "STORAGE EXTERNAL"
        connection.execute(text(f"ALTER TABLE memories ALTER COLUMN payload SET {how}"))
        for column in SCORECARDS if compressed else ():
            connection.execute(text(f"ALTER TABLE versions ALTER COLUMN {column} SET COMPRESSION lz4"))
    connection.execute(text(UP))
    connection.execute(text("DELETE FROM states WHERE name LIKE 'memory/%'"))


def downgrade() -> None:
    connection = op.get_bind()
    connection.execute(text(DOWN))
    op.drop_table("memories")
    if connection.dialect.name == "postgresql" and connection.execute(text(KNOWN)).scalar() is not None:
        for column in SCORECARDS:
            connection.execute(text(f"ALTER TABLE versions ALTER COLUMN {column} SET COMPRESSION DEFAULT"))
