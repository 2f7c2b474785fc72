"""API keys, and the sessions of people who have signed in with one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False, comment="of the secret, hexadecimal; the secret is nowhere"),
        sa.Column("scope", sa.Text, nullable=False, comment="read | write | admin"),
        sa.Column("funnels", sa.JSON, comment="names of those it is for; null: all"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, comment="null: never"),
        sa.Column("last_used_at", sa.BigInteger, comment="to the hour; null: never"),
        sa.Column("revoked_at", sa.BigInteger, comment="null: it was not"),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("name", name="uq_keys_name"),
        sa.UniqueConstraint("sha256", name="uq_keys_sha256"),
    )
    op.create_table(
        "sessions",
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("key_id", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_sessions"),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name="fk_sessions_key_id"),
    )


def downgrade() -> None:
    op.drop_table("sessions")
    op.drop_table("keys")
