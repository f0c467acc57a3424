"""Tieout's keyed comparison, from canonical files; in hash buckets where the files were landed in buckets."""

from pathlib import Path

from benchmarks import planted_orders
from benchmarks.engines.duckdb_settings import connected
from tieout.keyed import compare, compare_buckets


def reconcile(folder: Path, out: Path) -> None:
    """Compare the canonical files whole, into one file."""
    salesforce, d365 = planted_orders.canonical_files(folder)
    with connected() as con:
        compare(con, planted_orders.comparison(), f"read_parquet('{salesforce}')", f"read_parquet('{d365}')", out)


def reconcile_buckets(folder: Path, out: Path, buckets: int) -> None:
    """Compare one bucket after the other, into a folder."""
    salesforce, d365 = planted_orders.bucket_folders(folder, buckets)
    with connected() as con:
        compare_buckets(con, planted_orders.comparison(), salesforce, d365, range(buckets), out)
