"""What the tests of landing share: a DuckDB connection, and pages that hold just what a test is about."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tieout.contract import Contracts, System
from tieout.landing import Landed, land
from tieout.page_files import PageFiles, PageFormat

EXTRACTED_AT = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@dataclass
class Landing:
    """What one call of `land` left on its connection."""

    con: duckdb.DuckDBPyConnection
    landed: Landed

    def good(self, *columns: str) -> list[tuple[Any, ...]]:
        """The good rows, by key."""
        listed = ", ".join(f'"{column}"' for column in columns)
        return self.con.execute(f"SELECT {listed} FROM good ORDER BY _key").fetchall()

    def value(self, column: str) -> Any:
        """One column of the one good row."""
        ((value,),) = self.good(column)
        return value

    def violations(self, *columns: str) -> list[tuple[Any, ...]]:
        """The violations, by key and rule."""
        return self.con.execute(f"SELECT {', '.join(columns)} FROM violations ORDER BY _key, rule").fetchall()

    def broken(self) -> dict[str, int]:
        """The rules that some row breaks, with the number of rows."""
        return {rule: number for rule, number in self.landed.counts.items() if number and rule != "rows"}


Land = Callable[..., Landing]


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty DuckDB in memory."""
    with duckdb.connect(config={"threads": 2}) as connection:
        yield connection


@pytest.fixture
def land_pages(con: duckdb.DuckDBPyConnection, contracts: Contracts, tmp_path: Path) -> Land:
    """Lands pages given as text: `land_pages("d365", "customer", '[{...}]', ...)`."""

    def run(
        system: System, name: str, *pages: str, format: PageFormat = "json", products: str | None = None
    ) -> Landing:
        files = [tmp_path / f"page-{number}.{format}" for number in range(len(pages))]
        for path, page in zip(files, pages, strict=True):
            path.write_text(page, encoding="utf-8")
        read = PageFiles(tuple(files), format, None, EXTRACTED_AT, EXTRACTED_AT)
        landed = land(
            con, contracts.table(system, name), read, run_id="run-1", extracted_at=EXTRACTED_AT, products=products
        )
        return Landing(con, landed)

    return run


def json_page(rows: Sequence[str]) -> str:
    """Rows given as JSON text, so that numbers stay as they are written."""
    return "[" + ",".join(rows) + "]"
