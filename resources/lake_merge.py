"""What a merge changes: the rows that arrive beside the rows that are there, compared by key and hash on a DuckDB of its own.

Delta's own MERGE is not used: it takes the table into memory (a process of 1.3 GB for 400,000 rows of 32 columns, and more with every row;
0.7 GB this way, 0.85 GB for a million), and it makes a version where nothing has changed. What is to be written comes out as a stream.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from resources.lake_rows import Rows, storable
from tieout.sql import quoted

HASH_COLUMN = "_row_hash"
THERE = "there"
"""The view of the table on the workbench."""

_MEMORY = "250MB"
_BATCH_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """What a merge did, in rows. `unchanged` were there already, alike or in a newer version."""

    inserted: int
    updated: int
    deleted: int
    unchanged: int

    def __add__(self, later: "MergeCounts") -> "MergeCounts":
        return MergeCounts(
            self.inserted + later.inserted,
            self.updated + later.updated,
            self.deleted + later.deleted,
            later.unchanged,
        )

    @property
    def changed(self) -> int:
        """Rows of the table that are not what they were."""
        return self.inserted + self.updated + self.deleted


def workbench(scratch: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB of this merge's own, which goes to disk rather than take much memory."""
    # The order of rows means nothing in the lake, and keeping it would cost memory.
    options: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "temp_directory": str(scratch / "spill"),
        "preserve_insertion_order": False,
        "threads": 2,
    }
    return duckdb.connect(config=options)


def bring_keys(con: duckdb.DuckDBPyConnection, rows: Rows, on: str, version_column: str | None, gone: pa.Table) -> None:
    """Make tables `arrived` (key, hash, version) and `gone` (key). Raises ValueError where a key is empty or repeated."""
    wanted = [on, HASH_COLUMN]
    if version_column is not None:
        wanted.append(version_column)
    con.register("keys", rows.columns(wanted))
    version = quoted(version_column) if version_column is not None else "NULL"
    con.execute(
        f"CREATE TABLE arrived AS SELECT {quoted(on)} AS key, {quoted(HASH_COLUMN)} AS hash, {version} AS version FROM keys"
    )
    if _number(con, "SELECT count(*) - count(DISTINCT key) FROM arrived"):
        raise ValueError(f"The rows to merge have an empty or repeated {on}; one row for each key is needed.")
    con.register("gone_keys", gone)
    con.execute("CREATE TABLE gone AS SELECT DISTINCT key FROM gone_keys ANTI JOIN arrived USING (key)")


def all_new(con: duckdb.DuckDBPyConnection) -> MergeCounts:
    """The counts of a merge into nothing."""
    return MergeCounts(inserted=_number(con, "SELECT count(*) FROM arrived"), updated=0, deleted=0, unchanged=0)


def compare(con: duckdb.DuckDBPyConnection, on: str, version_column: str | None) -> MergeCounts:
    """Make table `change` (key, known), leave in `gone` only what is there, and say what both will do."""
    older = f"coalesce({THERE}.{quoted(version_column)} > arrived.version, false)" if version_column else "false"
    con.execute(f"""CREATE TABLE change AS
SELECT arrived.key, {THERE}.{quoted(on)} IS NOT NULL AS known
FROM arrived LEFT JOIN {THERE} ON {THERE}.{quoted(on)} = arrived.key
WHERE {THERE}.{quoted(on)} IS NULL
   OR ({THERE}.{quoted(HASH_COLUMN)} IS DISTINCT FROM arrived.hash AND NOT {older})""")
    con.execute(f"DELETE FROM gone WHERE key NOT IN (SELECT {quoted(on)} FROM {THERE})")
    updated = _number(con, "SELECT count(*) FROM change WHERE known")
    inserted = _number(con, "SELECT count(*) FROM change WHERE NOT known")
    return MergeCounts(
        inserted=inserted,
        updated=updated,
        deleted=_number(con, "SELECT count(*) FROM gone"),
        unchanged=_number(con, "SELECT count(*) FROM arrived") - inserted - updated,
    )


def new_rows(con: duckdb.DuckDBPyConnection, rows: Rows, offered: pa.Schema, on: str) -> pa.RecordBatchReader:
    """The arrived rows of `change`, in the columns in which they come."""
    con.register("incoming", rows.reader(offered))
    changed = con.sql(f"SELECT incoming.* FROM incoming SEMI JOIN change ON change.key = incoming.{quoted(on)}")
    return storable(changed.to_arrow_reader(_BATCH_ROWS), offered)


def whole_content(
    con: duckdb.DuckDBPyConnection, rows: Rows, known: pa.Schema, offered: pa.Schema, on: str
) -> pa.RecordBatchReader:
    """All rows of the table as they will be: those that stay, and the arrived ones of `change`.

    A column that no longer arrives keeps what the row had in it.
    """
    con.register("incoming", rows.reader(offered))
    lost = [column for column in known.names if column not in offered.names]
    kept = "".join(f", {THERE}.{quoted(column)}" for column in lost)
    former = f" LEFT JOIN {THERE} ON {THERE}.{quoted(on)} = incoming.{quoted(on)}" if lost else ""
    all_columns = _union(known, offered)
    content = con.sql(f"""SELECT {THERE}.* FROM {THERE}
ANTI JOIN (SELECT key FROM change UNION ALL SELECT key FROM gone) AS left_out ON left_out.key = {THERE}.{quoted(on)}
UNION ALL BY NAME
SELECT incoming.*{kept} FROM incoming{former}
SEMI JOIN change ON change.key = incoming.{quoted(on)}""")
    arranged = content.select(", ".join(quoted(column) for column in all_columns.names))
    return storable(arranged.to_arrow_reader(_BATCH_ROWS), all_columns)


def _union(known: pa.Schema, offered: pa.Schema) -> pa.Schema:
    """The columns of the table, then the new ones; in the types in which rows are offered where both have them."""
    kept = [offered.field(column.name) if column.name in offered.names else column for column in known]
    return pa.schema([*kept, *(column for column in offered if column.name not in known.names)])


def _number(con: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(con.execute(query).fetchall()[0][0])
