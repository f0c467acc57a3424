"""How the fields of both systems were when they were last looked at, so that a change of them is noticed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "tieout"


def upgrade() -> None:
    """Add the table of snapshots."""
    op.create_table(
        "source_schema",
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False, comment="Salesforce object or D365 entity set"),
        sa.Column("fields", JSONB, nullable=False, comment="field: type"),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("system", "source", name="pk_source_schema"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop what `upgrade` added."""
    op.drop_table("source_schema", schema=SCHEMA)
