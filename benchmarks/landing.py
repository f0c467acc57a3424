"""Landing: raw JSON pages to typed, comparable, checked rows, against `pandas.json_normalize` that only types them."""

import argparse
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pandas as pd

from benchmarks.measure import compare
from tieout.contract import Table, load_contracts
from tieout.landing import land
from tieout.page_files import PageFiles
from tieout.settings import contracts_folder

PAGE_ROWS = 10_000


def main() -> None:
    """Make the pages, then measure."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=200_000)
    arguments.add_argument("--rounds", type=int, default=3)
    asked = arguments.parse_args()
    table = load_contracts(contracts_folder()).table("d365", "sales_order_line")
    with tempfile.TemporaryDirectory() as folder:
        files = tuple(_pages(table, Path(folder), asked.rows))
        now = datetime.now(UTC)
        pages = PageFiles(files, "json", asked.rows, now, now)
        compare(
            lambda: land(duckdb.connect(), table, pages, run_id="benchmark", extracted_at=now),
            lambda: _with_pandas(table, files),
            names=("landing in DuckDB", "json_normalize and types"),
            rounds=asked.rounds,
        )


def _pages(table: Table, folder: Path, rows: int) -> list[Path]:
    files = []
    for first in range(0, rows, PAGE_ROWS):
        path = folder / f"{first:09}.json"
        path.write_text(json.dumps([_row(table, number) for number in range(first, min(first + PAGE_ROWS, rows))]))
        files.append(path)
    return files


def _row(table: Table, number: int) -> dict[str, object]:
    samples: dict[str, object] = {
        "text": f"T-{number:018}",
        "decimal": number % 977 + 0.25,
        "integer": number % 40,
        "date": "2026-10-01T12:00:00Z",
        "instant": "2026-10-01T08:15:00Z",
        "boolean": True,
    }
    return {column.name: samples[column.type] for column in table.columns} | {
        "dataAreaId": "usmf",
        "InventoryLotId": f"L{number:012}",
    }


def _with_pandas(table: Table, files: tuple[Path, ...]) -> pd.DataFrame:
    frame = pd.concat(pd.json_normalize(json.loads(path.read_text())) for path in files)
    for column in table.columns:
        if column.type in ("date", "instant"):
            frame[column.name] = pd.to_datetime(frame[column.name], utc=True)
        elif column.type in ("decimal", "integer"):
            frame[column.name] = pd.to_numeric(frame[column.name])
    return frame


if __name__ == "__main__":
    main()
