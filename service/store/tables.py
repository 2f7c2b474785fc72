"""The tables. Instants are whole microseconds since 1970-01-01T00:00Z, days are days since 1970-01-01.

The bulk tables (`events`, `counts` and their revisions) carry no foreign key: PostgreSQL would check
it row by row, at several times the cost of the insert itself; funnels are never deleted.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_HEAD = "0010"
"""Migration that makes these tables; a test holds it equal to the newest one."""

NAMING = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
metadata = MetaData(naming_convention=NAMING)

# Names sort by code point on both engines: SQLite's own order, and on PostgreSQL the fast one.
NAME = Text().with_variant(Text(collation="C"), "postgresql")


def key(name: str, kind: type[Integer] | type[BigInteger] | Text) -> Column[object]:
    """Part of a primary key that is given, not generated."""
    return Column(name, kind, primary_key=True, autoincrement=False)


funnels = Table(
    "funnels",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", NAME, nullable=False, unique=True),
    Column("declaration", JSON, nullable=False),
    Column("inferred", Boolean, nullable=False),
    Column("naive_times", Boolean, comment="whether the source writes times without a zone; null: not seen yet"),
    # No foreign key: funnels and versions would refer to each other.
    Column("active_version_id", Integer),
    Column("activations", Integer, nullable=False, server_default="0", comment="how often a version was chosen"),
    Column("schedule", Text, comment="cron expression in the funnel's time zone; null: none"),
    Column("due_after", BigInteger, comment="due instants up to here are dealt with"),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("funnel_id", ForeignKey("funnels.id"), nullable=False),
    Column("number", Integer, nullable=False, comment="1, 2, ... per funnel: the watermark"),
    Column("recorded_at", BigInteger, nullable=False, comment="strictly increasing per funnel"),
    Column("kind", Text, nullable=False, comment="events | counts"),
    Column("fresh_until", BigInteger, nullable=False),
    Column("changed", Integer, nullable=False, comment="rows inserted, revised or retracted"),
    Column("report", JSON, nullable=False),
    UniqueConstraint("funnel_id", "number"),
)

events = Table(
    "events",
    metadata,
    key("funnel_id", Integer),
    key("entity_id", NAME),
    key("stage", NAME),
    key("ts", BigInteger),
    Column("value", Double),
    Column("due_on", Integer),
    Column("segment", NAME, nullable=False, comment="empty: the source has no segments"),
    Column("retracted", Boolean, nullable=False),
    Column("upload", Integer, nullable=False, comment="number of the upload that wrote this state of the row"),
    Index(None, "funnel_id", "upload"),
    sqlite_with_rowid=False,
)

event_revisions = Table(
    "event_revisions",
    metadata,
    key("funnel_id", Integer),
    key("entity_id", NAME),
    key("stage", NAME),
    key("ts", BigInteger),
    key("superseded_by", Integer),
    Column("value", Double),
    Column("due_on", Integer),
    Column("segment", NAME, nullable=False),
    Column("retracted", Boolean, nullable=False),
    Column("upload", Integer, nullable=False),
    sqlite_with_rowid=False,
)

counts = Table(
    "counts",
    metadata,
    key("funnel_id", Integer),
    key("segment", NAME),
    key("stage", NAME),
    key("ds", BigInteger),
    Column("y", Double, nullable=False),
    Column("value", Double),
    Column("retracted", Boolean, nullable=False),
    Column("upload", Integer, nullable=False),
    Index(None, "funnel_id", "upload"),
    sqlite_with_rowid=False,
)

count_revisions = Table(
    "count_revisions",
    metadata,
    key("funnel_id", Integer),
    key("segment", NAME),
    key("stage", NAME),
    key("ds", BigInteger),
    key("superseded_by", Integer),
    Column("y", Double, nullable=False),
    Column("value", Double),
    Column("retracted", Boolean, nullable=False),
    Column("upload", Integer, nullable=False),
    sqlite_with_rowid=False,
)

arrivals = Table(
    "arrivals",
    metadata,
    key("funnel_id", Integer),
    key("upload", Integer),
    key("stage", NAME),
    key("day", Integer),
    Column("change", Double, nullable=False, comment="by how much the upload changed the count of this day"),
    sqlite_with_rowid=False,
)

versions = Table(
    "versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("funnel_id", ForeignKey("funnels.id"), nullable=False),
    Column("number", Integer, nullable=False, comment="1, 2, ... per funnel"),
    Column("created_at", BigInteger, nullable=False),
    Column("cutoff", Date, nullable=False),
    Column("watermark", Integer, nullable=False, comment="number of the last upload it has read"),
    Column("horizon", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("calendar", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="why it was published"),
    Column("declaration", JSON, nullable=False, comment="the funnel as it was when this was trained"),
    Column("scorecard", JSON, nullable=False),
    Column("quality", JSON, nullable=False),
    UniqueConstraint("funnel_id", "number"),
)

forecasts = Table(
    "forecasts",
    metadata,
    Column("version_id", ForeignKey("versions.id"), primary_key=True),
    key("segment", NAME),
    key("stage", NAME),
    Column("payload", LargeBinary, nullable=False),
)

published = Table(
    "published",
    metadata,
    Column("funnel_id", ForeignKey("funnels.id"), primary_key=True, autoincrement=False),
    key("segment", NAME),
    key("stage", NAME),
    Column("version_id", ForeignKey("versions.id"), nullable=False),
    Column("reliable_until", Integer, nullable=False),
    Column("steps", Text, nullable=False, comment="JSON: [mean, quantiles, in_flight, new] of each step"),
)

states = Table(
    "states",
    metadata,
    Column("version_id", ForeignKey("versions.id"), primary_key=True),
    key("name", NAME),
    Column("payload", LargeBinary, nullable=False),
)

parts = Table(
    "parts",
    metadata,
    Column("funnel_id", ForeignKey("funnels.id"), primary_key=True, autoincrement=False),
    key("kind", Text()),
    key("number", Integer),
    Column("format", Integer, nullable=False),
    Column("upload", Integer, nullable=False, comment="number of the last upload it has read"),
    Column("payload", LargeBinary, nullable=False),
)

# Written while a run is still at it, and before there is a version.
memories = Table(
    "memories",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    key("number", Integer),
    Column("payload", LargeBinary, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("funnel_id", ForeignKey("funnels.id"), nullable=False, index=True),
    Column("status", Text, nullable=False, index=True, comment="queued | running | succeeded | failed"),
    Column("reason", Text, comment="why it ended"),
    Column("phases", JSON, nullable=False, comment="[{name, seconds}]"),
    Column("counts", JSON, nullable=False),
    Column("version_id", ForeignKey("versions.id")),
    Column("due_at", BigInteger, comment="the due instant it answers; null: asked for"),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("heartbeat_at", BigInteger, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("funnel_id", ForeignKey("funnels.id"), primary_key=True, autoincrement=False),
    Column("run_id", Integer, comment="the holder; null: free"),
    Column("token", Integer, nullable=False, comment="1, 2, ...: one more for each holder"),
    Column("expires_at", BigInteger, nullable=False),
)

pulls = Table(
    "pulls",
    metadata,
    Column("funnel_id", ForeignKey("funnels.id"), primary_key=True, autoincrement=False),
    key("name", NAME),
    Column("kind", Text, nullable=False, comment="events | counts"),
    Column("source", Text, nullable=False, comment="what is read, and by which column it goes on"),
    Column("watermark", JSON(none_as_null=True), comment="{type, value} of the last row merged; null: there is none"),
    Column("stages", JSON, nullable=False, comment="stages that it has told of"),
    Column("read_at", BigInteger, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    key("scope", NAME),
    key("key", NAME),
    Column("body_sha256", Text, comment="null while the request is being answered"),
    Column("status", Integer),
    Column("response", JSON),
    Column("created_at", BigInteger, nullable=False, index=True),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", NAME, nullable=False, unique=True),
    Column("sha256", Text, nullable=False, unique=True, comment="of the secret, hexadecimal; the secret is nowhere"),
    Column("scope", Text, nullable=False, comment="read | write | admin"),
    Column("funnels", JSON(none_as_null=True), comment="names of those it is for; null: all"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, comment="null: never"),
    Column("last_used_at", BigInteger, comment="to the hour; null: never"),
    Column("revoked_at", BigInteger, comment="null: it was not"),
)

# People who have signed in on the dashboard: each by a key, and no longer than it.
sessions = Table(
    "sessions",
    metadata,
    key("sha256", Text()),
    Column("key_id", ForeignKey("keys.id"), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
