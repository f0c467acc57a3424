"""Small books for the tests of the keyed comparison: a few orders a side, everything that a test does not name equal."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

import duckdb

from tieout.compared_field import ComparedField, Tolerance
from tieout.keyed import KeyedComparison, KeyedResult, SideColumns, canonical_select, compare
from tieout.sql import literal

A_CENT = Tolerance(absolute=Decimal("0.01"))

FIELDS = (
    ComparedField("status", "status", "salesforce", "report", is_hashed=True),
    ComparedField("currency", "currency", "salesforce", "report", is_hashed=True),
    ComparedField("amount", "amount", "salesforce", "report", A_CENT, is_number=True, is_money=True),
    ComparedField("quantity", "quantity", "salesforce", "report", is_number=True),
    ComparedField("rate", "rate", "salesforce", "report", Tolerance(percent=Decimal(1)), is_number=True),
    ComparedField("ship_date", "ship_date", "salesforce", "report", skips_empty=True),
)
COMPARISON = KeyedComparison(FIELDS, additive=frozenset({"amount", "quantity"}), currency="currency")

_TYPES = {"amount": "DECIMAL(18,2)", "quantity": "DECIMAL(18,2)", "rate": "DECIMAL(9,4)", "ship_date": "DATE"}


@dataclass(frozen=True)
class Order:
    """An order of either system. `reference`: the Salesforce order that a D365 order belongs to."""

    key: str
    reference: str | None = None
    status: str | None = "open"
    currency: str | None = "EUR"
    amount: Decimal | None = Decimal("100.00")
    quantity: Decimal | None = Decimal("10.00")
    rate: Decimal | None = Decimal("1.0000")
    ship_date: str | None = "2026-03-01"


def delivered(order: Order, number: str = "", **changes: object) -> Order:
    """The D365 order of a Salesforce order, changed."""
    return replace(order, key=number or f"T-{order.key}", reference=order.key, **changes)


def relation(orders: Iterable[Order]) -> str:
    """The orders in canonical form, as what may follow FROM."""
    names = ["key", "reference", *(field.name for field in FIELDS)]
    rows = ", ".join(f"({', '.join(literal(getattr(order, name)) for name in names)})" for order in orders)
    nothing = f"({', '.join('NULL' for _ in names)})"
    table = f"(SELECT * FROM (VALUES {rows or nothing}) AS given({', '.join(names)}){'' if rows else ' WHERE FALSE'})"
    columns = SideColumns(
        key="CAST(key AS VARCHAR)",
        group_key="CAST(coalesce(reference, key) AS VARCHAR)",
        values={field.name: f"CAST({field.name} AS {_TYPES.get(field.name, 'VARCHAR')})" for field in FIELDS},
    )
    return f"({canonical_select(COMPARISON, columns, table)})"


def compared(
    con: duckdb.DuckDBPyConnection, salesforce: Iterable[Order], d365: Iterable[Order]
) -> tuple[dict[str, tuple[str, str | None]], KeyedResult]:
    """Key → (verdict, fields that differ), and the result."""
    result = compare(con, COMPARISON, relation(salesforce), relation(d365))
    rows = con.execute("SELECT key, verdict, fields FROM keyed_verdict").fetchall()
    assert len({key for key, *_ in rows}) == len(rows)
    return {key: (verdict, fields) for key, verdict, fields in rows}, result
