"""The breaks as a view, for queries from outside: a table may change with the next version, a view stays what it promises."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "tieout"
# Days are those of UTC, as at the desk.
BREAKS = f"""
create view {SCHEMA}.breaks as
select
    identity,
    entity,
    company,
    currency,
    salesforce_key,
    d365_key,
    line_key,
    field,
    verdict,
    salesforce_value,
    d365_value,
    amount,
    cause,
    reason,
    fix,
    state,
    state = 'open' and needs_a_person and coalesce(accepted_until < (now() at time zone 'UTC')::date, true) as is_waiting,
    first_seen,
    last_seen,
    closed_at,
    times_opened,
    owner,
    comment,
    run_id,
    label,
    month,
    field_owner,
    needs_a_person,
    accepted_until
from {SCHEMA}.break
"""


def upgrade() -> None:
    """Add the view of the breaks."""
    op.execute(BREAKS)


def downgrade() -> None:
    """Drop what `upgrade` added."""
    op.execute(f"drop view {SCHEMA}.breaks")
