"""A lease on each funnel's retrain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("funnel_id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Integer, comment="the holder; null: free"),
        sa.Column("token", sa.Integer, nullable=False, comment="1, 2, ...: one more for each holder"),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("funnel_id", name="pk_leases"),
        sa.ForeignKeyConstraint(["funnel_id"], ["funnels.id"], name="fk_leases_funnel_id"),
    )


def downgrade() -> None:
    op.drop_table("leases")
