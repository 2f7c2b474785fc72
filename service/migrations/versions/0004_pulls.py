"""How far each source that is pulled from has been read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "pulls",
        sa.Column("funnel_id", sa.Integer, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("kind", sa.Text, nullable=False, comment="events | counts"),
        sa.Column("source", sa.Text, nullable=False, comment="what is read, and by which column it goes on"),
        sa.Column("watermark", sa.JSON, comment="{type, value} of the last row merged; null: there is none"),
        sa.Column("stages", sa.JSON, nullable=False, comment="stages that it has told of"),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("funnel_id", "name", name="pk_pulls"),
        sa.ForeignKeyConstraint(["funnel_id"], ["funnels.id"], name="fk_pulls_funnel_id"),
    )


def downgrade() -> None:
    op.drop_table("pulls")
