"""The state of D365 in one SQLite file: a table per entity set, number sequences, record ids."""

from __future__ import annotations

import contextlib
import random
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.d365.catalogue import COMPANY, Entity, Property, catalogue
from sandbox.d365.values import Stored, stored

FIRST_REC_ID = 5637144576
"""0x150000000: where D365 starts to count the rows of a table."""
FRESH_VERSION = 1
LARGEST_VERSION = 2**31 - 1
DEFAULT_COMPANY = "usmf"

NUMBERED = {
    "SalesOrderHeadersV2": "SalesOrderNumber",
    "SalesOrderLines": "InventoryLotId",
    "CustomersV3": "CustomerAccount",
}
"""Entity sets whose key comes from a number sequence of the company, such as `USMF-000123`."""
NUMBER_DIGITS = 6

INDEXES: dict[str, list[tuple[str, ...]]] = {
    "SalesOrderLines": [(COMPANY, "SalesOrderNumber")],
    "SalesOrderHeadersV2": [("CustomersOrderReference",), (COMPANY, "OrderingCustomerAccountNumber")],
    "SalesInvoiceHeadersV2": [(COMPANY, "SalesOrderNumber")],
}

Row = dict[str, Any]


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


class Store:
    """Rows by entity set. A column without a value stands for the property's default.

    All writes happen in `transaction()`. Numbers given out are not given again when the transaction is rolled back,
    as with D365's non-continuous sequences.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self._create_tables()
        self._sequences: dict[str, int] = dict(self.connection.execute("SELECT name, last FROM _sequence"))
        self._touched: set[str] = set()
        self._depth = 0

    # --- reading -----------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Rows per entity set."""
        return {
            name: int(self.connection.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()[0])
            for name in catalogue().entities
        }

    def find(self, set_name: str, key: Mapping[str, Stored], columns: Sequence[str] | None = None) -> Row | None:
        """The one row with these values (letters of either case), stored values under property names, or None."""
        return next(self.rows(set_name, key, columns), None)

    def rows(
        self, set_name: str, equal_to: Mapping[str, Stored], columns: Sequence[str] | None = None
    ) -> Iterator[Row]:
        """Rows with these values in the order in which they were made; defaults filled in, `_rec_id` always included."""
        entity = catalogue().entities[set_name]
        names = ["_rec_id", "_rec_version", *(columns or [*entity.properties, *entity.hidden])]
        condition = " AND ".join(f"{quoted(name)} = ?" for name in equal_to) or "1"
        found = self.connection.execute(
            f"SELECT {', '.join(quoted(name) for name in names)} FROM {quoted(set_name)} WHERE {condition} ORDER BY _rec_id",
            list(equal_to.values()),
        )
        defaults = [_default(entity, name) for name in names]
        for row in found:
            yield {
                name: default if value is None else value
                for name, value, default in zip(names, row, defaults, strict=True)
            }

    # --- writing -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; a transaction inside another is a part of it."""
        if self._depth:
            self._depth += 1
            try:
                yield self.connection
            finally:
                self._depth -= 1
            return
        self.connection.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield self.connection
            self._save_sequences()
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0

    def insert(self, set_name: str, row: Mapping[str, Stored]) -> int:
        """Add one row of stored values and return its record id. Raises sqlite3.IntegrityError when the key is taken."""
        rec_id = self.next_rec_id(set_name)
        names = ["_rec_id", *row]
        self.connection.execute(
            f"INSERT INTO {quoted(set_name)} ({', '.join(quoted(name) for name in names)}) VALUES ({', '.join('?' * len(names))})",
            [rec_id, *row.values()],
        )
        return rec_id

    def update(self, set_name: str, rec_id: int, changes: Mapping[str, Stored]) -> None:
        """Change one row; its version becomes an arbitrary number, as D365's does."""
        changed = {**changes, "_rec_version": random.randint(FRESH_VERSION + 1, LARGEST_VERSION)}
        self.connection.execute(
            f"UPDATE {quoted(set_name)} SET {', '.join(f'{quoted(name)} = ?' for name in changed)} WHERE _rec_id = ?",
            [*changed.values(), rec_id],
        )

    def delete(self, set_name: str, rec_id: int) -> None:
        """Remove one row."""
        self.connection.execute(f"DELETE FROM {quoted(set_name)} WHERE _rec_id = ?", [rec_id])

    def insert_many(self, table: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Fill an entity set quickly and without business rules; returns the number of rows.

        Rows hold Python values under property names. What is missing takes its default: the company, order and line
        numbers, and the lot. A number sequence goes on behind the highest number that was given.
        """
        entity = catalogue().entities[table]
        known: dict[str, Property | None] = {**entity.properties, **dict.fromkeys(entity.hidden)}
        statements: dict[tuple[str, ...], str] = {}
        count = 0
        companies: set[str] = set()
        last_line: dict[tuple[str, str], int] = {}
        with self.transaction() as connection:
            for given in rows:
                row: dict[str, Any] = {}
                for name, value in given.items():
                    of = known[name]
                    row[name] = value if of is None else stored(of, value)
                if entity.is_per_company:
                    companies.add(str(row.setdefault(COMPANY, DEFAULT_COMPANY)))
                self._number(table, row, last_line)
                names = tuple(row)
                if names not in statements:
                    columns = ", ".join(quoted(name) for name in ("_rec_id", *names))
                    statements[names] = (
                        f"INSERT INTO {quoted(table)} ({columns}) VALUES ({', '.join('?' * (len(names) + 1))})"
                    )
                connection.execute(statements[names], [self.next_rec_id(table), *row.values()])
                count += 1
            if table in NUMBERED:
                for company in companies:
                    self._go_on_behind_given_numbers(table, company)
        return count

    # --- numbers -----------------------------------------------------------------------------------------------

    def next_rec_id(self, set_name: str) -> int:
        """The record id of the next row of this set's table."""
        return self._next(f"RecId {set_name}", FIRST_REC_ID - 1)

    def next_number(self, set_name: str, company: str) -> str:
        """The next number of the company's sequence for this set, such as `USMF-000123`, that no row has yet."""
        property_name = NUMBERED[set_name]
        while True:
            number = f"{company.upper()}-{self._next(_sequence_name(set_name, company)):0{NUMBER_DIGITS}d}"
            if self.find(set_name, {COMPANY: company, property_name: number}, [property_name]) is None:
                return number

    def next_global(self, name: str) -> int:
        """The next value of a sequence that all companies share (parties, vouchers, invoices)."""
        return self._next(name)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def _next(self, name: str, start: int = 0) -> int:
        value = self._sequences.get(name, start) + 1
        self._sequences[name] = value
        self._touched.add(name)
        return value

    def _save_sequences(self) -> None:
        self.connection.executemany(
            "INSERT INTO _sequence (name, last) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET last = excluded.last",
            [(name, self._sequences[name]) for name in self._touched],
        )
        self._touched.clear()

    def _number(self, table: str, row: dict[str, Any], last_line: dict[tuple[str, str], int]) -> None:
        if table in NUMBERED and not row.get(NUMBERED[table]):
            row[NUMBERED[table]] = self.next_number(table, row[COMPANY])
        if table == "SalesOrderLines" and "LineNumber" not in row:
            order = (row[COMPANY].lower(), str(row["SalesOrderNumber"]).lower())
            last_line[order] = position = last_line.get(order, 0) + 1
            row["LineNumber"] = str(position)
            row.setdefault("LineCreationSequenceNumber", position)

    def _go_on_behind_given_numbers(self, table: str, company: str) -> None:
        column = quoted(NUMBERED[table])
        prefix = f"{company.upper()}-"
        highest = self.connection.execute(
            f"SELECT max(CAST(substr({column}, ?) AS INTEGER)) FROM {quoted(table)} WHERE {COMPANY} = ? AND upper({column}) GLOB ?",
            [len(prefix) + 1, company, re.sub(r"([\[*?])", r"[\1]", prefix) + "[0-9]*"],
        ).fetchone()[0]
        name = _sequence_name(table, company)
        if highest is not None and highest > self._sequences.get(name, 0):
            self._sequences[name] = highest
            self._touched.add(name)

    def _create_tables(self) -> None:
        with contextlib.closing(self.connection.cursor()) as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS _sequence (name TEXT PRIMARY KEY, last INTEGER NOT NULL)")
            for entity in catalogue().entities.values():
                columns = ", ".join(_column(of) for of in entity.properties.values())
                hidden = "".join(f", {quoted(name)} TEXT" for name in entity.hidden)
                cursor.execute(
                    f"CREATE TABLE IF NOT EXISTS {quoted(entity.set_name)} "
                    f"(_rec_id INTEGER PRIMARY KEY, _rec_version INTEGER NOT NULL DEFAULT {FRESH_VERSION}, {columns}{hidden})"
                )
                _create_index(cursor, entity.set_name, entity.key, unique=True)
                for names in INDEXES.get(entity.set_name, ()):
                    _create_index(cursor, entity.set_name, names)


def _create_index(cursor: sqlite3.Cursor, set_name: str, names: Collection[str], *, unique: bool = False) -> None:
    columns = ", ".join(quoted(name) for name in names)
    index = quoted(f"{set_name} {' '.join(names)}")
    kind = "UNIQUE INDEX" if unique else "INDEX"
    cursor.execute(f"CREATE {kind} IF NOT EXISTS {index} ON {quoted(set_name)} ({columns})")


def _column(of: Property) -> str:
    """Text compares as on SQL Server: letters of either case are equal."""
    kind = "INTEGER" if of.kind in ("Int32", "Int64") else "TEXT"
    collation = " COLLATE NOCASE" if of.kind == "String" else ""
    return f"{quoted(of.name)} {kind}{collation}"


def _default(entity: Entity, name: str) -> Stored:
    of = entity.properties.get(name)
    return of.default if of else None


def _sequence_name(set_name: str, company: str) -> str:
    return f"{set_name} {company.lower()}"
