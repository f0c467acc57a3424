"""A whole seed, landed as a run lands it, linked and reconciled; and what its raw rows say by themselves."""

import csv
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from tests.reconciliation.books import the_contracts
from tests.seeds.laid import NOW
from tieout.crosswalk import link_customers, link_orders
from tieout.landing import land
from tieout.page_files import PageFiles
from tieout.reconciliation import ReadTimes, VerdictCounts, reconcile_customers, reconcile_orders

READ_AT = NOW + timedelta(hours=1)
READS = ReadTimes(READ_AT, READ_AT)

Tables = Mapping[str, Iterable[Mapping[str, Any]]]
"""Object or entity set → rows, as a seed lays them."""


def reconciled(tables: Tables, folder: Path) -> tuple[duckdb.DuckDBPyConnection, VerdictCounts]:
    """Everything that a reconciliation leaves on the connection, and beside it `raw_<object>`: the rows as text, as they were received."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    contracts = the_contracts()
    con.execute(
        "CREATE TABLE known_crosswalk (entity VARCHAR, salesforce_id VARCHAR, company VARCHAR, d365_key VARCHAR, found_by VARCHAR)"
    )
    for system in ("salesforce", "d365"):
        con.execute(
            f'CREATE TABLE {system}_quarantined (table_name VARCHAR, _key VARCHAR, parent_key VARCHAR, "row" VARCHAR)'
        )
        for table in contracts.tables(system):  # type: ignore[arg-type]
            page = folder / f"{table.name}.csv"
            _write(page, [column.name for column in table.columns], tables[table.source])
            con.execute(
                f"CREATE TABLE raw_{table.source} AS FROM read_csv(?, all_varchar = true, header = true)", [str(page)]
            )
            read = PageFiles((page,), "csv", None, READ_AT, READ_AT)
            land(con, table, read, run_id="seed", extracted_at=READ_AT)
            con.execute(f"CREATE TABLE {table.name} AS FROM good")
            con.execute(f'INSERT INTO {system}_quarantined SELECT ?, _key, _parent_key, "row" FROM bad', [table.name])
    link_customers(con, contracts)
    link_orders(con, contracts)
    reconcile_customers(con, contracts, READS)
    return con, reconcile_orders(con, contracts, READS)


def _write(page: Path, columns: list[str], rows: Iterable[Mapping[str, Any]]) -> None:
    with page.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_text(row.get(column)) for column in columns] for row in rows)


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case datetime() | date():
            return value.isoformat()
    return str(value)
