"""Products of AdventureWorks: every article in the price book of Salesforce and released to every company of D365."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from sandbox.seeds import d365_rows, salesforce_rows
from sandbox.seeds.adventureworks.masters import FIRST_DAY
from sandbox.seeds.adventureworks.sales import Order
from sandbox.seeds.adventureworks.source import Source
from sandbox.seeds.companies import COMPANIES, UNIT_IN_D365
from sandbox.seeds.money import cents
from sandbox.seeds.seed import NextId, Row

UNIT = "Each"
LIST_CURRENCY = "USD"


@dataclass
class PriceBook:
    """Products by article number, and the entry of each article in each currency that it was sold in."""

    pricebook: Row
    products: dict[str, Row] = field(default_factory=dict)
    entries: dict[tuple[str, str], Row] = field(default_factory=dict)


def price_book(source: Source, orders: Iterable[Order], next_id: NextId, touched: datetime) -> PriceBook:
    """All 504 articles, priced in dollars and in every currency of their orders; prices are not converted, as in the orders."""
    book = PriceBook(salesforce_rows.standard_price_book(next_id("Pricebook2"), FIRST_DAY, touched))
    list_price = {}
    for row in source.read("erp_product"):
        list_price[row["ProductNumber"]] = cents(Decimal(row["ListPrice"]))
        book.products[row["ProductNumber"]] = {
            "Id": next_id("Product2"),
            "Name": row["Name"],
            "ProductCode": row["ProductNumber"],
            "StockKeepingUnit": row["ProductNumber"],
            "QuantityUnitOfMeasure": UNIT,
            "IsActive": True,
            "CurrencyIsoCode": LIST_CURRENCY,
            **salesforce_rows.stamps(FIRST_DAY, touched),
        }
    sold = {(line.item, order.currency) for order in orders for line in order.lines}
    for item, currency in sorted(sold | {(item, LIST_CURRENCY) for item in book.products}):
        book.entries[item, currency] = salesforce_rows.price_book_entry(
            next_id("PricebookEntry"), str(book.pricebook["Id"]), book.products[item], currency, list_price[item]
        )
    return book


def released_products(book: PriceBook) -> Iterator[Row]:
    """Every article in every company."""
    price = {item: entry["UnitPrice"] for (item, currency), entry in book.entries.items() if currency == LIST_CURRENCY}
    for company in COMPANIES:
        for item, product in book.products.items():
            yield d365_rows.released_product(
                company, item, str(product["Name"]), UNIT_IN_D365[UNIT], Decimal(str(price[item]))
            )
