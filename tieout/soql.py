"""SOQL: the statements that Tieout asks Salesforce, with every value escaped.

Only what is needed to read a table, its columns changed since an instant or by id, and to prove that nothing of it is missing. Deleted records are asked for by the kind of call
(`queryAll`), not by the statement.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from urllib.parse import quote_plus

from tieout.completeness import CURRENCY, has_currency, summed_columns
from tieout.contract import Contract, Table
from tieout.errors import ContractError

# Salesforce refuses address and headers of more than 16,384 bytes together; the rest is left to token and headers.
LONGEST_IN_ADDRESS = 14_000
# 200 ids cost about 5,000 characters of the address.
IDS_IN_QUERY = 200
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def changed_since(table: Table, since: datetime | None, *, sorted_by_change: bool) -> str:
    """All columns of the records that changed at or after `since`; all records where it is None.

    `>=`, because stamps are whole seconds and several records share one. Sorting lets a page be told from the next; the Bulk API does
    without, where it would keep Salesforce from splitting the work.
    """
    order = f" ORDER BY {', '.join(_order(table))}" if sorted_by_change else ""
    return f"SELECT {_columns(table)} FROM {table.source}{_changed(table, since)}{order}"


def count_changed_since(table: Table, since: datetime | None) -> str:
    """How many records `changed_since` will give."""
    return f"SELECT COUNT() FROM {table.source}{_changed(table, since)}"


def untouched_figures(table: Table, since: datetime) -> str:
    """Count and sums of the records that have not changed since, by currency; `tieout.completeness.source_figures` reads the answer.

    Grouped by currency, because the sum of several currencies comes in that of the organisation.
    """
    figures = ["COUNT(Id)", *(f"SUM({name})" for name in summed_columns(table))]
    group = f" GROUP BY {CURRENCY}" if has_currency(table) else ""
    columns = ", ".join([CURRENCY, *figures] if group else figures)
    return f"SELECT {columns} FROM {table.source} WHERE {table.version} < {instant(since)}{group}"


def touched_since(table: Table, since: datetime) -> str:
    """The ids of the records that changed at or after `since`."""
    return f"SELECT {table.key[0]} FROM {table.source}{_changed(table, since)}"


def by_id(table: Table, ids: Sequence[str]) -> Iterator[str]:
    """All columns of the records with these ids, in as many statements as fit into an address.

    Raises ContractError where the columns alone are too long for one.
    """
    return by_ids_in(table, table.key[0], ids)


def by_ids_in(table: Table, column: str, ids: Sequence[str]) -> Iterator[str]:
    """As `by_id`, of the records that hold one of these ids in `column`: the lines of headers, by the id of the header."""
    for start in range(0, len(ids), IDS_IN_QUERY):
        wanted = _quoted(list(ids[start : start + IDS_IN_QUERY]))
        statement = f"SELECT {_columns(table)} FROM {table.source} WHERE {column} IN {wanted} ORDER BY {table.key[0]}"
        if not fits_in_address(statement):
            raise ContractError(
                f"{table.contract.file}: the {len(table.columns)} columns of {table.source} make a query of "
                f"{length_in_address(statement):,} characters, and Salesforce takes {LONGEST_IN_ADDRESS:,}. "
                "Remove fields that are not needed."
            )
        yield statement


def is_id(text: str) -> bool:
    """Whether Salesforce takes `text` for an 18-character id: its last three characters tell which of the others are capitals.

    An id that it cannot read makes it refuse the whole statement.
    """
    if len(text) != 18 or not text.isascii() or not text.isalnum():
        return False
    capitals = (
        sum(1 << place for place, character in enumerate(text[start : start + 5]) if character.isupper())
        for start in (0, 5, 10)
    )
    return text[15:].upper() == "".join(_CHECK[number] for number in capitals)


@dataclass(frozen=True, slots=True)
class ClosedIn:
    """Close dates from `first` up to the day before `end`, in one company."""

    first: date
    end: date
    company: str


def consecutive(months: Iterable[tuple[date, str]]) -> list[ClosedIn]:
    """Months (first of month, company) as few ranges: those of a company that follow each other become one."""
    ranges: list[ClosedIn] = []
    for first, company in sorted(set(months), key=lambda month: (month[1], month[0])):
        end = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        if ranges and (ranges[-1].company, ranges[-1].end) == (company, first):
            ranges[-1] = replace(ranges[-1], end=end)
        else:
            ranges.append(ClosedIn(first, end, company))
    return ranges


def closed_in(contract: Contract, wanted: ClosedIn) -> str:
    """The ids of the header records that close in a range."""
    where = (
        f"CloseDate >= {wanted.first.isoformat()} AND CloseDate < {wanted.end.isoformat()} "
        f"AND {contract.link.company} = {_quoted(wanted.company)}"
    )
    return f"SELECT {contract.salesforce.key[0]} FROM {contract.salesforce.source} WHERE {where}"


def lines_closed_in(contract: Contract, wanted: ClosedIn) -> str:
    """The ids of the lines of `closed_in`."""
    lines = contract.lines_table("salesforce")
    return f"SELECT {lines.key[0]} FROM {lines.source} WHERE {lines.parent} IN ({closed_in(contract, wanted)})"


def instant(value: datetime) -> str:
    """A datetime literal: UTC, whole seconds, rounded down so that nothing is left out. ValueError without a zone."""
    if value.tzinfo is None:
        raise ValueError(f"{value} has no time zone")
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def length_in_address(statement: str) -> int:
    """Characters of the statement once it is part of an address."""
    return len(quote_plus(statement))


def fits_in_address(statement: str) -> bool:
    """Whether the statement can be sent as part of an address, as the REST API wants it."""
    return length_in_address(statement) <= LONGEST_IN_ADDRESS


def _quoted(value: str | list[str]) -> str:
    from simple_salesforce.format import quote_soql_value  # brings a SOAP library with it, so not at the top

    return quote_soql_value(value)


def _columns(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)


def _changed(table: Table, since: datetime | None) -> str:
    if since is None or table.version is None:
        return ""
    return f" WHERE {table.version} >= {instant(since)}"


def _order(table: Table) -> list[str]:
    return [name for name in (table.version, *table.key) if name is not None]
