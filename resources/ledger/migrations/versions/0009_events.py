"""Events as hints: the record that each is about, the ones that wait, and the view of how long a record took from change to confirmation."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "tieout"


def upgrade() -> None:
    """Add the record's key to events, an index for what waits, and the view."""
    comment = "Salesforce id or order number"
    column = sa.Column("record_key", sa.Text, nullable=False, server_default="", comment=comment)
    op.add_column("event", column, schema=SCHEMA)
    op.create_index("ix_event_record_key", "event", ["record_key"], schema=SCHEMA)
    op.create_index("ix_event_waiting", "event", ["id"], schema=SCHEMA, postgresql_where=sa.text("handled_at is null"))
    op.execute(DELIVERY_LATENCY)


def downgrade() -> None:
    """Drop what `upgrade` added."""
    op.execute(f"drop view {SCHEMA}.delivery_latency")
    op.drop_index("ix_event_waiting", "event", schema=SCHEMA)
    op.drop_index("ix_event_record_key", "event", schema=SCHEMA)
    op.drop_column("event", "record_key", schema=SCHEMA)


DELIVERY_LATENCY = f"""
create view {SCHEMA}.delivery_latency as
select
    delivery.id as delivery_id,
    delivery.entity,
    delivery.business_key,
    delivery.company,
    delivery.d365_key,
    delivery.run_id,
    delivery.source_version as changed_at,
    coalesce(hint.received_at, delivery.created_at) as seen_at,
    case when hint.received_at is null then 'schedule' else 'event' end as seen_by,
    sent.at as sent_at,
    confirmed.at as confirmed_at,
    extract(epoch from confirmed.at - delivery.source_version)::numeric(20, 3) as seconds
from {SCHEMA}.delivery
-- The first attempt that left, and the answer that settled it, which may be that of a later look.
left join lateral (
    select min(attempt.at) as at from {SCHEMA}.attempt
    where attempt.delivery_id = delivery.id and attempt.direction = 'to_d365' and attempt.operation = delivery.operation
) as sent on true
left join lateral (
    select min(result.at) as at from {SCHEMA}.attempt
    join {SCHEMA}.attempt_result as result on result.attempt_id = attempt.id
    where attempt.delivery_id = delivery.id and result.state = 'confirmed'
) as confirmed on true
-- The first event of this very change: stamps of Salesforce are whole seconds, and its clock is not ours.
left join lateral (
    select min(event.received_at) as received_at from {SCHEMA}.event
    where event.source = 'salesforce' and event.record_key = delivery.business_key
        and event.received_at >= delivery.source_version - interval '2 seconds' and event.received_at <= delivery.created_at
) as hint on true
where delivery.operation = 'create'
"""
