"""AdventureWorks as a seed: a bicycle maker's resellers and their orders, real dirt and two differing customer masters included."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

from sandbox.seeds import salesforce_rows
from sandbox.seeds.adventureworks import masters as customer_masters
from sandbox.seeds.adventureworks import orders as order_rows
from sandbox.seeds.adventureworks.products import price_book, released_products
from sandbox.seeds.adventureworks.sales import months_not_in_erp, reseller_orders, usual_currency
from sandbox.seeds.adventureworks.source import Source
from sandbox.seeds.companies import COMPANIES, company_tables
from sandbox.seeds.seed import Manifest, NextId, Row, Rows

_NO_END = date(2154, 12, 31)


class AdventureWorks:
    """The folder of AdventureWorks files, laid out over both systems."""

    def __init__(self, folder: Path) -> None:
        self.source = Source(folder)
        self.manifest = Manifest()

    def rows(self, next_id: NextId, now: datetime) -> Iterator[Rows]:
        """See `Seed.rows`."""
        touched = salesforce_rows.last_touched(now)
        orders = reseller_orders(self.source)
        accounts = customer_masters.accounts(self.source, usual_currency(orders), next_id, touched)
        masters = customer_masters.Masters(accounts, customer_masters.customers(self.source, accounts))
        customer_masters.note_differences(masters, self.manifest)
        book = price_book(self.source, orders, next_id, touched)
        deals = order_rows.deals(orders, masters, months_not_in_erp(orders), next_id)
        for deal in deals:
            if not deal.is_in_erp:
                self.manifest.plant("only_in_salesforce", deal.opportunity_id)

        yield Rows("salesforce", "Account", accounts.values())
        yield Rows("salesforce", "Product2", book.products.values())
        yield Rows("salesforce", "Pricebook2", [book.pricebook])
        yield Rows("salesforce", "PricebookEntry", book.entries.values())
        yield Rows("salesforce", "Opportunity", order_rows.opportunities(deals, book, touched))
        yield Rows("salesforce", "OpportunityLineItem", order_rows.opportunity_lines(deals, book, next_id, touched))
        yield from company_tables(COMPANIES)
        yield Rows("d365", "ExchangeRates", _exchange_rates(self.source, {deal.order.currency for deal in deals}))
        yield Rows("d365", "CustomersV3", masters.customers)
        yield Rows("d365", "ReleasedProductsV2", released_products(book))
        yield Rows("d365", "SalesOrderHeadersV2", (header for _, header in order_rows.sales_orders(deals)))
        yield Rows("d365", "SalesOrderLines", order_rows.sales_order_lines(deals))


def _exchange_rates(source: Source, currencies: set[str]) -> Iterator[Row]:
    """The rate to the dollar on the first of each month, for the currencies in which resellers buy."""
    code = {row["CurrencyKey"]: row["CurrencyAlternateKey"] for row in source.read("currencies")}
    for row in source.read("currency_rates"):
        currency, start = code[row["CurrencyKey"]], date.fromisoformat(row["Date"])
        if currency in currencies - {"USD"} and start.day == 1:
            yield {
                "RateTypeName": "Default",
                "FromCurrency": currency,
                "ToCurrency": "USD",
                "StartDate": start,
                "EndDate": _NO_END,
                "Rate": Decimal(row["AverageRate"]),
                "ConversionFactor": "One",
            }
