"""The reconciliation of an entity from beginning to end: which statements run, and in which order.

The statements are plain text from the contracts; logged in this order, they can be pasted into DuckDB and read.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tieout.compared_field import is_converted
from tieout.contract import Contracts
from tieout.crosswalk import QUARANTINE_VIEWS
from tieout.reconciliation import differences, groups, lines, population, totals, verdicts
from tieout.reconciliation.comparison import compared_statement, found_statement, unconverted_statements
from tieout.reconciliation.fields import customer_fields, line_fields, order_fields
from tieout.reconciliation.rates import rate_statements
from tieout.reconciliation.rows import ReadTimes
from tieout.reconciliation.sides import customer_views, line_views, lines_of, order_views

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

VerdictCounts = dict[str, int]
"""Verdict → number of records; only verdicts that occur."""


def reconcile_customers(con: "DuckDBPyConnection", contracts: Contracts, reads: ReadTimes) -> VerdictCounts:
    """Compare accounts with customers. Needs `link_customers` and `link_orders` to have run on the same connection.

    Reads the relations `account`, `customer`, `opportunity`, `salesforce_quarantined`, `d365_quarantined`. Makes the tables
    `customer_verdict`, `customer_difference`, `customer_field_count`.
    """
    _execute(con, customer_comparison(contracts), reads)
    differences.mark_damaged_characters(con, "customer")
    _execute(con, customer_judgement(contracts), reads)
    return _counted(con, "customer_verdict")


def reconcile_orders(con: "DuckDBPyConnection", contracts: Contracts, reads: ReadTimes) -> VerdictCounts:
    """Compare won opportunities with sales orders, header and lines. Needs `link_customers` and `link_orders` to have run.

    Reads the relations `account`, `opportunity`, `opportunity_line`, `product`, `sales_order`, `sales_order_line`,
    `salesforce_quarantined`, `d365_quarantined`. Makes the tables `sales_order_verdict`, `sales_order_line_verdict`,
    `sales_order_difference`, `sales_order_field_count`, `tie_out`, `tie_out_bridge`.
    """
    make_order_sides(con, contracts, reads)
    _execute(con, order_comparison(contracts), reads)
    differences.mark_damaged_characters(con, "sales_order")
    differences.mark_damaged_characters(con, "sales_order_line")
    _execute(con, order_judgement(contracts), reads)
    totals.total(con)
    return _counted(con, "sales_order_verdict")


def make_order_sides(con: "DuckDBPyConnection", contracts: Contracts, reads: ReadTimes) -> None:
    """Make the two sides of the comparison of orders, and the groups of orders, without comparing. Needs `link_orders` to have run.

    Makes the views `sales_order_salesforce` and `sales_order_d365` (see `sides.py`) and the tables of `find_groups`.
    """
    _execute(con, order_keys(contracts), reads)
    groups.find_groups(con, contracts)
    _execute(con, order_views(contracts), reads)


def customer_comparison(contracts: Contracts) -> tuple[str, ...]:
    """The statements that find what differs between linked customers."""
    fields = customer_fields(contracts["customer"])
    return (
        *QUARANTINE_VIEWS,
        *rate_statements(contracts, fields),
        *customer_views(contracts),
        population.repeated_statement("customer", contracts["customer"]),
        population.customer_record_statement(contracts),
        verdicts.customer_pair_statement(),
        compared_statement("customer", fields),
        found_statement("customer", fields),
        *unconverted_statements("customer", fields),
    )


def customer_judgement(contracts: Contracts) -> tuple[str, ...]:
    """The statements that say what it means."""
    fields = customer_fields(contracts["customer"])
    return (
        verdicts.customer_verdict_statement(),
        differences.difference_statement("customer", converted=any(map(is_converted, fields))),
        differences.field_count_statement("customer", fields),
    )


def order_keys(contracts: Contracts) -> tuple[str, ...]:
    """The statements that say which keys cannot be trusted, before orders are grouped by them."""
    return (*QUARANTINE_VIEWS, population.repeated_statement("sales_order", contracts["sales_order"]))


def order_comparison(contracts: Contracts) -> tuple[str, ...]:
    """The statements that find what differs between linked orders and their lines."""
    contract = contracts["sales_order"]
    headers, of_lines = order_fields(contract), line_fields(lines_of(contract))
    return (
        *rate_statements(contracts, [*headers, *of_lines]),
        *line_views(contracts),
        population.order_record_statement(contracts),
        groups.recent_statement(),
        verdicts.order_pair_statement(),
        compared_statement("sales_order", headers),
        found_statement("sales_order", headers),
        *unconverted_statements("sales_order", headers),
        *groups.header_sum_statements(contracts),
        lines.line_record_statement(contracts),
        lines.line_pair_statement(),
        compared_statement("sales_order_line", of_lines),
        found_statement("sales_order_line", of_lines),
        *unconverted_statements("sales_order_line", of_lines),
        *lines.line_sum_statements(contracts),
    )


def order_judgement(contracts: Contracts) -> tuple[str, ...]:
    """The statements that say what it means."""
    contract = contracts["sales_order"]
    headers, of_lines = order_fields(contract), line_fields(lines_of(contract))
    return (
        verdicts.order_verdict_statement(contracts),
        verdicts.line_verdict_statement(),
        differences.difference_statement("sales_order", converted=any(map(is_converted, headers))),
        differences.line_difference_statement(converted=any(map(is_converted, of_lines))),
        differences.field_count_statement("sales_order", headers, of_lines),
    )


def _execute(con: "DuckDBPyConnection", statements: Iterable[str], reads: ReadTimes) -> None:
    for statement in statements:
        con.execute(statement, {"earlier": reads.earlier} if "$earlier" in statement else None)


def _counted(con: "DuckDBPyConnection", table: str) -> VerdictCounts:
    return dict(con.execute(f"SELECT verdict, count(*) FROM {table} GROUP BY verdict ORDER BY verdict").fetchall())
