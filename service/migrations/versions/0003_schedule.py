"""A schedule for each funnel, the due instant a run answers, and a count of activations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    chosen = sa.Column(
        "activations", sa.Integer, nullable=False, server_default="0", comment="how often a version was chosen"
    )
    schedule = sa.Column("schedule", sa.Text, comment="cron expression in the funnel's time zone; null: none")
    due_after = sa.Column("due_after", sa.BigInteger, comment="due instants up to here are dealt with")
    for column in (chosen, schedule, due_after):
        op.add_column("funnels", column)
    op.add_column("runs", sa.Column("due_at", sa.BigInteger, comment="the due instant it answers; null: asked for"))


def downgrade() -> None:
    op.drop_column("runs", "due_at")
    for name in ("due_after", "schedule", "activations"):
        op.drop_column("funnels", name)
