"""Reading the open orders, or their lines, and by key what the lake holds for open and what did not come."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from resources.d365 import D365Client, TableRead
from resources.lake import Lake
from resources.reread import key_filters
from resources.workbench import READ_AGAIN_KEY, duckdb_connection, quarantine_key
from tieout import open_orders as sql
from tieout.contract import Table
from tieout.landing import lake_key, parent_key, stage_sql
from tieout.page_files import PageFiles

log = logging.getLogger(__name__)

MOST_BY_KEY = 20_000
"""Orders that are asked for by key, 200 a call. Where more did not come, the whole table is read in fewer calls."""

_READ_AGAIN = {"entity": "VARCHAR", "d365_lake_key": "VARCHAR", "outcome": "VARCHAR"}
_QUARANTINED = {"_key": "VARCHAR", "_parent_key": "VARCHAR", "row": "VARCHAR"}


@dataclass(frozen=True, slots=True)
class OpenRead:
    """What is open, as a table is read; the rows that were read `by_key`; and the lake's keys of rows that D365 has no more."""

    open: TableRead
    by_key: PageFiles | None
    gone: tuple[str, ...]


def read_open(client: D365Client, lake: Lake, table: Table, where: str, folder: Path) -> OpenRead | None:
    """Read the rows that fit `where` (`tieout.open_orders.open_filter`), then what is missing of the open rows that the lake holds.

    `None` where more is missing than should be asked for by key, and the table is better read whole.
    """
    read = client.pages(table, folder / "open", where)
    with duckdb_connection() as con:
        lake.register(con, sql.KNOWN, table.lake_key)
        lake.register(con, sql.WAITING, quarantine_key(table), empty=_QUARANTINED)
        lake.register(con, "read_again", READ_AGAIN_KEY, empty=_READ_AGAIN)
        con.execute(
            f"CREATE TEMP TABLE {sql.UNSETTLED} AS SELECT DISTINCT d365_lake_key AS _key FROM read_again "
            "WHERE entity = ? AND outcome = 'in_flight' AND d365_lake_key IS NOT NULL",
            [table.contract.entity],
        )
        con.execute(f"CREATE TEMP TABLE {sql.ARRIVED} AS {_keys(table, read.pages.files)}")
        missing = con.execute(sql.missing_statement(table)).fetchall()
        if not missing:
            return OpenRead(read, None, ())
        if len(missing) > MOST_BY_KEY:
            log.info("d365.read_whole_instead", extra={"table": table.name, "missing": len(missing)})
            return None
        filters = list(key_filters(table, {sql.asked_by(table): missing}))
        by_key = client.pages_of_keys(table, filters, folder / "by-key")
        con.execute("CREATE TEMP TABLE asked (company VARCHAR, asked VARCHAR)")
        con.executemany("INSERT INTO asked VALUES (?, ?)", missing)
        con.execute(f"CREATE TEMP TABLE came AS {_keys(table, by_key.files)}")
        gone = tuple(key for (key,) in con.execute(sql.gone_statement(table)).fetchall())
    return OpenRead(read, by_key, gone)


def _keys(table: Table, files: Iterable[Path]) -> str:
    parent = parent_key(table) if table.is_lines else lake_key(table)
    return f"SELECT {lake_key(table)} AS _key, {parent} AS _parent_key FROM ({stage_sql(table, tuple(files), 'json')})"
