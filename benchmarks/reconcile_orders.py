"""The comparison of orders and lines against a pandas merge that only finds the keys whose amounts or texts differ.

Tieout links, compares header and lines with tolerances, gives every record a verdict and every difference both values, and ties the totals
out; the merge gives one column of booleans a table. Both start from landed rows. Differences are planted in 4 % of the orders.
"""

import argparse
from datetime import UTC, datetime

import duckdb
import pandas as pd

from benchmarks.measure import compare
from tieout import countries
from tieout.contract import Contracts, Table, load_contracts
from tieout.crosswalk import link_customers, link_orders
from tieout.landing import typed_sql
from tieout.reconciliation import ReadTimes, reconcile_orders
from tieout.settings import contracts_folder

LINES_AN_ORDER = 3
READ_AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def main() -> None:
    """Make both sides, then measure."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--orders", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=3)
    asked = arguments.parse_args()
    contracts = load_contracts(contracts_folder())
    con = duckdb.connect(config={"threads": 2})
    con.execute("SET TimeZone = 'UTC'")
    _make_sides(con, contracts, asked.orders)
    compare(
        lambda: _reconcile(con, contracts),
        lambda: _merge(con),
        names=("Tieout: verdicts and causes", "pandas: keys that differ"),
        rounds=asked.rounds,
    )


def _reconcile(con: duckdb.DuckDBPyConnection, contracts: Contracts) -> None:
    link_customers(con, contracts)
    link_orders(con, contracts)
    print(reconcile_orders(con, contracts, ReadTimes(READ_AT, READ_AT)))


def _merge(con: duckdb.DuckDBPyConnection) -> None:
    headers = con.sql('SELECT _key, "ERP_Order_Number__c" AS number, cmp_purchase_order AS po FROM opportunity').df()
    orders = con.sql(
        """SELECT "dataAreaId" || '/' || "SalesOrderNumber" AS number, cmp_purchase_order AS po FROM sales_order"""
    ).df()
    lines = con.sql('SELECT "Id", cmp_product AS product, cmp_amount::DOUBLE AS amount FROM opportunity_line').df()
    there = con.sql(
        'SELECT "OrderLineReference" AS "Id", cmp_product AS product, cmp_amount::DOUBLE AS amount FROM sales_order_line'
    ).df()
    both = headers.merge(orders, on="number", how="outer", suffixes=("_sf", "_d365"), indicator=True)
    pairs = lines.merge(there, on="Id", how="outer", suffixes=("_sf", "_d365"), indicator=True)
    differing = (both["po_sf"].fillna("") != both["po_d365"].fillna("")).sum()
    moved = ((pairs["amount_sf"] - pairs["amount_d365"]).abs() > 0.010001) | (
        pairs["product_sf"] != pairs["product_d365"]
    )
    print({"orders": int(differing), "lines": int(pd.Series(moved).sum())})


def _make_sides(con: duckdb.DuckDBPyConnection, contracts: Contracts, orders: int) -> None:
    countries.register(con)
    number = "lpad(i::VARCHAR, 11, '0')"
    _table(
        con,
        contracts.table("salesforce", "product"),
        "range(1) t(i)",
        {"Id": "'01t1'", "ProductCode": "'P-1'", "Name": "'Wheel'"},
    )
    _table(
        con,
        contracts.table("salesforce", "account"),
        "range(1) t(i)",
        {
            "Id": "'001A00000000001AAA'",
            "Name": "'Shop'",
            "AccountNumber": "'C-1'",
            "ERP_Company__c": "'usmf'",
            "CurrencyIsoCode": "'USD'",
        },
    )
    _table(
        con,
        contracts.table("d365", "customer"),
        "range(1) t(i)",
        {
            "dataAreaId": "'usmf'",
            "CustomerAccount": "'C-1'",
            "OrganizationName": "'Shop'",
            "SalesCurrencyCode": "'USD'",
        },
    )
    changed = "CASE WHEN i % 25 = 0 THEN '!' ELSE '' END"
    _table(
        con,
        contracts.table("salesforce", "opportunity"),
        f"range({orders}) t(i)",
        {
            "Id": f"'006A' || {number} || 'AAA'",
            "AccountId": "'001A00000000001AAA'",
            "StageName": "'Closed Won'",
            "Amount": "'30.00'",
            "CurrencyIsoCode": "'USD'",
            "ERP_Company__c": "'usmf'",
            "PO_Number__c": f"'PO ' || {number} || {changed}",
            "ERP_Order_Number__c": f"'usmf/S' || {number}",
            "SystemModstamp": "'2026-03-01T08:00:00.000Z'",
        },
    )
    _table(
        con,
        contracts.table("d365", "sales_order"),
        f"range({orders}) t(i)",
        {
            "dataAreaId": "'usmf'",
            "SalesOrderNumber": f"'S' || {number}",
            "OrderingCustomerAccountNumber": "'C-1'",
            "CurrencyCode": "'USD'",
            "CustomerRequisitionNumber": f"'po ' || {number}",
            "SalesOrderStatus": "'Backorder'",
            "SalesOrderProcessingStatus": "'Active'",
        },
    )
    every_line = f"range({orders}) t(i), range(1, {LINES_AN_ORDER + 1}) l(n)"
    line = f"'00kA' || {number} || n || 'AA'"
    _table(
        con,
        contracts.table("salesforce", "opportunity_line"),
        every_line,
        {
            "Id": line,
            "OpportunityId": f"'006A' || {number} || 'AAA'",
            "SortOrder": "n::VARCHAR",
            "Product2Id": "'01t1'",
            "ProductCode": "'P-1'",
            "Quantity": "'1'",
            "UnitPrice": "'10.00'",
            "TotalPrice": "'10.00'",
        },
    )
    _table(
        con,
        contracts.table("d365", "sales_order_line"),
        every_line,
        {
            "dataAreaId": "'usmf'",
            "InventoryLotId": f"{number} || n",
            "SalesOrderNumber": f"'S' || {number}",
            "CustomersLineNumber": "n::VARCHAR",
            "OrderLineReference": line,
            "ItemNumber": "'P-1'",
            "OrderedSalesQuantity": "'1'",
            "SalesPrice": "'10.000'",
            "LineDiscountPercentage": "'0'",
            "LineAmount": "CASE WHEN i % 50 = 0 AND n = 1 THEN '10.02' ELSE '10' END",
        },
    )
    for system in ("salesforce", "d365"):
        con.execute(f"CREATE TABLE {system}_quarantined (table_name VARCHAR, _key VARCHAR, parent_key VARCHAR)")
    con.execute(
        "CREATE TABLE known_crosswalk (entity VARCHAR, salesforce_id VARCHAR, company VARCHAR, d365_key VARCHAR, found_by VARCHAR)"
    )


def _table(con: duckdb.DuckDBPyConnection, table: Table, source: str, values: dict[str, str]) -> None:
    """Land rows that are made in SQL: every column of the contract as text, those in `values` filled."""
    assert set(values) <= {column.name for column in table.columns}, set(values) - {
        column.name for column in table.columns
    }
    columns = ", ".join(f'({values.get(column.name, "NULL")})::VARCHAR AS "{column.name}"' for column in table.columns)
    con.execute(f"CREATE OR REPLACE TEMP VIEW staged AS SELECT {columns} FROM {source}")
    con.execute(f"CREATE TABLE {table.name} AS {typed_sql(table, 'staged')}")


if __name__ == "__main__":
    main()
