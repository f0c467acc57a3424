"""What a seed is: a source of rows for the tables of both systems, and a list of the differences that were put in on purpose.

A seed knows neither SQLite nor the wire: its rows hold Python values (`Decimal`, `date`, aware `datetime`, `bool`, `str`) under API names.
The stores know how to keep them; `filling.py` hands them over.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

System = Literal["salesforce", "d365"]
Row = dict[str, object]
NextId = Callable[[str], str]
"""Gives the next free 18-character id of a Salesforce object."""


class SeedError(Exception):
    """A seed that cannot be laid: the message says what is wrong and what to do."""


class Rows(NamedTuple):
    """Rows of one table (an object of Salesforce or an entity set of D365), to be read once."""

    system: System
    table: str
    rows: Iterable[Row]


@dataclass
class Manifest:
    """What was planted: for each kind of difference or dirt, the keys of the records that carry it."""

    planted: dict[str, list[str]] = field(default_factory=dict)

    def plant(self, kind: str, key: str) -> None:
        """Note that the record with this key carries one difference of this kind."""
        self.planted.setdefault(kind, []).append(key)

    def counts(self) -> dict[str, int]:
        """How often each kind was planted, in the order of planting."""
        return {kind: len(keys) for kind, keys in self.planted.items()}


class Seed(Protocol):
    """A source of business data for both systems."""

    manifest: Manifest

    def rows(self, next_id: NextId, now: datetime) -> Iterator[Rows]:
        """All tables, in an order in which a parent comes before its children. The manifest is complete after the last one."""
        ...
