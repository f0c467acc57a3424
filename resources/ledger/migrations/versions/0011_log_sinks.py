"""How far each target of the log is: its position, and what is done behind it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "tieout"
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "log_sink",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("sink", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False, comment="environment and table, or site and list"),
        sa.Column(
            "position", sa.BigInteger, nullable=False, server_default="0", comment="every attempt up to here is sent"
        ),
        sa.Column("sent", sa.BigInteger, nullable=False, server_default="0", comment="rows that the target has taken"),
        sa.Column("sent_at", INSTANT, comment="when the target took a row last"),
        sa.Column("problem", sa.Text, nullable=False, server_default="", comment="why the last pass broke off"),
        sa.Column("problem_since", INSTANT),
        sa.Column(
            "tries", sa.Integer, nullable=False, server_default="0", comment="failed passes since the last good one"
        ),
        sa.Column("not_before", INSTANT, comment="no pass before this"),
        sa.PrimaryKeyConstraint("id", name="pk_log_sink"),
        schema=SCHEMA,
    )
    op.create_index("uq_log_sink", "log_sink", ["sink", "target"], unique=True, schema=SCHEMA)
    op.create_table(
        "log_sink_row",
        sa.Column("sink_id", sa.BigInteger, nullable=False),
        sa.Column("attempt_id", sa.BigInteger, nullable=False),
        sa.Column(
            "refused", sa.Text, nullable=False, server_default="", comment="why the target does not take the row"
        ),
        sa.PrimaryKeyConstraint("sink_id", "attempt_id", name="pk_log_sink_row"),
        sa.ForeignKeyConstraint(["sink_id"], [f"{SCHEMA}.log_sink.id"], name="fk_log_sink_row_sink_id"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop what `upgrade` added."""
    op.drop_table("log_sink_row", schema=SCHEMA)
    op.drop_table("log_sink", schema=SCHEMA)
