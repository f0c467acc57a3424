"""What a comparison says about one record or one field: the rows of the verdict and difference tables, as values.

Only rows that somebody must look at become Python objects; the tables themselves stay in DuckDB.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROWS_AT_ONCE = 1_000


class Verdict(StrEnum):
    """What is said about one record; every record of the population has exactly one."""

    MATCHED = "matched"
    DIFFERS = "differs"
    ONLY_IN_SALESFORCE = "only_in_salesforce"
    ONLY_IN_D365 = "only_in_d365"
    DUPLICATE = "duplicate"
    IN_FLIGHT = "in_flight"
    QUARANTINED = "quarantined"


class DifferenceKind(StrEnum):
    """How two values differ. CASE_OR_BLANKS is no difference: equal as compared, other letters or blanks as stored."""

    DIFFERS = "differs"
    DAMAGED_CHARACTERS = "damaged_characters"
    CASE_OR_BLANKS = "case_or_blanks"


class Reason(StrEnum):
    """Why a record has its verdict, in the words of the report. A detail may follow after a colon."""

    LINK_AMBIGUOUS = "more than one record claims the link"
    LINK_TAKEN = "the counterpart is linked to another record"
    ON_AN_ORDER = "an order names it or its lines, but the two could not be compared"
    LINK_BROKEN = "the linked record is not in D365"
    NO_COMPANY = "no company is known, neither on the opportunity nor on its account"
    NO_ACCOUNT = "the opportunity has no account in Salesforce"
    NO_LINES = "the opportunity has no lines"
    ACCOUNT_QUARANTINED = "the account is in quarantine"
    RECORD_QUARANTINED = "the record is in quarantine"
    LINE_QUARANTINED = "a line of the record is in quarantine"
    SAME_KEY_TWICE = "the key occurs more than once on one side"
    SAME_PARTY = "another customer of the same party is the linked one"
    MERGED_ACCOUNT = "its account was merged into one that has another customer here"
    MERGED_AWAY = "its account was merged into one that is not there"
    SECOND_ORDER = "the opportunity that it names is linked to another order"
    SECOND_LINE = "the opportunity line that it names is paired with another line"
    SPLIT_LINE = "the opportunity line is split over more than one order line"
    ORDER_CANCELED = "the order is canceled in D365"
    LINE_CANCELED = "the line is canceled in D365"
    NOT_WON = "the opportunity is not won"
    DELETED = "the opportunity was deleted in Salesforce"
    CHANGED_DURING_READ = "changed after the earlier of the two reads began"
    AGREES_NOW = "agreed when it was read again"
    CHANGED_BETWEEN = "changed before it was read again"
    APPEARED = "its counterpart appeared before it was read again"
    VANISHED = "was gone when it was read again"


@dataclass(frozen=True, slots=True)
class ReadTimes:
    """When the two systems were read: the start of each read, UTC."""

    salesforce_at: datetime
    d365_at: datetime

    @property
    def earlier(self) -> datetime:
        """Whatever changed after this moment may be known to one side only."""
        return min(self.salesforce_at, self.d365_at)


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """The verdict on one record. Keys are `None` on the side that does not have it; amounts are in `currency`.

    `month` (`YYYY-MM`): the month in which an order is totalled, with its lines; empty where no date is known, `None` for customers. `group_key`: names the group of the record, see
    `groups.py`; of lines, the opportunity line that more than one order line stands for.
    """

    entity: str
    verdict: Verdict
    company: str
    currency: str
    salesforce_key: str | None
    d365_key: str | None
    label: str | None
    salesforce_amount: Decimal | None
    d365_amount: Decimal | None
    fields: tuple[str, ...]
    reason: str | None
    month: str | None = None
    group_key: str | None = None


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """One field of one linked pair (of one pair of lines, where `line_key` is set) that is not the same on both sides.

    `part_key`: the order (the line of an order), where its Salesforce record has another one to which it belongs first. `note`: what
    belongs together, where the difference is one of a group or of a split line; why two values could not be brought to one unit or currency.
    """

    entity: str
    company: str
    currency: str
    salesforce_key: str
    d365_key: str
    line_key: str | None
    field: str
    owner: str
    on_difference: str
    salesforce_stored: str | None
    d365_stored: str | None
    salesforce_compared: str | None
    d365_compared: str | None
    kind: DifferenceKind
    damaged_side: str | None
    amount: Decimal | None
    part_key: str | None = None
    note: str | None = None


def verdicts_to_look_at(con: "DuckDBPyConnection", table: str) -> Iterator[VerdictRow]:
    """The rows of a verdict table (`sales_order_verdict`, …) that are neither matched nor in flight."""
    names = [field.name for field in fields(VerdictRow)]
    select = f"""SELECT {", ".join(names)} FROM {table}
WHERE verdict NOT IN ('matched', 'in_flight') ORDER BY entity, salesforce_key, d365_key"""
    for row in in_batches(con, f"{table}_to_look_at", select):
        values: dict[str, Any] = dict(zip(names, row, strict=True))
        yield VerdictRow(**values | {"verdict": Verdict(values["verdict"]), "fields": tuple(values["fields"])})


def differences_to_look_at(con: "DuckDBPyConnection", table: str) -> Iterator[DifferenceRow]:
    """The rows of a difference table that are real differences; those of case or blanks alone are left out."""
    names = [field.name for field in fields(DifferenceRow)]
    select = f"""SELECT {", ".join(names)} FROM {table}
WHERE kind <> 'case_or_blanks' ORDER BY entity, salesforce_key, d365_key, line_key, field"""
    for row in in_batches(con, f"{table}_to_look_at", select):
        values: dict[str, Any] = dict(zip(names, row, strict=True))
        yield DifferenceRow(**values | {"kind": DifferenceKind(values["kind"])})


def unjudged_keys(con: "DuckDBPyConnection") -> set[str]:
    """The keys of all records in flight or in quarantine, of both systems: their earlier breaks were not looked at in this run."""
    tables = ("customer_verdict", "sales_order_verdict", "sales_order_line_verdict")
    selects = [f"SELECT salesforce_key, d365_key, verdict FROM {table}" for table in tables]
    rows = in_batches(
        con,
        "unjudged_record",
        f"SELECT salesforce_key, d365_key FROM ({' UNION ALL '.join(selects)}) WHERE verdict IN ('in_flight', 'quarantined')",
    )
    return {key for row in rows for key in row if key is not None}


def in_batches(con: "DuckDBPyConnection", name: str, select: str) -> Iterator[tuple[Any, ...]]:
    """The rows of `select`, one by one, never all of them as Python objects.

    They are kept in the temporary table `name`, because a connection cannot do anything else while it has a result half read, and the
    caller should not have to know.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}")
    start = 0
    while True:
        between = f"rowid >= {start} AND rowid < {start + _ROWS_AT_ONCE}"
        rows = con.execute(f"SELECT * FROM {name} WHERE {between} ORDER BY rowid").fetchall()
        if not rows:
            return
        yield from rows
        start += _ROWS_AT_ONCE
