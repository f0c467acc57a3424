"""What a client has on its disk, as opportunities by id: of two versions of one record the one that was written later counts."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.extraction import connectors
from benchmarks.extraction.org import Opportunity, cents

Rows = dict[str, Opportunity]


def of_lake(folder: Path) -> Rows:
    """Tieout's Delta table."""
    from resources.lake import Lake

    columns = ["Id", "Name", "Amount", "IsDeleted"]
    rows: Rows = {}
    for batch in Lake(folder / "lake").dataset(("salesforce", "opportunity")).to_batches(columns=columns):
        rows |= _rows(batch.to_pylist())
    return rows


def of_pages(folder: Path) -> Rows:
    """Raw pages, of JSON or CSV."""
    rows: Rows = {}
    for path in sorted(folder.glob("pages-*/**/*-*.*")):
        rows |= _rows(json.loads(path.read_bytes()) if path.suffix == ".json" else _csv(path))
    return rows


def of_json_lines(folder: Path) -> Rows:
    """Files of one record a line."""
    return _rows(record for path in sorted(folder.glob("*.json")) if path.stem.isdigit() for record in _lines(path))


def of_csv(folder: Path) -> Rows:
    """Folders of CSV files, one folder a read."""
    return _rows(row for read in sorted(folder.glob("*.bulk")) for path in read.glob("*.csv") for row in _csv(path))


def of_singer(folder: Path) -> Rows:
    """RECORD messages of a Singer tap."""
    return _rows(
        message["record"]
        for path in connectors.outputs(folder)
        for message in connectors.messages(path)
        if message["type"] == "RECORD"
    )


def of_airbyte(folder: Path) -> Rows:
    """RECORD messages of an Airbyte source."""
    return _rows(
        message["record"]["data"]
        for path in connectors.outputs(folder)
        for message in connectors.messages(path)
        if message["type"] == "RECORD"
    )


def of_dlt(folder: Path) -> Rows:
    """dlt's table in DuckDB."""
    import duckdb

    with duckdb.connect(str(folder / "opportunities.duckdb"), read_only=True) as con:
        found = con.execute("SELECT id, name, amount, is_deleted FROM salesforce.opportunity").fetchall()
    return {id_: Opportunity(name, cents(amount), bool(deleted)) for id_, name, amount, deleted in found}


def _rows(records: Iterable[Mapping[str, Any]]) -> Rows:
    return {
        record["Id"]: Opportunity(record["Name"], cents(record["Amount"]), record["IsDeleted"] in (True, "true"))
        for record in records
    }


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
