"""What the proof of a read was made of: both sides' figures."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "tieout"


def upgrade() -> None:
    """Add the column to the proofs of reads."""
    op.add_column("sweep", sa.Column("proof", JSONB), schema=SCHEMA)


def downgrade() -> None:
    """Drop what `upgrade` added."""
    op.drop_column("sweep", "proof", schema=SCHEMA)
