"""Rows of SQL as the records of an answer: attributes first, then the fields in the order of the SELECT."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

Row = Sequence[Any]
Record = dict[str, Any]

_TRUTH = {0: False, 1: True}
ADDRESS_PARTS = ("City", "Country", "GeocodeAccuracy", "Latitude", "Longitude", "PostalCode", "State", "Street")


class RecordShape:
    """How the records of one sObject are put together from row positions; filled by the compiler, then sealed."""

    def __init__(self, sobject: str, id_position: int) -> None:
        self.sobject = sobject
        self._id_position = id_position
        self._url = ""
        self._positions: dict[str, int] = {}
        self._booleans: list[tuple[str, int]] = []
        self._addresses: list[tuple[str, tuple[int, ...]]] = []
        self._parents: dict[str, RecordShape] = {}
        self._values: Callable[[Row], Any] = tuple

    def has(self, name: str) -> bool:
        return name in self._positions

    def add(self, name: str, position: int, *, boolean: bool = False) -> None:
        """A field whose value stands at `position`."""
        self._positions[name] = position
        if boolean:
            self._booleans.append((name, position))

    def add_address(self, name: str, positions: Sequence[int]) -> None:
        """A compound address whose parts stand at `positions`, in the order of ADDRESS_PARTS."""
        self._positions[name] = positions[0]
        self._addresses.append((name, tuple(positions)))

    def add_children(self, name: str) -> None:
        """A place for the records of a child relationship, which are filled in afterwards."""
        self._positions[name] = self._id_position

    def parent(self, name: str, sobject: str, id_position: int) -> "RecordShape":
        """The shape of a parent record inside this one."""
        if name not in self._parents:
            self._parents[name] = RecordShape(sobject, id_position)
            self._positions[name] = id_position
        return self._parents[name]

    def seal(self, version: str) -> "RecordShape":
        """Ready for use; the URLs of records name the version that was called."""
        self._url = f"/services/data/v{version}/sobjects/{self.sobject}/"
        getter = itemgetter(*self._positions.values()) if self._positions else (lambda _row: ())
        self._values = getter if len(self._positions) > 1 else (lambda row: (getter(row),))
        for shape in self._parents.values():
            shape.seal(version)
        return self

    def record(self, row: Row) -> Record:
        """One record. A null parent is null as a whole."""
        record: Record = {"attributes": {"type": self.sobject, "url": self._url + row[self._id_position]}}
        record.update(zip(self._positions, self._values(row), strict=True))
        for name, position in self._booleans:
            record[name] = _TRUTH.get(row[position], row[position])
        for name, shape in self._parents.items():
            if record[name] is not None:
                record[name] = shape.record(row)
        for name, positions in self._addresses:
            record[name] = _address([row[position] for position in positions])
        return record


def _address(parts: list[Any]) -> dict[str, Any] | None:
    if all(part is None for part in parts):
        return None
    return {name[0].lower() + name[1:]: part for name, part in zip(ADDRESS_PARTS, parts, strict=True)}
