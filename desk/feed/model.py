"""What the feed offers: entity sets with their properties, types and keys, and where each is read from.

Properties have the names of the columns, so that the feed, the Postgres view and the lake are told in the same words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Integer,
    Numeric,
    Text,
    cast,
    column,
    func,
    select,
    table,
)

from resources.ledger.tables import SCHEMA

NAMESPACE = "Tieout"
CONTAINER = "Feed"


class Edm(StrEnum):
    """The types of OData that occur (CSDL 4.0, 4.4)."""

    TEXT = "Edm.String"
    INT32 = "Edm.Int32"
    INT64 = "Edm.Int64"
    DECIMAL = "Edm.Decimal"
    BOOLEAN = "Edm.Boolean"
    INSTANT = "Edm.DateTimeOffset"
    DATE = "Edm.Date"


_SQL_TYPES: Mapping[Edm, Any] = {
    Edm.TEXT: Text,
    Edm.INT32: Integer,
    Edm.INT64: BigInteger,
    Edm.DECIMAL: Numeric,
    Edm.BOOLEAN: Boolean,
    Edm.INSTANT: DateTime(timezone=True),
    Edm.DATE: Date,
}


@dataclass(frozen=True, slots=True)
class Property:
    """One column. `precision` and `scale` are digits of a decimal; `is_long` texts have no limit that an address could hold."""

    name: str
    edm: Edm
    words: str
    nullable: bool = False
    precision: int = 0
    scale: int = 0
    is_long: bool = False


@dataclass(frozen=True)
class EntitySet:
    """A set of rows with one key.

    `lake_key` is the Delta table that it is read from, or empty where `relation` is a table or view of the ledger. `computed`: property →
    its SQL over the relation's columns, for what is stored nowhere.
    """

    name: str
    entity_type: str
    words: str
    key: str
    properties: Sequence[Property]
    relation: str
    lake_key: tuple[str, ...] = ()
    computed: Mapping[str, ColumnElement[Any]] | None = None

    @cached_property
    def by_name(self) -> Mapping[str, Property]:
        """Name → property."""
        return {each.name: each for each in self.properties}

    @cached_property
    def key_property(self) -> Property:
        """The property whose value names one row."""
        return self.by_name[self.key]

    @cached_property
    def stored(self) -> Sequence[Property]:
        """The properties that are columns of the relation."""
        return [each for each in self.properties if each.name not in (self.computed or {})]

    @cached_property
    def source(self) -> FromClause:
        """What is selected from: one column of the right type for each property."""
        columns = (column(each.name, _SQL_TYPES[each.edm]) for each in self.stored)
        relation = table(self.relation, *columns, **({} if self.lake_key else {"schema": SCHEMA}))
        if not self.computed:
            return relation
        return select(relation, *(value.label(name) for name, value in self.computed.items())).subquery("source")


def _text(name: str, words: str, **more: Any) -> Property:
    return Property(name, Edm.TEXT, words, **more)


def _money(name: str, words: str, **more: Any) -> Property:
    return Property(name, Edm.DECIMAL, words, precision=28, scale=6, **more)


def _instant(name: str, words: str, **more: Any) -> Property:
    return Property(name, Edm.INSTANT, words, precision=6, **more)


def _joined(*names: str) -> ColumnElement[str]:
    r"""One text for several columns, different for different values: parts between `|`, `\` before a `|` or `\` of a value, `\N` for none."""
    parts: list[ColumnElement[str]] = []
    for name in names:
        value: ColumnElement[str] = column(name, Text)
        parts.append(func.coalesce(func.replace(func.replace(value, "\\", "\\\\"), "|", "\\|"), "\\N", type_=Text))
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.concat("|").concat(part)
    return joined


LOG = EntitySet(
    "IntegrationLog",
    "LogEntry",
    "One row for each record and attempt, in either direction",
    "attempt_id",
    (
        Property("attempt_id", Edm.INT64, "Number of the attempt; rises with time"),
        _instant("at", "When the call was about to be made"),
        _text("run_id", "Run that made the call"),
        _text("direction", "to_d365 or to_salesforce"),
        _text("entity", "customer, sales_order …"),
        _text("operation", "create, update or look_up"),
        _text("company", "Company in D365; empty where none is meant"),
        _text("business_key", "Salesforce id of the record; a customer's goes on with /company"),
        _text("d365_key", "SalesOrderNumber or CustomerAccount"),
        _text("outcome", "What the answer means; unanswered where none came"),
        _text("state", "State in which the record was left"),
        _text("reason", "What the system said", is_long=True),
        Property("http_status", Edm.INT32, "Status of the answer; none where there was none", nullable=True),
        Property("duration_ms", Edm.INT32, "Milliseconds until the answer", nullable=True),
        Property("api_calls", Edm.DECIMAL, "A fraction where records shared a call", precision=12, scale=6),
        Property("delivery_id", Edm.INT64, "Delivery that the attempt belongs to", nullable=True),
        _text("request", "What was asked, without values", is_long=True),
        _text("correlation_id", "Id under which the other system knows the call"),
    ),
    "integration_log",
)

BREAKS = EntitySet(
    "Breaks",
    "Break",
    "One row for each difference that was ever found, open or closed",
    "identity",
    (
        _text("identity", "Stable over runs"),
        _text("entity", "customer, sales_order or sales_order_line"),
        _text("company", "Company in D365"),
        _text("currency", "Currency of the amount; empty where there is none"),
        _text("salesforce_key", "Salesforce id; empty on the side that has no record"),
        _text("d365_key", "D365 number; empty on the side that has no record"),
        _text("line_key", "Line of an order; empty for the header"),
        _text("field", "Field that differs, or the verdict where the whole record is meant"),
        _text("verdict", "What the reconciliation says of it"),
        _text("salesforce_value", "Value in Salesforce as stored", nullable=True, is_long=True),
        _text("d365_value", "Value in D365 as stored", nullable=True, is_long=True),
        _money("amount", "Money that the break is about, in `currency`; never converted", nullable=True),
        _text("cause", "Why, as far as it is known"),
        _text("reason", "The same in words", is_long=True),
        _text("fix", "What to do about it", is_long=True),
        _text("state", "open or closed"),
        Property("is_waiting", Edm.BOOLEAN, "Open, for a person, and not accepted through today"),
        _instant("first_seen", "When a run found it first"),
        _instant("last_seen", "When a run found it last"),
        _instant("closed_at", "When it was gone; none while it is open", nullable=True),
        Property("times_opened", Edm.INT32, "1, and one more for each time that it came back"),
        _text("owner", "Who looks after it; empty: nobody"),
        _text("comment", "What people said of it last", is_long=True),
        _text("run_id", "Run that saw it last"),
        _text("label", "Name of the record, for people"),
        _text("month", "YYYY-MM of the order; empty: no order"),
        _text("field_owner", "System that owns the value"),
        Property("needs_a_person", Edm.BOOLEAN, "Whether somebody has to look"),
        Property("accepted_until", Edm.DATE, "Through this day nobody has to look", nullable=True),
    ),
    "breaks",
)

_OF_TIE_OUT = (
    _text("company", "Company in D365", nullable=True),
    _text("currency", "Amounts of different currencies are never added", nullable=True),
    _text("month", "YYYY-MM of the orders", nullable=True),
)
_BOTH_SIDES = (
    _money("salesforce", "Sum in Salesforce"),
    _money("d365", "Sum in D365"),
    _money("difference", "Salesforce minus D365"),
)

TIE_OUT = EntitySet(
    "TieOut",
    "TieOutLine",
    "Totals of the newest reconciliation: one row for each company, currency and month",
    "identity",
    (
        _text("identity", "company|currency|month"),
        *_OF_TIE_OUT,
        *_BOTH_SIDES,
        _money("explained", "Part of the difference whose cause is known"),
        _money("unexplained", "The other part: zero is a tie-out"),
    ),
    "tie_out",
    ("reconciliation", "tie_out"),
    {
        "identity": _joined("company", "currency", "month"),
        "unexplained": column("difference", Numeric) - column("explained", Numeric),
    },
)

TIE_OUT_BRIDGE = EntitySet(
    "TieOutBridge",
    "TieOutStep",
    "What each difference of the tie-out consists of: one row for each verdict and cause",
    "identity",
    (
        _text("identity", "company|currency|month|verdict|cause|is_explained"),
        *_OF_TIE_OUT,
        _text("verdict", "matched, differs, only_in_salesforce …", nullable=True),
        _text("cause", "Why, as far as it is known", nullable=True),
        Property("is_explained", Edm.BOOLEAN, "Whether the cause explains the money", nullable=True),
        Property("records", Edm.INT64, "Records that add to it"),
        *_BOTH_SIDES,
    ),
    "tie_out_bridge",
    ("reconciliation", "tie_out_bridge"),
    {
        "identity": _joined("company", "currency", "month", "verdict", "cause")
        .concat("|")
        .concat(func.coalesce(cast(column("is_explained", Boolean), Text), "\\N"))
    },
)

ENTITY_SETS: Mapping[str, EntitySet] = {each.name: each for each in (LOG, BREAKS, TIE_OUT, TIE_OUT_BRIDGE)}
"""Name → entity set, in the order of the service document."""
