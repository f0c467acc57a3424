"""The AdventureWorks files as they lie in their folder: gzip-compressed CSV, read row by row, values as found."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

from sandbox.seeds.seed import SeedError

FILES = (
    "currencies",
    "currency_rates",
    "erp_address",
    "erp_business_entity_address",
    "erp_customer",
    "erp_product",
    "erp_state_province",
    "erp_store",
    "geography",
    "products_dw",
    "reseller_sales_lines",
    "resellers",
)
Record = dict[str, str]


class Source:
    """One folder of AdventureWorks files; all files that a seed needs are there."""

    def __init__(self, folder: Path) -> None:
        missing = [name for name in FILES if not (folder / f"{name}.csv.gz").is_file()]
        if missing:
            raise SeedError(
                f"{folder} lacks {', '.join(f'{name}.csv.gz' for name in missing)}. "
                "Give the folder that holds the AdventureWorks files."
            )
        self.folder = folder

    def read(self, name: str) -> Iterator[Record]:
        """The rows of one file in their order; an empty field is an empty text."""
        with gzip.open(self.folder / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)

    def by(self, name: str, key: str) -> dict[str, Record]:
        """The rows of one file by a column that is unique in it."""
        return {row[key]: row for row in self.read(name)}
