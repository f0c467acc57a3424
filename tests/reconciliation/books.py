"""Two small sets of books for the tests: good records of both systems, landed the way the lake has them.

A test names only what it is about; everything else has a value with which the two sides agree.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tieout import countries, phone_numbers
from tieout.contract import AfterDelivery, Contracts, load_contracts
from tieout.crosswalk import LinkCounts, link_customers, link_orders
from tieout.landing import typed_sql
from tieout.reconciliation import ReadTimes, VerdictCounts, reconcile_customers, reconcile_orders

READ_AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
READS = ReadTimes(salesforce_at=READ_AT, d365_at=datetime(2026, 3, 2, 12, 1, tzinfo=UTC))
BEFORE = "2026-03-01T08:00:00.000Z"
DURING = "2026-03-02T12:00:30.000Z"

Text = str | None


@cache
def the_contracts() -> Contracts:
    return load_contracts(Path(__file__).parents[2] / "contracts")


def with_policy(**policy: str) -> Contracts:
    """The project's contracts, with these policies for orders whose opportunity changes after delivery."""
    contracts = the_contracts()
    orders = replace(contracts["sales_order"], after_delivery=AfterDelivery(**policy))  # type: ignore[arg-type]
    return Contracts({**contracts, "sales_order": orders})


def account_id(number: int) -> str:
    return f"001A{number:011d}AAA"


def opportunity_id(number: int) -> str:
    return f"006A{number:011d}AAA"


def line_id(number: int, line: int) -> str:
    return f"00kA{number:08d}{line:03d}AAA"


class Books:
    """Rows of both systems as text, as they were received; `load` lands them on a connection."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[dict[str, Text]]] = {
            ("salesforce", name): [] for name in ("account", "opportunity", "opportunity_line", "product")
        } | {("d365", name): [] for name in ("customer", "sales_order", "sales_order_line")}
        self.ledger: list[tuple[str, str, str, str, str, str]] = []
        self.quarantined: dict[str, list[tuple[str, str, str | None, str | None]]] = {"salesforce": [], "d365": []}

    def account(self, number: int = 1, **changes: Text) -> dict[str, Text]:
        return self._add("salesforce", "account", {
            "Id": account_id(number), "Name": f"Bike Shop {number}", "AccountNumber": f"AW{number:08d}", "ERP_Company__c": "usmf",
            "BillingStreet": f"{number} Main Street", "BillingCity": "Seattle", "BillingPostalCode": "98101", "BillingState": "WA",
            "BillingCountry": "United States", "Phone": "+1 (206) 555-0100", "Email__c": f"shop{number}@example.com",
            "CurrencyIsoCode": "USD", "Payment_Terms__c": "Net30", "Credit_Limit__c": "1000.00", "ERP_On_Hold__c": "No",
            "IsDeleted": "false", "SystemModstamp": BEFORE,
        }, changes)  # fmt: skip

    def customer(self, number: int = 1, **changes: Text) -> dict[str, Text]:
        return self._add("d365", "customer", {
            "dataAreaId": "USMF", "CustomerAccount": f"AW{number:08d}", "OrganizationName": f"Bike Shop {number}",
            "AddressStreet": f"{number} Main Street", "AddressCity": "Seattle", "AddressZipCode": "98101", "AddressState": "WA",
            "AddressCountryRegionId": "USA", "PrimaryContactPhone": "+1 206 555 0100",
            "PrimaryContactEmail": f"shop{number}@example.com", "SalesCurrencyCode": "USD", "PaymentTerms": "Net30",
            "CreditLimit": "1000", "OnHoldStatus": "No", "PartyNumber": f"P{number}",
        }, changes)  # fmt: skip

    def opportunity(self, number: int = 1, amount: str = "20.00", **changes: Text) -> dict[str, Text]:
        return self._add("salesforce", "opportunity", {
            "Id": opportunity_id(number), "Name": f"Deal {number}", "AccountId": account_id(1), "StageName": "Closed Won",
            "Amount": amount, "CurrencyIsoCode": "USD", "ERP_Company__c": "usmf", "PO_Number__c": f"PO-{number}",
            "CloseDate": "2026-03-01", "Requested_Ship_Date__c": "2026-04-01", "IsWon": "true", "IsDeleted": "false", "SystemModstamp": BEFORE,
        }, changes)  # fmt: skip

    def line(self, number: int = 1, line: int = 1, **changes: Text) -> dict[str, Text]:
        return self._add("salesforce", "opportunity_line", {
            "Id": line_id(number, line), "OpportunityId": opportunity_id(number), "SortOrder": str(line), "ProductCode": "BK-1",
            "Product2Id": "01tA00000000001AAA", "Quantity": "2", "UnitPrice": "10.00", "Discount": None, "TotalPrice": "20.00",
            "IsDeleted": "false", "SystemModstamp": BEFORE,
        }, changes)  # fmt: skip

    def order(self, number: int = 1, **changes: Text) -> dict[str, Text]:
        return self._add("d365", "sales_order", {
            "dataAreaId": "usmf", "SalesOrderNumber": f"T-{opportunity_id(number)}", "CustomersOrderReference": opportunity_id(number),
            "OrderingCustomerAccountNumber": "AW00000001", "CurrencyCode": "USD", "CustomerRequisitionNumber": f"PO-{number}",
            "RequestedShippingDate": "2026-04-01T12:00:00Z", "SalesOrderStatus": "Backorder",
            "SalesOrderProcessingStatus": "Active", "OrderCreationDateTime": BEFORE,
        }, changes)  # fmt: skip

    def order_line(self, number: int = 1, line: int = 1, **changes: Text) -> dict[str, Text]:
        return self._add("d365", "sales_order_line", {
            "dataAreaId": "usmf", "InventoryLotId": f"LOT-{number}-{line}", "SalesOrderNumber": f"T-{opportunity_id(number)}",
            "CustomersLineNumber": str(line), "OrderLineReference": line_id(number, line), "ItemNumber": "BK-1",
            "OrderedSalesQuantity": "2", "SalesUnitSymbol": "ea", "SalesPrice": "10", "LineDiscountPercentage": "0",
            "LineAmount": "20", "SalesOrderLineStatus": "Backorder",
        }, changes)  # fmt: skip

    def product(self, **changes: Text) -> dict[str, Text]:
        return self._add("salesforce", "product", {
            "Id": "01tA00000000001AAA", "ProductCode": "BK-1", "Name": "Bike", "QuantityUnitOfMeasure": "Each",
            "IsDeleted": "false", "SystemModstamp": BEFORE,
        }, changes)  # fmt: skip

    def agree(self, number: int = 1) -> "Books":
        """An opportunity of one line and its order, equal on both sides."""
        self.opportunity(number)
        self.line(number)
        self.order(number)
        self.order_line(number)
        return self

    def known(self, entity: str, salesforce_id: str, company: str, d365_key: str, party: str = "") -> None:
        """A link that the ledger holds, with the party of the customer where it knows it."""
        self.ledger.append((entity, salesforce_id, company, d365_key, "delivery", party))

    def put_in_quarantine(
        self, system: str, table: str, key: str, parent: str | None = None, row: str | None = None
    ) -> None:
        self.quarantined[system].append((table, key, parent, row))

    def _add(self, system: str, table: str, row: dict[str, Text], changes: Mapping[str, Text]) -> dict[str, Text]:
        row |= changes
        self.rows[system, table].append(row)
        return row

    def load(self, con: duckdb.DuckDBPyConnection, contracts: Contracts) -> None:
        """Make every relation that linking and reconciling read."""
        for (system, name), rows in self.rows.items():
            table = contracts.table(system, name)  # type: ignore[arg-type]
            names = [column.name for column in table.columns]
            unknown = {name for row in rows for name in row} - set(names)
            assert not unknown, f"{name} has no column {unknown}"
            received = tuple(tuple(row.get(column) for column in names) for row in rows)
            con.register("landed", _landed(typed_sql(table, "staged"), tuple(names), received))
            con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM landed")
            con.unregister("landed")
        con.execute(
            "CREATE OR REPLACE TABLE known_crosswalk "
            "(entity VARCHAR, salesforce_id VARCHAR, company VARCHAR, d365_key VARCHAR, found_by VARCHAR, party VARCHAR)"
        )
        _insert(con, "known_crosswalk", self.ledger)
        for system, rows in self.quarantined.items():
            con.execute(
                f"CREATE OR REPLACE TABLE {system}_quarantined "
                '(table_name VARCHAR, _key VARCHAR, parent_key VARCHAR, "row" VARCHAR)'
            )
            _insert(con, f"{system}_quarantined", rows)


@cache
def _landing() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    countries.register(con)
    phone_numbers.register(con)
    return con


@lru_cache(maxsize=64)
def _landed(statement: str, columns: tuple[str, ...], received: tuple[tuple[Text, ...], ...]) -> pa.Table:
    """The rows as the landing leaves them. Most tests share most tables, so each content is landed once."""
    by_column = zip(*received, strict=True) if received else [()] * len(columns)
    staged = pa.table(
        {column: pa.array(values, pa.string()) for column, values in zip(columns, by_column, strict=True)}
    )
    con = _landing()
    con.register("staged", staged)
    return con.sql(f"SELECT * EXCLUDE (as_received) FROM ({statement})").to_arrow_table()


def _insert(con: duckdb.DuckDBPyConnection, table: str, rows: list[Any]) -> None:
    if rows:
        con.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


class Compared:
    """Linked books, reconciled as far as a test asks, and questions about them."""

    def __init__(self, books: Books, reads: ReadTimes = READS, contracts: Contracts | None = None) -> None:
        self.con = duckdb.connect()
        self.contracts = the_contracts() if contracts is None else contracts
        self.reads = reads
        books.load(self.con, self.contracts)
        self.linked: tuple[LinkCounts, LinkCounts] = (
            link_customers(self.con, self.contracts),
            link_orders(self.con, self.contracts),
        )

    @cached_property
    def customers(self) -> VerdictCounts:
        return reconcile_customers(self.con, self.contracts, self.reads)

    @cached_property
    def orders(self) -> VerdictCounts:
        return reconcile_orders(self.con, self.contracts, self.reads)

    def rows(self, select: str) -> list[tuple[Any, ...]]:
        """The rows of a query; what its tables need is reconciled first."""
        if re.search(r"\bcustomer_(verdict|difference|field_count)", select):
            assert self.customers is not None
        if re.search(r"\b(sales_order_(line_)?(verdict|difference|field_count)|tie_out)", select):
            assert self.orders is not None
        return self.con.execute(select).fetchall()

    def verdict(self, table: str, where: str = "true") -> tuple[str, Text]:
        """The only verdict and reason of a verdict table (under a condition)."""
        rows = self.rows(f"SELECT verdict, reason FROM {table} WHERE {where}")
        assert len(rows) == 1, rows
        return rows[0]

    def differences(self, entity: str) -> list[tuple[str, str]]:
        return self.rows(f"SELECT field, kind FROM {entity}_difference ORDER BY ALL")


def compared(
    write: Callable[[Books], object], reads: ReadTimes = READS, contracts: Contracts | None = None
) -> Compared:
    """Link the books that `write` fills; account 1, customer 1 and the product are there already."""
    books = Books()
    books.account()
    books.customer()
    books.product()
    write(books)
    return Compared(books, reads, contracts)
