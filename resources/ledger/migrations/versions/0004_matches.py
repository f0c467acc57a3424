"""Proposals of who may be the same company, and what people said about them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "tieout"
INSTANT = sa.DateTime(timezone=True)
SEARCHED = "lower(left_key || ' ' || right_key || ' ' || coalesce(\"left\" ->> 'name', '') || ' ' || coalesce(\"right\" ->> 'name', ''))"


def upgrade() -> None:
    """Add the table of proposals."""
    op.create_table(
        "match_proposal",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("left_key", sa.Text, nullable=False, comment="account id; customer's key for doubles in D365"),
        sa.Column(
            "right_key",
            sa.Text,
            nullable=False,
            comment="customer's key, company|number; account id for doubles in Salesforce",
        ),
        sa.Column("company", sa.Text, nullable=False, server_default=""),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("weight", sa.Numeric(12, 2), nullable=False, comment="bits"),
        sa.Column("found_by", sa.Text, nullable=False),
        sa.Column("explanation", JSONB, nullable=False),
        sa.Column("left", JSONB, nullable=False),
        sa.Column("right", JSONB, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("first_seen", INSTANT, nullable=False),
        sa.Column("last_seen", INSTANT, nullable=False),
        sa.Column("decided_at", INSTANT),
        sa.Column("decided_by", sa.Text, nullable=False, server_default=""),
        sa.Column("note", sa.Text, nullable=False, server_default=""),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("searched", sa.Text, sa.Computed(SEARCHED, persisted=True), comment="what a search looks through"),
        sa.PrimaryKeyConstraint("kind", "left_key", "right_key", name="pk_match_proposal"),
        sa.CheckConstraint("kind in ('link', 'duplicate_in_salesforce', 'duplicate_in_d365')", name="kind"),
        sa.CheckConstraint("state in ('proposed', 'accepted', 'refused', 'withdrawn')", name="state"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_match_proposal_state",
        "match_proposal",
        ["state", "kind", sa.text("weight desc"), "left_key"],
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop what `upgrade` added."""
    op.drop_table("match_proposal", schema=SCHEMA)
