"""The ledger's tables, in their own Postgres schema `tieout`: what must survive a crash and cannot be read again from anywhere.

The migrations in `migrations/versions` build exactly this; a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "tieout"

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(schema=SCHEMA, naming_convention=_NAMES)

_INSTANT = DateTime(timezone=True)
_JSON = JSONB(none_as_null=True)
_SEARCHED = (
    "lower(label || ' ' || salesforce_key || ' ' || d365_key || ' ' || coalesce(salesforce_value, '') || ' ' || "
    "coalesce(d365_value, '') || ' ' || reason || ' ' || comment)"
)
_MATCH_SEARCHED = "lower(left_key || ' ' || right_key || ' ' || coalesce(\"left\" ->> 'name', '') || ' ' || coalesce(\"right\" ->> 'name', ''))"
_STATES = "'planned', 'claimed', 'sent', 'in_doubt', 'confirmed', 'rejected', 'superseded', 'cancelled'"

delivery = Table(
    "delivery",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("entity", Text, nullable=False),
    Column("operation", Text, CheckConstraint("operation in ('create', 'update')", name="operation"), nullable=False),
    Column(
        "business_key",
        Text,
        nullable=False,
        comment="Salesforce id of the record that this write is for; a customer's goes on with /company",
    ),
    Column("company", Text, nullable=False),
    Column("d365_key", Text, nullable=False, comment="SalesOrderNumber or CustomerAccount, given by us"),
    Column("payload", _JSON, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("state", Text, CheckConstraint(f"state in ({_STATES})", name="state"), nullable=False),
    Column(
        "version", Integer, nullable=False, server_default="1", comment="goes up by one with every change of the row"
    ),
    Column("lease_owner", Text),
    Column("lease_until", _INSTANT),
    Column("fencing_token", BigInteger, nullable=False, server_default="0", comment="goes up by one with every claim"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("doubt_since", _INSTANT, comment="when the answer was lost; the grace period counts from here"),
    Column("d365_status", _JSON, comment="what was read back from D365 after the confirmation"),
    Column("d365_amount", Numeric(28, 6), comment="sum of the line amounts that were read back"),
    Column("created_at", _INSTANT, nullable=False),
    Column("updated_at", _INSTANT, nullable=False),
    Column("run_id", Text, nullable=False, comment="the last run that wanted this write"),
    Column(
        "source_version",
        _INSTANT,
        comment="version of the source record that the payload was made of; never goes back",
    ),
    # A business key is created at most once, whatever is replayed: the second insert fails in the database.
    Index("uq_delivery_create", "entity", "business_key", unique=True, postgresql_where=text("operation = 'create'")),
    Index("ix_delivery_work", "entity", "operation", "state", "id"),
    Index("ix_delivery_business_key", "business_key"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("delivery_id", BigInteger, ForeignKey(delivery.c.id)),
    Column("entity", Text, nullable=False),
    Column("operation", Text, nullable=False, comment="create, update or look_up"),
    Column("business_key", Text, nullable=False),
    Column("company", Text, nullable=False, server_default=""),
    Column("d365_key", Text, nullable=False, server_default=""),
    Column(
        "direction",
        Text,
        CheckConstraint("direction in ('to_d365', 'to_salesforce')", name="direction"),
        nullable=False,
    ),
    Column("at", _INSTANT, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("request", Text, nullable=False, server_default="", comment="what was asked, without values"),
    Column("correlation_id", Text, nullable=False, server_default=""),
    Index("ix_attempt_run_id", "run_id"),
    Index("ix_attempt_delivery_id", "delivery_id"),
    Index("ix_attempt_business_key", "business_key"),
    Index("ix_attempt_at", "at"),
)
"""Written before the request leaves. Never changed: the end of an attempt is a row of `attempt_result`."""

attempt_result = Table(
    "attempt_result",
    metadata,
    Column("attempt_id", BigInteger, ForeignKey(attempt.c.id), primary_key=True, autoincrement=False),
    Column("at", _INSTANT, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("state", Text, nullable=False, comment="the state that the record was left in"),
    Column("http_status", Integer),
    Column("message", Text, nullable=False, server_default=""),
    Column("duration_ms", Integer, nullable=False),
    Column("api_calls", Numeric(12, 6), nullable=False, comment="a fraction where several records shared a call"),
)

crosswalk = Table(
    "crosswalk",
    metadata,
    Column("entity", Text, primary_key=True),
    Column("salesforce_id", Text, primary_key=True),
    Column(
        "slot",
        Text,
        primary_key=True,
        server_default="",
        comment="the company, for records that have one counterpart in each; empty where there is one in all",
    ),
    Column("company", Text, nullable=False),
    Column("d365_key", Text, nullable=False),
    Column("found_by", Text, nullable=False),
    Column("since", _INSTANT, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("party", Text, nullable=False, server_default="", comment="PartyNumber; outlives a new number"),
    Index("ix_crosswalk_d365", "entity", "company", "d365_key"),
)

watermark = Table(
    "watermark",
    metadata,
    Column("system", Text, primary_key=True),
    Column("table_name", Text, primary_key=True),
    Column("value", _INSTANT, nullable=False),
    Column(
        "landing_rules", Text, nullable=False, comment="digest of the rules by which the rows up to here were landed"
    ),
    Column("run_id", Text, nullable=False),
    Column("updated_at", _INSTANT, nullable=False),
)

sweep = Table(
    "sweep",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("mode", Text, CheckConstraint("mode in ('full', 'incremental', 'partition')", name="mode"), nullable=False),
    Column("started_at", _INSTANT, nullable=False),
    Column("ended_at", _INSTANT, nullable=False),
    Column("rows_reported", BigInteger),
    Column("rows_read", BigInteger, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("problem", Text, nullable=False, server_default=""),
    Column("lake_version", BigInteger),
    Column("proof", _JSON),
    Index("ix_sweep_system_table_name", "system", "table_name", "id"),
)

break_ = Table(
    "break",
    metadata,
    Column("identity", Text, primary_key=True),
    Column("entity", Text, nullable=False),
    Column("company", Text, nullable=False),
    Column("currency", Text, nullable=False, server_default=""),
    Column("salesforce_key", Text, nullable=False, server_default=""),
    Column("d365_key", Text, nullable=False, server_default=""),
    Column("line_key", Text, nullable=False, server_default=""),
    Column("field", Text, nullable=False, server_default=""),
    Column("verdict", Text, nullable=False),
    Column("salesforce_value", Text),
    Column("d365_value", Text),
    Column("amount", Numeric(28, 6)),
    Column("cause", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("state", Text, CheckConstraint("state in ('open', 'closed')", name="state"), nullable=False),
    Column("first_seen", _INSTANT, nullable=False),
    Column("last_seen", _INSTANT, nullable=False),
    Column("closed_at", _INSTANT),
    Column("times_opened", Integer, nullable=False, server_default="1"),
    Column("owner", Text, nullable=False, server_default=""),
    Column("comment", Text, nullable=False, server_default=""),
    Column("run_id", Text, nullable=False),
    Column("label", Text, nullable=False, server_default="", comment="name of the record, for people"),
    Column("month", Text, nullable=False, server_default="", comment="YYYY-MM of the order; empty: no order"),
    Column("field_owner", Text, nullable=False, server_default="", comment="the system that owns the value"),
    Column("fix", Text, nullable=False, server_default=""),
    Column("needs_a_person", Boolean, nullable=False, server_default=text("true")),
    Column("accepted_until", Date, comment="through this day nobody has to look at it"),
    Index("ix_break_entity_state", "entity", "state"),
    Column("searched", Text, Computed(_SEARCHED, persisted=True), comment="what a search looks through"),
    Index("ix_break_state_amount", "state", text("amount desc nulls last"), "identity"),
    Index(
        "ix_break_facets",
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
    ),
    Index("ix_break_salesforce_key", "salesforce_key"),
    Index("ix_break_d365_key", "d365_key"),
)

period = Table(
    "period",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("company", Text, nullable=False),
    Column("month", Text, nullable=False, comment="YYYY-MM"),
    Column("state", Text, CheckConstraint("state in ('signed', 'reopened')", name="state"), nullable=False),
    Column("signed_at", _INSTANT, nullable=False),
    Column("signed_by", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("run_id", Text, nullable=False, comment="the reconciliation that was signed"),
    Column("digest", Text, nullable=False, comment="of everything in the snapshot's rows"),
    Column("snapshot", _JSON, nullable=False),
    Column("reopened_at", _INSTANT),
    Column("reopened_by", Text, nullable=False, server_default=""),
    Column("reopened_reason", Text, nullable=False, server_default=""),
    Index("uq_period_signed", "company", "month", unique=True, postgresql_where=text("state = 'signed'")),
)
"""A month of a company that somebody signed off. One row for each signature; `reopened` ones are the history."""

source_schema = Table(
    "source_schema",
    metadata,
    Column("system", Text, primary_key=True),
    Column("source", Text, primary_key=True, comment="Salesforce object or D365 entity set"),
    Column("fields", _JSON, nullable=False, comment="field: type"),
    Column("seen_at", _INSTANT, nullable=False),
)

event = Table(
    "event",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("payload", _JSON, nullable=False),
    Column("received_at", _INSTANT, nullable=False),
    Column("handled_at", _INSTANT),
    Column("record_key", Text, nullable=False, server_default="", comment="Salesforce id or order number"),
    UniqueConstraint("source", "event_id"),
    Index("ix_event_record_key", "record_key"),
    Index("ix_event_waiting", "id", postgresql_where=text("handled_at is null")),
)
"""Hints that a record has changed, each of them once. They are kept for a while after they were handled, to tell repeats."""

replay = Table(
    "replay",
    metadata,
    Column("source", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("replay_id", LargeBinary, nullable=False, comment="as the system gave it"),
    Column("kept_at", _INSTANT, nullable=False),
)
"""How far each channel of events was read: where reading goes on after it broke off. Written with the events up to there."""

decision = Table(
    "decision",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("at", _INSTANT, nullable=False),
    Column("who", Text, nullable=False),
    Column(
        "subject",
        Text,
        CheckConstraint(
            "subject in ('break', 'delivery', 'crosswalk', 'flow', 'ledger', 'match', 'period')", name="subject"
        ),
        nullable=False,
    ),
    Column("subject_key", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("before", _JSON),
    Column("after", _JSON),
    Index("ix_decision_subject", "subject", "subject_key"),
)

flow = Table(
    "flow",
    metadata,
    Column("flow", Text, primary_key=True),
    Column("company", Text, primary_key=True, server_default="", comment="empty: every company"),
    Column("paused", Boolean, nullable=False, server_default=text("false")),
    Column(
        "breaker",
        Text,
        CheckConstraint("breaker in ('closed', 'open', 'half_open')", name="breaker"),
        nullable=False,
        server_default="closed",
    ),
    Column("recent", _JSON, comment="the newest outcomes, oldest first: true for a failure"),
    Column("opened_at", _INSTANT),
    Column("probe_at", _INSTANT, comment="when the open breaker lets one delivery through"),
    Column("cool_down_s", Integer, comment="how long the breaker stays open before it probes"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("changed_at", _INSTANT, nullable=False),
)
"""Whether a flow (`delivery/sales_order`) may send for a company: paused by a person, cut off by its circuit breaker, or neither."""

match_proposal = Table(
    "match_proposal",
    metadata,
    Column(
        "kind",
        Text,
        CheckConstraint("kind in ('link', 'duplicate_in_salesforce', 'duplicate_in_d365')", name="kind"),
        primary_key=True,
    ),
    Column("left_key", Text, primary_key=True, comment="account id; customer's key for doubles in D365"),
    Column(
        "right_key",
        Text,
        primary_key=True,
        comment="customer's key, company|number; account id for doubles in Salesforce",
    ),
    Column("company", Text, nullable=False, server_default=""),
    Column("probability", Double, nullable=False),
    Column("weight", Numeric(12, 2), nullable=False, comment="bits"),
    Column("found_by", Text, nullable=False),
    Column("explanation", _JSON, nullable=False),
    Column("left", _JSON, nullable=False),
    Column("right", _JSON, nullable=False),
    Column(
        "state",
        Text,
        CheckConstraint("state in ('proposed', 'accepted', 'refused', 'withdrawn')", name="state"),
        nullable=False,
    ),
    Column("first_seen", _INSTANT, nullable=False),
    Column("last_seen", _INSTANT, nullable=False),
    Column("decided_at", _INSTANT),
    Column("decided_by", Text, nullable=False, server_default=""),
    Column("note", Text, nullable=False, server_default=""),
    Column("run_id", Text, nullable=False),
    Column("searched", Text, Computed(_MATCH_SEARCHED, persisted=True), comment="what a search looks through"),
    Index("ix_match_proposal_state", "state", "kind", text("weight desc"), "left_key"),
)
"""Who may be the same company. `withdrawn`: a later run no longer found it, and nobody had decided."""

quota = Table(
    "quota",
    metadata,
    Column("system", Text, primary_key=True),
    Column("used", BigInteger, nullable=False),
    Column("allowed", BigInteger, nullable=False),
    Column("at", _INSTANT, nullable=False),
)
"""Calls of the last 24 hours as a system told them last."""

alert = Table(
    "alert",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("key", Text, nullable=False, comment="rule and subject; at most one open alert of each"),
    Column("rule", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("severity", Text, CheckConstraint("severity in ('warning', 'critical')", name="severity"), nullable=False),
    Column("words", Text, nullable=False, comment="figures of the last look, or why it is over"),
    Column("since", _INSTANT, nullable=False),
    Column("last_on_at", _INSTANT, nullable=False, comment="the last look that found it on"),
    Column("recovered_at", _INSTANT),
    Index("uq_alert_open", "key", unique=True, postgresql_where=text("recovered_at is null")),
    Index("ix_alert_recovered_at", "recovered_at"),
)

alert_notice = Table(
    "alert_notice",
    metadata,
    Column("alert_id", BigInteger, ForeignKey(alert.c.id), primary_key=True, autoincrement=False),
    Column("sink", Text, primary_key=True),
    Column("last_noticed_at", _INSTANT, comment="when the sink took a notice that it is on"),
    Column("recovery_noticed_at", _INSTANT, comment="when the sink took the notice that it is over"),
    Column("claimed_until", _INSTANT, comment="another process is sending until then"),
    Column("not_before", _INSTANT, comment="the sink asked to be left alone until then"),
    Column("tries", Integer, nullable=False, server_default="0", comment="failed ones since the last success"),
    Column("problem", Text, nullable=False, server_default="", comment="why the last try failed"),
    Index("ix_alert_notice_sink", "sink"),
)
"""What one sink knows of one alert."""

log_sink = Table(
    "log_sink",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("sink", Text, nullable=False),
    Column("target", Text, nullable=False, comment="environment and table, or site and list"),
    Column("position", BigInteger, nullable=False, server_default="0", comment="every attempt up to here is sent"),
    Column("sent", BigInteger, nullable=False, server_default="0", comment="rows that the target has taken"),
    Column("sent_at", _INSTANT, comment="when the target took a row last"),
    Column("problem", Text, nullable=False, server_default="", comment="why the last pass broke off"),
    Column("problem_since", _INSTANT),
    Column("tries", Integer, nullable=False, server_default="0", comment="failed passes since the last good one"),
    Column("not_before", _INSTANT, comment="no pass before this"),
    Index("uq_log_sink", "sink", "target", unique=True),
)
"""How far one target of the log is."""

log_sink_row = Table(
    "log_sink_row",
    metadata,
    Column("sink_id", BigInteger, ForeignKey(log_sink.c.id), primary_key=True, autoincrement=False),
    Column("attempt_id", BigInteger, primary_key=True, autoincrement=False),
    Column("refused", Text, nullable=False, server_default="", comment="why the target does not take the row"),
)
"""Attempts behind the position that are done: sent, or refused for what is in them. Refused ones stay."""

APPEND_ONLY = (attempt, attempt_result, decision)
"""Tables in which a trigger refuses every UPDATE, DELETE and TRUNCATE."""
