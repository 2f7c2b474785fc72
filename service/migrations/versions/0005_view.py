"""A view of the served forecasts for BI tools, and the texts that it takes apart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBERS = (
    "mean", "q0_025", "q0_1", "q0_2", "q0_3", "q0_4", "q0_5", "q0_6", "q0_7", "q0_8", "q0_9", "q0_975", "in_flight",
    "new",
)  # fmt: skip
VIEW = """
CREATE VIEW nearcast_forecast AS
SELECT funnel, segment, stage, version, cutoff, {ds} AS ds, step, {numbers}, step <= reliable_until AS reliable
FROM (
    SELECT f.name AS funnel, p.segment, p.stage, v.number AS version, v.cutoff, p.reliable_until, {step} AS step,
        {row} AS numbers, {frequency} AS frequency, {gate} AS gate, {longest} AS longest
    FROM funnels f
    JOIN published p ON p.funnel_id = f.id
    JOIN versions v ON v.id = p.version_id
    {steps}
) s
WHERE (longest IS NULL OR step <= longest) AND (gate <> 'refuse' OR step <= reliable_until)
"""


def upgrade() -> None:
    op.create_table(
        "published",
        sa.Column("funnel_id", sa.Integer, nullable=False),
        sa.Column("segment", NAME, nullable=False),
        sa.Column("stage", NAME, nullable=False),
        sa.Column("version_id", sa.Integer, nullable=False),
        sa.Column("reliable_until", sa.Integer, nullable=False),
        sa.Column("steps", sa.Text, nullable=False, comment="JSON: [mean, quantiles, in_flight, new] of each step"),
        sa.PrimaryKeyConstraint("funnel_id", "segment", "stage", name="pk_published"),
        sa.ForeignKeyConstraint(["funnel_id"], ["funnels.id"], name="fk_published_funnel_id"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_published_version_id"),
    )
    # Not through the driver's parameters: there are none, and %, : and ? would have to be escaped.
    op.get_bind().exec_driver_sql(view(op.get_bind().dialect.name))


def downgrade() -> None:
    op.execute("DROP VIEW nearcast_forecast")
    op.drop_table("published")


def view(dialect: str) -> str:
    """The view in the engine's own words for dates and for what is inside a JSON text."""
    weekly = "CASE frequency WHEN 'week' THEN 7 ELSE 1 END"
    if dialect == "postgresql":
        return VIEW.format(
            ds=f"cutoff + (step * {weekly})::integer",
            step="e.step::integer",
            row="e.numbers",
            steps="CROSS JOIN LATERAL jsonb_array_elements(p.steps::jsonb) WITH ORDINALITY AS e(numbers, step)",
            frequency="v.declaration ->> 'frequency'",
            gate="f.declaration ->> 'gate'",
            longest="(f.declaration ->> 'max_horizon')::integer",
            numbers=", ".join(f"(numbers ->> {place})::float8 AS {name}" for place, name in enumerate(NUMBERS)),
        )
    return VIEW.format(
        ds=f"date(cutoff, (step * {weekly}) || ' days')",
        step="e.key + 1",
        row="e.value",
        steps="CROSS JOIN json_each(p.steps) e",
        frequency="json_extract(v.declaration, '$.frequency')",
        gate="json_extract(f.declaration, '$.gate')",
        longest="json_extract(f.declaration, '$.max_horizon')",
        numbers=", ".join(f"json_extract(numbers, '$[{place}]') AS {name}" for place, name in enumerate(NUMBERS)),
    )
