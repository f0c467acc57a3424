"""How far each channel of events was read."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "tieout"


def upgrade() -> None:
    """Add the table of replay ids."""
    op.create_table(
        "replay",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("replay_id", sa.LargeBinary, nullable=False, comment="as the system gave it"),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "topic", name="pk_replay"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop what `upgrade` added."""
    op.drop_table("replay", schema=SCHEMA)
