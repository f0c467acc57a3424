"""The DuckDB connection of a measured engine: two threads, 2 GiB, the rest on disk."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

THREADS = 2
MEMORY_LIMIT = "2GiB"


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database in UTC that spills into a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="tieout-benchmark-") as spill:
        con = duckdb.connect(config={"threads": THREADS, "memory_limit": MEMORY_LIMIT, "temp_directory": spill})
        con.execute("SET TimeZone = 'UTC'")
        # Files may be written in any order: every row has its key.
        con.execute("SET preserve_insertion_order = false")
        try:
            yield con
        finally:
            con.close()
