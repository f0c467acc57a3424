"""Reading only the orders that are open: which rows are asked for, and which of those that the lake holds have to be asked for by key.

D365's OData tells no changes. What it can filter by is the status of an order and when it was made (`facts`: 2.9, "filter on status and known
open set"). An order that is invoiced or canceled is closed: it hardly changes any more, and the nightly sweep reads it. So a run asks for

- every order that is not closed, and every order that was made since the read before, whatever its status: one that was typed in and invoiced
  between two runs may be the order of an opportunity, which must not get a second one;
- by key, what the lake holds for open and what did not come: it was closed meanwhile, or is gone;
- by key, what was in flight in the run before: nobody else would look at a closed order again before the night.

Lines follow their header. Pure: statements over relations that `resources/open_orders.py` registers.
"""

from datetime import datetime

from tieout.contract import Table
from tieout.odata import enum_literal, instant_literal
from tieout.sql import literals, quoted

CLOSED = ("Invoiced", "Canceled")
STATUS, LINE_STATUS, CREATED_AT = "SalesOrderStatus", "SalesOrderLineStatus", "OrderCreationDateTime"
_ENUM = "SalesStatus"
_HEADER_OF_LINES = {"SalesOrderLines": "SalesOrderHeaderV2", "SalesOrderLinesV3": "SalesOrderHeader"}
"""Entity set of lines → the navigation property that leads to the header (`facts`: 1.2)."""

KNOWN, WAITING, ARRIVED, UNSETTLED = "known", "waiting", "arrived", "unsettled"
"""Relations: the lake's rows; those in quarantine (`_key`, `_parent_key`, `row`); `_key` and `_parent_key` of what came; `_key` of the headers
that were in flight."""


def can_be_read_open(table: Table) -> bool:
    """Whether the contract has what reading only the open rows of `table` needs: statuses, when an order was made, a way from line to header."""
    if table.system != "d365" or table.contract.lines is None:
        return False
    lines, header = table.contract.lines_table("d365"), table.contract.table("d365")
    return (
        _has(header, STATUS)
        and _has(header, CREATED_AT)
        and _has(lines, LINE_STATUS)
        and lines.source in _HEADER_OF_LINES
        and lines.parent is not None
        and header.has_company
        and lines.has_company
    )


def open_filter(table: Table, since: datetime) -> str:
    """The OData filter for the rows of orders that are not closed or were made at or after `since`."""
    way = f"{_HEADER_OF_LINES[table.source]}/" if table.is_lines else ""
    is_open = " and ".join(f"{way}{STATUS} ne {enum_literal(_ENUM, member)}" for member in CLOSED)
    return f"({is_open}) or {way}{CREATED_AT} ge {instant_literal(since)}"


def asked_by(table: Table) -> str:
    """The column by which what did not come is asked for: an order by its number, lines by that of their order."""
    return (table.parent or "") if table.is_lines else table.key[-1]


def held_statement(table: Table) -> str:
    """SELECT `_key`, `_parent_key`, company, asked, is_open of all that the lake holds, quarantine included."""
    status, company, asked = LINE_STATUS if table.is_lines else STATUS, table.key[0], asked_by(table)
    parent = "_parent_key" if table.is_lines else "_key AS _parent_key"
    columns = ((KNOWN, quoted), (WAITING, lambda name: f"(\"row\" ->> '{name}')"))
    return "\nUNION ALL\n".join(
        f"SELECT _key, {parent}, {of(company)} AS company, {of(asked)} AS asked, "
        f"coalesce({of(status)}, '') NOT IN ({literals(CLOSED)}) AS is_open FROM {relation} WHERE contains(_key, '|')"
        for relation, of in columns
    )


def missing_statement(table: Table) -> str:
    """SELECT DISTINCT company, asked: what has to be asked for by key.

    A line that was closed and did not come is asked for where others of its order came: the order is open, so all of its lines should have.
    D365 takes a star for a pattern; what has one in its key waits for the nightly sweep.
    """
    with_the_order = f" OR _parent_key IN (SELECT _parent_key FROM {ARRIVED})" if table.is_lines else ""
    return f"""SELECT DISTINCT company, asked FROM (
{held_statement(table)}
) WHERE _key NOT IN (SELECT _key FROM {ARRIVED})
  AND (is_open OR _parent_key IN (SELECT _key FROM {UNSETTLED}){with_the_order})
  AND company <> '' AND asked <> '' AND NOT contains(company || asked, '*')
ORDER BY ALL"""


def gone_statement(table: Table) -> str:
    """SELECT `_key` of what the lake holds, was asked for (relation `asked`: company, asked) and came neither first (ARRIVED) nor by key (`came`)."""
    return f"""SELECT DISTINCT _key FROM (
{held_statement(table)}
) AS held SEMI JOIN asked USING (company, asked)
WHERE _key NOT IN (SELECT _key FROM came) AND _key NOT IN (SELECT _key FROM {ARRIVED})
ORDER BY _key"""


def _has(table: Table, column: str) -> bool:
    return any(each.name == column for each in table.columns)
