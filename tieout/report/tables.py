"""The tables of a report: which there are, their columns, and how to read a cell from a row. Page and workbook show the same ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

from tieout.report.figures import words
from tieout.report.model import Report
from tieout.report.rows import VERDICTS, ZERO, Break

Kind = Literal["text", "key", "word", "money", "count", "instant", "seconds"]


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` decides alignment and format: `text` comes from a system, `key` identifies, `word` is one of ours."""

    title: str
    kind: Kind
    value: Callable[[Any], Any]
    width: int


@dataclass(frozen=True, slots=True)
class Table:
    """`name` is the sheet and the heading; `none` is what to say where there are no rows."""

    name: str
    rows: Sequence[Any]
    columns: tuple[Column, ...]
    none: str


def tables_of(report: Report) -> dict[str, Table]:
    """All tables by name, in the order in which they are read."""
    tables = (
        _currencies(report),
        _tie_out(report),
        _months(report),
        _causes(report),
        _verdicts(report),
        _fields(report),
        _breaks(report),
        _duplicates(report),
        _ambiguities(report),
        _quarantine(report),
        _deliveries(report),
        _delivery_states(report),
        _write_backs(report),
        _sources(report),
        _versions(report),
        _api_calls(report),
        _steps(report),
    )
    return {table.name: table for table in tables}


def by_weight(breaks: Sequence[Break]) -> list[Break]:
    """Open before closed, those that wait for a person first, the largest amount first, then the oldest."""
    return sorted(
        breaks, key=lambda each: (not each.is_open, not each.needs_person, -abs(each.amount or ZERO), each.first_seen)
    )


def _column(title: str, kind: Kind, attribute: str, width: int) -> Column:
    return Column(title, kind, lambda row: getattr(row, attribute), width)


def _word(title: str, attribute: str, width: int = 18) -> Column:
    return Column(title, "word", lambda row: words(getattr(row, attribute)), width)


_MONEY = (
    _column("Salesforce", "money", "salesforce", 20),
    _column("D365", "money", "d365", 20),
    _column("Difference", "money", "difference", 18),
    _column("Explained", "money", "explained", 18),
    _column("Unexplained", "money", "unexplained", 18),
)


def _currencies(report: Report) -> Table:
    columns = (_column("Currency", "word", "currency", 10), _column("Companies", "count", "companies", 11), *_MONEY)
    return Table("Currencies", report.currency_totals(), columns, "No order amounts were compared.")


def _tie_out(report: Report) -> Table:
    rows = sorted(report.tie_out, key=lambda row: (row.currency, row.company))
    columns = (_column("Currency", "word", "currency", 10), _column("Company", "key", "company", 10), *_MONEY)
    return Table("Tie-out", rows, columns, "No order amounts were compared.")


def _months(report: Report) -> Table:
    rows = sorted(report.months, key=lambda row: (row.currency, row.company, row.month))
    columns = (
        _column("Currency", "word", "currency", 10),
        _column("Company", "key", "company", 10),
        Column("Month", "word", lambda row: row.month or "No date", 10),
        *_MONEY,
    )
    return Table("Months", rows, columns, "No order amounts were compared.")


def _causes(report: Report) -> Table:
    rows = sorted(report.bridge, key=lambda row: (row.currency, row.company, -abs(row.amount)))
    columns = (
        _column("Currency", "word", "currency", 10),
        _column("Company", "key", "company", 10),
        _word("Cause", "cause", 40),
        Column("Explains it", "word", lambda row: "Yes" if row.is_explained else "No", 12),
        _column("Records", "count", "records", 10),
        _column("Amount", "money", "amount", 18),
    )
    return Table("Causes", rows, columns, "There is no difference to explain.")


def _verdict_grid(report: Report) -> list[dict[str, Any]]:
    """One row per entity: its verdict counts by verdict, and `total`."""
    return [
        {"entity": entity}
        | {verdict: report.verdict_records(entity, verdict) for verdict in VERDICTS}
        | {"total": report.verdict_records(entity)}
        for entity in report.entities
    ]


def _verdicts(report: Report) -> Table:
    columns = (
        Column("Entity", "word", lambda row: words(row["entity"]), 20),
        *(Column(words(verdict), "count", itemgetter(verdict), 18) for verdict in VERDICTS),
        Column("Total", "count", itemgetter("total"), 12),
    )
    return Table("Verdicts", _verdict_grid(report), columns, "No records were compared.")


def _fields(report: Report) -> Table:
    columns = (
        _word("Entity", "entity", 20),
        _word("Field", "field", 24),
        _column("Equal as stored", "count", "matched", 16),
        _column("Equal after normalising", "count", "equal_after_normalising", 22),
        _column("Differs", "count", "differs", 12),
        _column("Damaged characters", "count", "damaged_characters", 19),
    )
    return Table("Fields", report.field_counts, columns, "No fields were compared.")


def _breaks(report: Report) -> Table:
    columns = (
        _word("Entity", "entity"),
        _column("Company", "key", "company", 10),
        _column("Record", "text", "label", 36),
        _column("Salesforce id", "key", "salesforce_key", 22),
        _column("D365 key", "key", "d365_key", 26),
        _column("Line", "key", "line_key", 20),
        _word("Field", "field"),
        _word("Owner", "owner", 12),
        _column("Salesforce, as stored", "text", "salesforce_stored", 32),
        _column("D365, as stored", "text", "d365_stored", 32),
        _column("Salesforce, as compared", "text", "salesforce_compared", 32),
        _column("D365, as compared", "text", "d365_compared", 32),
        _column("Amount", "money", "amount", 16),
        _column("Currency", "word", "currency", 10),
        _word("Cause", "cause", 30),
        _column("Detail", "text", "detail", 44),
        _column("Proposed fix", "text", "proposed_fix", 44),
        _word("State", "state", 12),
        Column("Waits for", "word", _waits_for, 14),
        _column("First seen", "instant", "first_seen", 19),
        _column("Assigned to", "text", "assigned_to", 18),
        _column("Comment", "text", "comment", 36),
        _column("Break", "key", "identity", 20),
    )
    return Table("Breaks", by_weight(report.breaks), columns, "No breaks: every difference that was found is settled.")


def _waits_for(row: Break) -> str:
    if not row.is_open:
        return "Nobody"
    return "A person" if row.needs_person else "The next run"


def _duplicates(report: Report) -> Table:
    columns = (
        _word("Entity", "entity"),
        _word("System", "system", 12),
        _column("Company", "key", "company", 10),
        _column("Key", "key", "key", 26),
        _column("Record", "text", "label", 40),
        _column("Stands beside", "key", "sibling_key", 26),
        _column("Reason", "text", "reason", 50),
    )
    return Table("Duplicates", report.duplicates, columns, "No duplicates.")


def _ambiguities(report: Report) -> Table:
    columns = (
        _word("Entity", "entity"),
        _word("Side", "side", 12),
        _column("Company", "key", "company", 10),
        _column("Key", "key", "key", 26),
        Column("Candidates", "key", lambda row: ", ".join(row.candidates), 60),
        _column("Reason", "text", "reason", 50),
    )
    return Table("Not linked", report.ambiguities, columns, "Every record has one counterpart at most.")


def _quarantine(report: Report) -> Table:
    columns = (
        _word("System", "system", 12),
        _word("Table", "table"),
        _column("Key", "key", "key", 26),
        _word("Field", "field"),
        _column("Value", "text", "value", 36),
        _word("Rule", "rule", 20),
        _word("Severity", "severity", 10),
        _column("Reason", "text", "reason", 60),
    )
    return Table("Quarantine", report.quarantine, columns, "No row broke a rule.")


_DELIVERY_ORDER = {"rejected": 0, "in_doubt": 1}


def _deliveries(report: Report) -> Table:
    rows = sorted(report.deliveries, key=lambda row: _DELIVERY_ORDER.get(row.outcome, 2))
    columns = (
        _word("Entity", "entity"),
        _word("Operation", "operation", 11),
        _column("Company", "key", "company", 10),
        _column("Business key", "key", "business_key", 22),
        _column("D365 number", "key", "d365_key", 24),
        _column("Record", "text", "label", 36),
        _column("Amount", "money", "amount", 16),
        _column("Currency", "word", "currency", 10),
        _word("Outcome", "outcome", 12),
        _word("Effect in D365", "effect", 14),
        _column("Words of D365", "text", "message", 70),
    )
    return Table("Deliveries", rows, columns, "Nothing was sent in this run.")


def _delivery_states(report: Report) -> Table:
    columns = (
        _word("Entity", "entity"),
        _word("State", "state", 14),
        _column("Deliveries, all runs", "count", "deliveries", 20),
    )
    return Table("Delivery states", report.delivery_counts, columns, "The ledger holds no deliveries.")


def _write_backs(report: Report) -> Table:
    columns = (
        _word("Object", "object"),
        _column("Salesforce id", "key", "record_id", 22),
        _column("Record", "text", "label", 36),
        Column("Fields", "key", lambda row: ", ".join(row.fields), 60),
        _word("Outcome", "outcome", 12),
        _column("Words of Salesforce", "text", "message", 60),
    )
    return Table("Write-backs", report.write_backs, columns, "Nothing was written back in this run.")


def _sources(report: Report) -> Table:
    rows = [(source, read) for source in report.sources for read in source.reads]
    columns = (
        Column("System", "word", lambda row: words(row[0].system), 12),
        Column("Address", "key", lambda row: row[0].address, 44),
        Column("Table", "word", lambda row: words(row[1].table), 20),
        Column("Rows read", "count", lambda row: row[1].rows, 12),
        Column("Read from", "instant", lambda row: row[1].started_at, 19),
        Column("Read until", "instant", lambda row: row[1].ended_at, 19),
        Column("Complete", "word", lambda row: "Yes" if row[1].complete else "No", 10),
    )
    return Table("Sources", rows, columns, "No system was read.")


def _versions(report: Report) -> Table:
    columns = (
        _column("Lake table", "key", "table", 30),
        _column("Version", "count", "version", 10),
        _column("Rows", "count", "rows", 12),
    )
    return Table("Versions", report.versions, columns, "No lake table was compared.")


def _api_calls(report: Report) -> Table:
    columns = (
        _word("System", "system", 12),
        _column("Calls", "count", "calls", 10),
        _column("Quota used", "count", "quota_used", 12),
        _column("Quota", "count", "quota_limit", 12),
    )
    return Table("API calls", report.api_calls, columns, "No calls were made.")


def _steps(report: Report) -> Table:
    columns = (_column("Step", "key", "step", 36), _column("Duration", "seconds", "duration_s", 12))
    return Table("Steps", report.steps, columns, "No steps were timed.")
