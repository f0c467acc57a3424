"""The price list of a generated seed: products, and their price in every currency that customers buy in."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sandbox.seeds import d365_rows, salesforce_rows
from sandbox.seeds.companies import UNIT_IN_D365
from sandbox.seeds.generated.parties import AREAS, CURRENCIES
from sandbox.seeds.money import cents
from sandbox.seeds.seed import NextId, Row

_FIRST_DAY = date(2023, 1, 2)
_RATE = {"USD": "1", "CAD": "1.36", "GBP": "0.79", "EUR": "0.92", "CHF": "0.88"}
# Kind of product: code, unit in Salesforce, lowest and highest price in dollars.
_KINDS = {
    "Gear Hub": ("GH", "Each", 60, 420),
    "Frame": ("FR", "Each", 180, 1900),
    "Saddle": ("SD", "Each", 25, 190),
    "Brake Pads": ("BP", "Pair", 6, 45),
    "Spokes": ("SP", "Box", 9, 60),
    "Wheel": ("WH", "Each", 70, 640),
    "Bicycle": ("BK", "Each", 420, 4200),
    "Inspection": ("SV", "Hour", 45, 140),
}
_MODELS = ("Aurora", "Bergamo", "Córdoba", "Delta", "Eiger", "Fjord", "Göteborg", "Harrier", "Iseran", "Juno")


@dataclass(frozen=True, slots=True)
class Price:
    """What a line needs to know of a product in one currency."""

    product_id: str
    entry_id: str
    code: str
    name: str
    unit: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PriceList:
    """Rows for both systems, and the prices by currency in the order of the products."""

    pricebook: Row
    products: list[Row]
    entries: list[Row]
    prices: dict[str, list[Price]]

    def released_products(self) -> Iterator[Row]:
        """Every product, released to every company at its price in the company's currency."""
        for company in AREAS:
            for price in self.prices[CURRENCIES[company][0]]:
                yield d365_rows.released_product(company, price.code, price.name, price.unit, price.amount)


def make_price_list(count: int, seed: int, next_id: NextId, touched: datetime) -> PriceList:
    """`count` products; their prices in other currencies are converted at a fixed rate."""
    rng = random.Random(f"{seed}:prices")
    book = PriceList(salesforce_rows.standard_price_book(next_id("Pricebook2"), _FIRST_DAY, touched), [], [], {})
    kinds = list(_KINDS.items())
    for number in range(count):
        kind, (code, unit, lowest, highest) = kinds[number % len(kinds)]
        product: Row = {
            "Id": next_id("Product2"),
            "Name": f"{kind} {_MODELS[number // len(kinds) % len(_MODELS)]} {100 + number}",
            "ProductCode": f"{code}-{1000 + number}",
            "StockKeepingUnit": f"{code}-{1000 + number}",
            "QuantityUnitOfMeasure": unit,
            "Family": kind,
            "IsActive": True,
            "CurrencyIsoCode": "USD",
            **salesforce_rows.stamps(_FIRST_DAY, touched),
        }
        book.products.append(product)
        dollars = Decimal(rng.randrange(lowest * 100, highest * 100)) / 100
        for currency, rate in _RATE.items():
            _add_price(book, product, currency, cents(dollars * Decimal(rate)), next_id("PricebookEntry"))
    return book


def _add_price(book: PriceList, product: Row, currency: str, amount: Decimal, entry_id: str) -> None:
    book.entries.append(
        salesforce_rows.price_book_entry(entry_id, str(book.pricebook["Id"]), product, currency, amount)
    )
    book.prices.setdefault(currency, []).append(
        Price(
            str(product["Id"]),
            entry_id,
            str(product["ProductCode"]),
            str(product["Name"]),
            UNIT_IN_D365[str(product["QuantityUnitOfMeasure"])],
            amount,
        )
    )
