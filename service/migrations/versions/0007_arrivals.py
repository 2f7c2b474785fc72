"""Arrivals: what each upload changed in the counts of recent days."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "arrivals",
        sa.Column("funnel_id", sa.Integer, nullable=False),
        sa.Column("upload", sa.Integer, nullable=False),
        sa.Column("stage", name, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("change", sa.Double, nullable=False, comment="by how much the upload changed the count of this day"),
        sa.PrimaryKeyConstraint("funnel_id", "upload", "stage", "day", name="pk_arrivals"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("arrivals")
