"""Parts: what a retrain has read, kept in compact form; and indexes by which it finds what is new."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "parts",
        sa.Column("funnel_id", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("upload", sa.Integer, nullable=False, comment="number of the last upload it has read"),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("funnel_id", "kind", "number", name="pk_parts"),
        sa.ForeignKeyConstraint(["funnel_id"], ["funnels.id"], name="fk_parts_funnel_id"),
    )
    for table in ("events", "counts"):
        op.create_index(f"ix_{table}_funnel_id_upload", table, ["funnel_id", "upload"])


def downgrade() -> None:
    for table in ("events", "counts"):
        op.drop_index(f"ix_{table}_funnel_id_upload", table)
    op.drop_table("parts")
