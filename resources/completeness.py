"""Proving that a Salesforce table is complete in the lake, and finding what is missing where the proof fails."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from resources.lake import Lake
from resources.salesforce import SalesforceClient
from resources.workbench import duckdb_connection, quarantine_key
from tieout.completeness import Proof, disagreement, source_figures, stored_figures, stored_statement
from tieout.contract import Table
from tieout.landing import land
from tieout.soql import touched_since, untouched_figures
from tieout.sql import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TRIES = 3
"""A record that changes between the two questions is counted by the first and named by the second; asked again, it is only named."""


def prove(client: SalesforceClient, lake: Lake, table: Table, as_of: datetime) -> Proof:
    """Compare Salesforce's count and sums with the lake's, of what has not changed since `as_of`: when the read began, on Salesforce's clock.

    Two calls to Salesforce where nothing is missing. `problem` of the proof says what does not agree.
    """
    for tries_left in reversed(range(_TRIES)):
        source = source_figures(table, client.query(untouched_figures(table, as_of)))
        touched = [str(row[table.key[0]]) for row in client.query(touched_since(table, as_of), include_deleted=True)]
        with duckdb_connection() as con:
            _register(con, lake, table)
            con.execute("CREATE TEMP TABLE touched AS SELECT unnest(?::VARCHAR[]) AS _key", [touched])
            rows = con.execute(stored_statement(table, "good", "waiting")).fetchall()
        stored = stored_figures(table, rows)
        problem = disagreement(table, source, stored)
        if not problem or not tries_left:
            return Proof(as_of, source, stored, len(touched), problem=problem)
    raise AssertionError("the last try returns")


def missing_keys(
    client: SalesforceClient, lake: Lake, table: Table, as_of: datetime, folder: Path
) -> tuple[list[str], list[str]]:
    """Read every key with its stamp. Returns the ids that the lake lacks or has only older, and the keys that Salesforce has no more.

    What changed at or after `as_of` is left to the next read.
    """
    wanted = (table.key[0], table.version)
    keys_alone = replace(
        table,
        columns=tuple(column for column in table.columns if column.name in wanted),
        fields=(),
        parent=None,
        where={},
    )
    pages = client.extract(keys_alone, None, folder)
    version = quoted(table.version or "")
    with duckdb_connection() as con:
        land(con, keys_alone, pages, run_id="", extracted_at=datetime.now(UTC))
        con.execute("ALTER TABLE good RENAME TO there")
        _register(con, lake, table)
        missed = con.execute(
            f"""SELECT there._key FROM there
LEFT JOIN good ON good._key = there._key
LEFT JOIN waiting ON waiting._key = there._key
WHERE there.{version} < $as_of AND (
    (good._key IS NULL AND waiting._key IS NULL) OR good.{version} < there.{version} OR waiting._extracted_at < there.{version}
)
ORDER BY 1""",
            {"as_of": as_of},
        ).fetchall()
        gone = con.execute(
            "SELECT _key FROM (SELECT _key FROM good UNION SELECT _key FROM waiting) WHERE _key NOT IN (SELECT _key FROM there) ORDER BY 1"
        ).fetchall()
    return [key for (key,) in missed], [key for (key,) in gone]


def _register(con: "DuckDBPyConnection", lake: Lake, table: Table) -> None:
    """`good` and `waiting`: the rows of the table, and those in quarantine."""
    lake.register(con, "good", table.lake_key)
    lake.register(
        con,
        "waiting",
        quarantine_key(table),
        empty={"_key": "VARCHAR", "row": "VARCHAR", "_extracted_at": "TIMESTAMPTZ"},
    )
