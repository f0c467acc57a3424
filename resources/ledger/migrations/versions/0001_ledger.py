"""The ledger: deliveries, attempts, crosswalk, watermarks, sweeps, breaks, events, decisions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "tieout"
INSTANT = sa.DateTime(timezone=True)
STATES = "'planned', 'claimed', 'sent', 'in_doubt', 'confirmed', 'rejected', 'superseded', 'cancelled'"


def upgrade() -> None:
    """Create all tables, the triggers of the append-only ones, and the view for analytics."""
    _deliveries()
    _attempts()
    _records_of_the_lake()
    _breaks()
    _events_and_decisions()
    _refuse_changes("attempt", "attempt_result", "decision")
    op.execute(INTEGRATION_LOG)


def downgrade() -> None:
    """Drop everything that `upgrade` made."""
    op.execute(f"drop view {SCHEMA}.integration_log")
    for table in (
        "decision",
        "event",
        "break",
        "sweep",
        "watermark",
        "crosswalk",
        "attempt_result",
        "attempt",
        "delivery",
    ):
        op.drop_table(table, schema=SCHEMA)
    op.execute(f"drop function {SCHEMA}.refuse_change()")


def _deliveries() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("entity", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column(
            "business_key",
            sa.Text,
            nullable=False,
            comment="Salesforce id of the record that this write is for; a customer's goes on with /company",
        ),
        sa.Column("company", sa.Text, nullable=False),
        sa.Column("d365_key", sa.Text, nullable=False, comment="SalesOrderNumber or CustomerAccount, given by us"),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column(
            "version",
            sa.Integer,
            nullable=False,
            server_default="1",
            comment="goes up by one with every change of the row",
        ),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_until", INSTANT),
        sa.Column(
            "fencing_token",
            sa.BigInteger,
            nullable=False,
            server_default="0",
            comment="goes up by one with every claim",
        ),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("doubt_since", INSTANT, comment="when the answer was lost; the grace period counts from here"),
        sa.Column("d365_status", JSONB, comment="what was read back from D365 after the confirmation"),
        sa.Column("d365_amount", sa.Numeric(28, 6), comment="sum of the line amounts that were read back"),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False, comment="the last run that wanted this write"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sa.CheckConstraint("operation in ('create', 'update')", name="ck_delivery_operation"),
        sa.CheckConstraint(f"state in ({STATES})", name="ck_delivery_state"),
        schema=SCHEMA,
    )
    op.create_index(
        "uq_delivery_create",
        "delivery",
        ["entity", "business_key"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("operation = 'create'"),
    )
    op.create_index("ix_delivery_work", "delivery", ["entity", "operation", "state", "id"], schema=SCHEMA)
    op.create_index("ix_delivery_business_key", "delivery", ["business_key"], schema=SCHEMA)


def _attempts() -> None:
    op.create_table(
        "attempt",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("delivery_id", sa.BigInteger),
        sa.Column("entity", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False, comment="create, update or look_up"),
        sa.Column("business_key", sa.Text, nullable=False),
        sa.Column("company", sa.Text, nullable=False, server_default=""),
        sa.Column("d365_key", sa.Text, nullable=False, server_default=""),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False, server_default="", comment="what was asked, without values"),
        sa.Column("correlation_id", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
        sa.ForeignKeyConstraint(["delivery_id"], [f"{SCHEMA}.delivery.id"], name="fk_attempt_delivery_id"),
        sa.CheckConstraint("direction in ('to_d365', 'to_salesforce')", name="ck_attempt_direction"),
        schema=SCHEMA,
    )
    for column in ("run_id", "delivery_id", "business_key"):
        op.create_index(f"ix_attempt_{column}", "attempt", [column], schema=SCHEMA)
    op.create_table(
        "attempt_result",
        sa.Column("attempt_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, comment="the state that the record was left in"),
        sa.Column("http_status", sa.Integer),
        sa.Column("message", sa.Text, nullable=False, server_default=""),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column(
            "api_calls", sa.Numeric(12, 6), nullable=False, comment="a fraction where several records shared a call"
        ),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_attempt_result"),
        sa.ForeignKeyConstraint(["attempt_id"], [f"{SCHEMA}.attempt.id"], name="fk_attempt_result_attempt_id"),
        schema=SCHEMA,
    )


def _records_of_the_lake() -> None:
    op.create_table(
        "crosswalk",
        sa.Column("entity", sa.Text, nullable=False),
        sa.Column("salesforce_id", sa.Text, nullable=False),
        sa.Column(
            "slot",
            sa.Text,
            nullable=False,
            server_default="",
            comment="the company, for records that have one counterpart in each; empty where there is one in all",
        ),
        sa.Column("company", sa.Text, nullable=False),
        sa.Column("d365_key", sa.Text, nullable=False),
        sa.Column("found_by", sa.Text, nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("entity", "salesforce_id", "slot", name="pk_crosswalk"),
        schema=SCHEMA,
    )
    op.create_index("ix_crosswalk_d365", "crosswalk", ["entity", "company", "d365_key"], schema=SCHEMA)
    op.create_table(
        "watermark",
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("value", INSTANT, nullable=False),
        sa.Column(
            "landing_rules",
            sa.Text,
            nullable=False,
            comment="digest of the rules by which the rows up to here were landed",
        ),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("system", "table_name", name="pk_watermark"),
        schema=SCHEMA,
    )
    op.create_table(
        "sweep",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=False),
        sa.Column("rows_reported", sa.BigInteger),
        sa.Column("rows_read", sa.BigInteger, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("problem", sa.Text, nullable=False, server_default=""),
        sa.Column("lake_version", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_sweep"),
        sa.CheckConstraint("mode in ('full', 'incremental', 'partition')", name="ck_sweep_mode"),
        schema=SCHEMA,
    )
    op.create_index("ix_sweep_system_table_name", "sweep", ["system", "table_name", "id"], schema=SCHEMA)


def _breaks() -> None:
    op.create_table(
        "break",
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("entity", sa.Text, nullable=False),
        sa.Column("company", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False, server_default=""),
        sa.Column("salesforce_key", sa.Text, nullable=False, server_default=""),
        sa.Column("d365_key", sa.Text, nullable=False, server_default=""),
        sa.Column("line_key", sa.Text, nullable=False, server_default=""),
        sa.Column("field", sa.Text, nullable=False, server_default=""),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("salesforce_value", sa.Text),
        sa.Column("d365_value", sa.Text),
        sa.Column("amount", sa.Numeric(28, 6)),
        sa.Column("cause", sa.Text, nullable=False, server_default=""),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("first_seen", INSTANT, nullable=False),
        sa.Column("last_seen", INSTANT, nullable=False),
        sa.Column("closed_at", INSTANT),
        sa.Column("times_opened", sa.Integer, nullable=False, server_default="1"),
        sa.Column("owner", sa.Text, nullable=False, server_default=""),
        sa.Column("comment", sa.Text, nullable=False, server_default=""),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("identity", name="pk_break"),
        sa.CheckConstraint("state in ('open', 'closed')", name="ck_break_state"),
        schema=SCHEMA,
    )
    op.create_index("ix_break_entity_state", "break", ["entity", "state"], schema=SCHEMA)


def _events_and_decisions() -> None:
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("handled_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sa.UniqueConstraint("source", "event_id", name="uq_event_source_event_id"),
        schema=SCHEMA,
    )
    op.create_table(
        "decision",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("subject_key", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False, server_default=""),
        sa.Column("before", JSONB),
        sa.Column("after", JSONB),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
        sa.CheckConstraint("subject in ('break', 'delivery', 'crosswalk')", name="ck_decision_subject"),
        schema=SCHEMA,
    )
    op.create_index("ix_decision_subject", "decision", ["subject", "subject_key"], schema=SCHEMA)


def _refuse_changes(*tables: str) -> None:
    op.execute(
        f"""
        create function {SCHEMA}.refuse_change() returns trigger language plpgsql as $$
        begin
            raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
        end $$
        """
    )
    for table in tables:
        op.execute(
            f"create trigger append_only before update or delete or truncate on {SCHEMA}.{table} "
            f"for each statement execute function {SCHEMA}.refuse_change()"
        )


INTEGRATION_LOG = f"""
create view {SCHEMA}.integration_log as
select
    attempt.id as attempt_id,
    attempt.at,
    attempt.run_id,
    attempt.direction,
    attempt.entity,
    attempt.operation,
    attempt.company,
    attempt.business_key,
    attempt.d365_key,
    coalesce(result.outcome, 'unanswered') as outcome,
    coalesce(result.state, delivery.state, 'unanswered') as state,
    coalesce(result.message, '') as reason,
    result.http_status,
    result.duration_ms,
    coalesce(result.api_calls, 0) as api_calls,
    attempt.delivery_id,
    attempt.request,
    attempt.correlation_id
from {SCHEMA}.attempt
left join {SCHEMA}.attempt_result as result on result.attempt_id = attempt.id
left join {SCHEMA}.delivery on delivery.id = attempt.delivery_id
"""
