"""The first tables: funnels, uploads, observations and their revisions, versions, runs, idempotency keys."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_funnels()
    make_observations()
    make_versions()
    make_runs()


def downgrade() -> None:
    for table in (
        "idempotency_keys",
        "runs",
        "states",
        "forecasts",
        "versions",
        "count_revisions",
        "counts",
        "event_revisions",
        "events",
        "uploads",
        "funnels",
    ):
        op.drop_table(table)


def key(name: str, kind: Any = sa.Integer) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def make_funnels() -> None:
    op.create_table(
        "funnels",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", NAME, nullable=False),
        sa.Column("declaration", sa.JSON, nullable=False),
        sa.Column("inferred", sa.Boolean, nullable=False),
        sa.Column(
            "naive_times", sa.Boolean, comment="whether the source writes times without a zone; null: not seen yet"
        ),
        sa.Column("active_version_id", sa.Integer),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_funnels"),
        sa.UniqueConstraint("name", name="uq_funnels_name"),
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("funnel_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, comment="1, 2, ... per funnel: the watermark"),
        sa.Column("recorded_at", sa.BigInteger, nullable=False, comment="strictly increasing per funnel"),
        sa.Column("kind", sa.Text, nullable=False, comment="events | counts"),
        sa.Column("fresh_until", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.Integer, nullable=False, comment="rows inserted, revised or retracted"),
        sa.Column("report", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        sa.ForeignKeyConstraint(["funnel_id"], ["funnels.id"], name="fk_uploads_funnel_id"),
        sa.UniqueConstraint("funnel_id", "number", name="uq_uploads_funnel_id_number"),
    )


def make_observations() -> None:
    for table, revised in (("events", False), ("event_revisions", True)):
        op.create_table(
            table,
            key("funnel_id"),
            key("entity_id", NAME),
            key("stage", NAME),
            key("ts", sa.BigInteger),
            *([key("superseded_by")] if revised else []),
            sa.Column("value", sa.Double),
            sa.Column("due_on", sa.Integer),
            sa.Column(
                "segment", NAME, nullable=False, comment=None if revised else "empty: the source has no segments"
            ),
            *state_columns(described=not revised),
            sqlite_with_rowid=False,
        )
    for table, revised in (("counts", False), ("count_revisions", True)):
        op.create_table(
            table,
            key("funnel_id"),
            key("segment", NAME),
            key("stage", NAME),
            key("ds", sa.BigInteger),
            *([key("superseded_by")] if revised else []),
            sa.Column("y", sa.Double, nullable=False),
            sa.Column("value", sa.Double),
            *state_columns(described=False),
            sqlite_with_rowid=False,
        )


def state_columns(*, described: bool) -> list[sa.Column[object]]:
    comment = "number of the upload that wrote this state of the row" if described else None
    return [
        sa.Column("retracted", sa.Boolean, nullable=False),
        sa.Column("upload", sa.Integer, nullable=False, comment=comment),
    ]


def make_versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("funnel_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, comment="1, 2, ... per funnel"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("cutoff", sa.Date, nullable=False),
        sa.Column("watermark", sa.Integer, nullable=False, comment="number of the last upload it has read"),
        sa.Column("horizon", sa.Integer, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("calendar", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, comment="why it was published"),
        sa.Column("declaration", sa.JSON, nullable=False, comment="the funnel as it was when this was trained"),
        sa.Column("scorecard", sa.JSON, nullable=False),
        sa.Column("quality", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.ForeignKeyConstraint(["funnel_id"], ["funnels.id"], name="fk_versions_funnel_id"),
        sa.UniqueConstraint("funnel_id", "number", name="uq_versions_funnel_id_number"),
    )
    for table, names in (("forecasts", ("segment", "stage")), ("states", ("name",))):
        op.create_table(
            table,
            key("version_id"),
            *(key(name, NAME) for name in names),
            sa.Column("payload", sa.LargeBinary, nullable=False),
            sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=f"fk_{table}_version_id"),
        )


def make_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("funnel_id", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False, comment="queued | running | succeeded | failed"),
        sa.Column("reason", sa.Text, comment="why it ended"),
        sa.Column("phases", sa.JSON, nullable=False, comment="[{name, seconds}]"),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("version_id", sa.Integer),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("heartbeat_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.ForeignKeyConstraint(["funnel_id"], ["funnels.id"], name="fk_runs_funnel_id"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_runs_version_id"),
    )
    op.create_index("ix_runs_funnel_id", "runs", ["funnel_id"])
    op.create_index("ix_runs_status", "runs", ["status"])
    op.create_table(
        "idempotency_keys",
        key("scope", NAME),
        key("key", NAME),
        sa.Column("body_sha256", sa.Text, comment="null while the request is being answered"),
        sa.Column("status", sa.Integer),
        sa.Column("response", sa.JSON),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
