"""A seed laid out in memory, so that tests can ask for its rows without a store."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.salesforce.catalogue import CATALOGUE
from sandbox.salesforce.ids import make_id
from sandbox.seeds.seed import Seed

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)


@dataclass
class Laid:
    """All rows by table, and what was planted."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    planted: dict[str, list[str]] = field(default_factory=dict)

    def __getitem__(self, table: str) -> list[dict[str, Any]]:
        return self.tables[table]

    def by(self, table: str, column: str) -> dict[Any, dict[str, Any]]:
        """Rows of a table by a column that is unique in it."""
        found = {row[column]: row for row in self.tables[table]}
        assert len(found) == len(self.tables[table])
        return found

    def grouped(self, table: str, *columns: str) -> dict[Any, list[dict[str, Any]]]:
        """Rows of a table by the values of some columns."""
        groups: dict[Any, list[dict[str, Any]]] = {}
        for row in self.tables[table]:
            key = tuple(row[column] for column in columns)
            groups.setdefault(key[0] if len(key) == 1 else key, []).append(row)
        return groups


def lay(seed: Seed, now: datetime = NOW) -> Laid:
    """Every row of the seed, with ids counted from 1."""
    numbers: Counter[str] = Counter()

    def next_id(sobject: str) -> str:
        numbers[sobject] += 1
        return make_id(CATALOGUE[sobject].prefix, numbers[sobject])

    laid = Laid({each.table: list(each.rows) for each in seed.rows(next_id, now)})
    laid.planted = seed.manifest.planted
    return laid


def folded(text: object) -> str:
    """Text without regard to blanks around and between words, and to case."""
    return " ".join(str(text or "").split()).casefold()


def unique(values: Iterable[object]) -> bool:
    """Whether no value is there twice."""
    seen = list(values)
    return len(seen) == len(set(seen))
