"""Alerts and what each sink knows of them; the last known quota of a system; attempts found by their time."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "tieout"
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables and the index."""
    op.create_table(
        "quota",
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("allowed", sa.BigInteger, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("system", name="pk_quota"),
        schema=SCHEMA,
    )
    op.create_table(
        "alert",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("key", sa.Text, nullable=False, comment="rule and subject; at most one open alert of each"),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False, comment="figures of the last look, or why it is over"),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("last_on_at", INSTANT, nullable=False, comment="the last look that found it on"),
        sa.Column("recovered_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_alert"),
        sa.CheckConstraint("severity in ('warning', 'critical')", name="severity"),
        schema=SCHEMA,
    )
    op.create_index(
        "uq_alert_open",
        "alert",
        ["key"],
        unique=True,
        postgresql_where=sa.text("recovered_at is null"),
        schema=SCHEMA,
    )
    op.create_index("ix_alert_recovered_at", "alert", ["recovered_at"], schema=SCHEMA)
    op.create_table(
        "alert_notice",
        sa.Column("alert_id", sa.BigInteger, nullable=False),
        sa.Column("sink", sa.Text, nullable=False),
        sa.Column("last_noticed_at", INSTANT, comment="when the sink took a notice that it is on"),
        sa.Column("recovery_noticed_at", INSTANT, comment="when the sink took the notice that it is over"),
        sa.Column("claimed_until", INSTANT, comment="another process is sending until then"),
        sa.Column("not_before", INSTANT, comment="the sink asked to be left alone until then"),
        sa.Column(
            "tries", sa.Integer, nullable=False, server_default="0", comment="failed ones since the last success"
        ),
        sa.Column("problem", sa.Text, nullable=False, server_default="", comment="why the last try failed"),
        sa.PrimaryKeyConstraint("alert_id", "sink", name="pk_alert_notice"),
        sa.ForeignKeyConstraint(["alert_id"], [f"{SCHEMA}.alert.id"], name="fk_alert_notice_alert_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_alert_notice_sink", "alert_notice", ["sink"], schema=SCHEMA)
    op.create_index("ix_attempt_at", "attempt", ["at"], schema=SCHEMA)


def downgrade() -> None:
    """Drop what `upgrade` added."""
    op.drop_index("ix_attempt_at", "attempt", schema=SCHEMA)
    op.drop_table("alert_notice", schema=SCHEMA)
    op.drop_table("alert", schema=SCHEMA)
    op.drop_table("quota", schema=SCHEMA)
