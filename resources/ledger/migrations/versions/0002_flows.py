"""Flows that are paused or cut off by their circuit breaker, and the version of the source that each delivery was made of."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "tieout"
INSTANT = sa.DateTime(timezone=True)
# The naming convention of the metadata went over a name that was whole already.
FIRST_NAME, SECOND_NAME = "ck_decision_ck_decision_subject", "ck_decision_subject"
BREAKER_STATES = "'closed', 'open', 'half_open'"


def upgrade() -> None:
    """Add the table of flows, the deliveries' source version, and decisions about flows and about the ledger itself."""
    op.create_table(
        "flow",
        sa.Column("flow", sa.Text, nullable=False),
        sa.Column("company", sa.Text, nullable=False, server_default="", comment="empty: every company"),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("breaker", sa.Text, nullable=False, server_default="closed"),
        sa.Column("recent", JSONB, comment="the newest outcomes, oldest first: true for a failure"),
        sa.Column("opened_at", INSTANT),
        sa.Column("probe_at", INSTANT, comment="when the open breaker lets one delivery through"),
        sa.Column("cool_down_s", sa.Integer, comment="how long the breaker stays open before it probes"),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("flow", "company", name="pk_flow"),
        sa.CheckConstraint(f"breaker in ({BREAKER_STATES})", name="breaker"),
        schema=SCHEMA,
    )
    op.add_column(
        "delivery",
        sa.Column(
            "source_version",
            INSTANT,
            comment="version of the source record that the payload was made of; never goes back",
        ),
        schema=SCHEMA,
    )
    _subjects(FIRST_NAME, "'break', 'delivery', 'crosswalk', 'flow', 'ledger'", SECOND_NAME)


def downgrade() -> None:
    """Drop what `upgrade` added."""
    _subjects(SECOND_NAME, "'break', 'delivery', 'crosswalk'", FIRST_NAME)
    op.drop_column("delivery", "source_version", schema=SCHEMA)
    op.drop_table("flow", schema=SCHEMA)


def _subjects(old_name: str, known: str, new_name: str) -> None:
    op.drop_constraint(op.f(old_name), "decision", schema=SCHEMA)
    op.create_check_constraint(op.f(new_name), "decision", f"subject in ({known})", schema=SCHEMA)
