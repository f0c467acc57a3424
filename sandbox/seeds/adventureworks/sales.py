"""Reseller orders of AdventureWorks: lines gathered into orders, amounts in decimals."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from sandbox.seeds.adventureworks.source import Source
from sandbox.seeds.money import cents


@dataclass(frozen=True, slots=True)
class SalesLine:
    """One order line; price and discount as the warehouse holds them (4 decimals, share of 1), amount in cents."""

    number: int
    item: str
    quantity: Decimal
    price: Decimal
    discount_percent: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """One reseller order with its lines in the order of their numbers."""

    number: str
    reseller_key: str
    currency: str
    purchase_order: str
    ordered: date
    shipped: date
    due: date
    lines: list[SalesLine] = field(default_factory=list)

    @property
    def amount(self) -> Decimal:
        """The sum of the lines, each rounded on its own."""
        return sum((line.amount for line in self.lines), start=Decimal("0.00"))


def reseller_orders(source: Source) -> list[Order]:
    """All reseller orders, in the order in which they first appear."""
    currency = {row["CurrencyKey"]: row["CurrencyAlternateKey"] for row in source.read("currencies")}
    item = {row["ProductKey"]: row["ProductAlternateKey"] for row in source.read("products_dw")}
    orders: dict[str, Order] = {}
    for row in source.read("reseller_sales_lines"):
        number = row["SalesOrderNumber"]
        if number not in orders:
            orders[number] = Order(
                number=number,
                reseller_key=row["ResellerKey"],
                currency=currency[row["CurrencyKey"]],
                purchase_order=row["CustomerPONumber"],
                ordered=date.fromisoformat(row["OrderDate"]),
                shipped=date.fromisoformat(row["ShipDate"]),
                due=date.fromisoformat(row["DueDate"]),
            )
        orders[number].lines.append(
            SalesLine(
                number=int(row["SalesOrderLineNumber"]),
                item=item[row["ProductKey"]],
                quantity=Decimal(row["OrderQuantity"]),
                price=Decimal(row["UnitPrice"]),
                discount_percent=(Decimal(row["UnitPriceDiscountPct"]) * 100).quantize(Decimal("0.01")),
                amount=cents(Decimal(row["SalesAmount"])),
            )
        )
    for order in orders.values():
        order.lines.sort(key=lambda line: line.number)
    return list(orders.values())


def usual_currency(orders: list[Order]) -> dict[str, str]:
    """For each reseller that ordered, the currency of most of its orders (the alphabetically first of equals)."""
    used: dict[str, Counter[str]] = {}
    for order in orders:
        used.setdefault(order.reseller_key, Counter())[order.currency] += 1
    return {key: min(count, key=lambda code: (-count[code], code)) for key, count in used.items()}


def months_not_in_erp(orders: list[Order]) -> frozenset[tuple[int, int]]:
    """The last two calendar months (year, month) with orders: those are won in Salesforce and still have to be delivered."""
    months = sorted({(order.ordered.year, order.ordered.month) for order in orders})
    return frozenset(months[-2:])
