"""What analysts decide: breaks that are accepted until a date, periods that are signed off; and the party that a linked customer is."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "tieout"
INSTANT = sa.DateTime(timezone=True)
SUBJECTS_BEFORE = "'break', 'delivery', 'crosswalk', 'flow', 'ledger'"
SUBJECTS_NOW = "'break', 'delivery', 'crosswalk', 'flow', 'ledger', 'match', 'period'"

FACETS = [
    "state",
    "cause",
    "company",
    "entity",
    "currency",
    "owner",
    "month",
    "field",
    "needs_a_person",
    "accepted_until",
    "first_seen",
    "amount",
]
SEARCHED = (
    "lower(label || ' ' || salesforce_key || ' ' || d365_key || ' ' || coalesce(salesforce_value, '') || ' ' || "
    "coalesce(d365_value, '') || ' ' || reason || ' ' || comment)"
)


def upgrade() -> None:
    """Add the columns of a break that people work with, the signed periods, and decisions about matches and periods."""
    for column in (
        sa.Column("label", sa.Text, nullable=False, server_default="", comment="name of the record, for people"),
        sa.Column("month", sa.Text, nullable=False, server_default="", comment="YYYY-MM of the order; empty: no order"),
        sa.Column("field_owner", sa.Text, nullable=False, server_default="", comment="the system that owns the value"),
        sa.Column("fix", sa.Text, nullable=False, server_default=""),
        sa.Column("needs_a_person", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("accepted_until", sa.Date, comment="through this day nobody has to look at it"),
    ):
        op.add_column("break", column, schema=SCHEMA)
    op.add_column(
        "break",
        sa.Column("searched", sa.Text, sa.Computed(SEARCHED, persisted=True), comment="what a search looks through"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_break_state_amount", "break", ["state", sa.text("amount desc nulls last"), "identity"], schema=SCHEMA
    )
    # Counting and grouping a hundred thousand breaks reads this instead of the rows.
    op.create_index("ix_break_facets", "break", FACETS, schema=SCHEMA)
    op.create_index("ix_break_salesforce_key", "break", ["salesforce_key"], schema=SCHEMA)
    op.create_index("ix_break_d365_key", "break", ["d365_key"], schema=SCHEMA)
    op.add_column(
        "crosswalk",
        sa.Column("party", sa.Text, nullable=False, server_default="", comment="PartyNumber; outlives a new number"),
        schema=SCHEMA,
    )
    op.create_table(
        "period",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("company", sa.Text, nullable=False),
        sa.Column("month", sa.Text, nullable=False, comment="YYYY-MM"),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("signed_at", INSTANT, nullable=False),
        sa.Column("signed_by", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False, server_default=""),
        sa.Column("run_id", sa.Text, nullable=False, comment="the reconciliation that was signed"),
        sa.Column("digest", sa.Text, nullable=False, comment="of everything in the snapshot's rows"),
        sa.Column("snapshot", JSONB, nullable=False),
        sa.Column("reopened_at", INSTANT),
        sa.Column("reopened_by", sa.Text, nullable=False, server_default=""),
        sa.Column("reopened_reason", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_period"),
        sa.CheckConstraint("state in ('signed', 'reopened')", name="state"),
        schema=SCHEMA,
    )
    op.create_index(
        "uq_period_signed",
        "period",
        ["company", "month"],
        unique=True,
        postgresql_where=sa.text("state = 'signed'"),
        schema=SCHEMA,
    )
    _subjects(SUBJECTS_NOW)


def downgrade() -> None:
    """Drop what `upgrade` added."""
    _subjects(SUBJECTS_BEFORE)
    op.drop_table("period", schema=SCHEMA)
    op.drop_column("crosswalk", "party", schema=SCHEMA)
    for name in ("ix_break_state_amount", "ix_break_facets", "ix_break_salesforce_key", "ix_break_d365_key"):
        op.drop_index(name, "break", schema=SCHEMA)
    for name in ("searched", "label", "month", "field_owner", "fix", "needs_a_person", "accepted_until"):
        op.drop_column("break", name, schema=SCHEMA)


def _subjects(known: str) -> None:
    op.drop_constraint(op.f("ck_decision_subject"), "decision", schema=SCHEMA)
    op.create_check_constraint(op.f("ck_decision_subject"), "decision", f"subject in ({known})", schema=SCHEMA)
