"""Planted orders for the tests of the keyed comparison: both sides in canonical form, whole and in buckets, and the truth."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from benchmarks import planted

ORDERS = 20_000
BUCKETS = 5


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty DuckDB in UTC."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    yield con
    con.close()


@pytest.fixture(scope="session")
def planted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 planted orders a side, landed."""
    folder = tmp_path_factory.mktemp("planted")
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    planted.plant(con, folder, ORDERS)
    planted.land(con, folder, BUCKETS)
    con.close()
    return folder
