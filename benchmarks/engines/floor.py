"""The least that a comparison of raw files can cost: a DuckDB join that carries all columns, compares raw values, and writes nothing.

It normalises nothing, knows no tolerance, adds nothing up and names no field: its answer is a count, so it has no precision.
"""

import json
from pathlib import Path

from benchmarks.engines.duckdb_settings import connected


def reconcile(folder: Path, out: Path) -> None:  # noqa: ARG001 it writes nothing
    """Join and count."""
    names = [field["name"] for field in json.loads((folder / "fields.json").read_text())]
    differs = " OR ".join(f"sf.{name} IS DISTINCT FROM d365.{name}" for name in names)
    with connected() as con:
        con.execute(
            f"""SELECT count(*), count(*) FILTER ({differs})
            FROM read_parquet('{folder / "salesforce.parquet"}') AS sf
            FULL JOIN read_parquet('{folder / "d365.parquet"}') AS d365 ON d365.reference = sf.order_key"""
        ).fetchall()
