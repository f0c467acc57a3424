"""A folder of CSV files as a seed: one file per Salesforce object or D365 entity set, columns in API names, values as they are."""

import csv
import gzip
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from typing import TextIO

from sandbox.d365.catalogue import Property
from sandbox.d365.catalogue import catalogue as d365_catalogue
from sandbox.d365.values import stored
from sandbox.salesforce.catalogue import CATALOGUE as SALESFORCE
from sandbox.salesforce.catalogue import SETUP_OBJECTS
from sandbox.salesforce.ids import is_id
from sandbox.seeds.seed import Manifest, NextId, Row, Rows, SeedError, System

SUFFIXES = (".csv", ".csv.gz")
_UNREADABLE = (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile)
# A column may hold any text that fits into memory; the module's own limit is 128 KiB.
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True, slots=True)
class CsvFile:
    """One file and the table that it fills."""

    path: Path
    system: System
    table: str

    def records(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line number of the end of each record, and its values by column. Raises SeedError where a record has the wrong length."""
        with _opened(self.path) as file:
            reader = csv.reader(file, strict=True)
            try:
                columns = next(reader, [])
                for values in reader:
                    if values and len(values) != len(columns):
                        raise SeedError(
                            f"{self.path.name}:{reader.line_num}: {len(values)} values for {len(columns)} columns. "
                            "Quote values that hold commas or line breaks."
                        )
                    if values:
                        yield reader.line_num, dict(zip(columns, values, strict=True))
            except _UNREADABLE as problem:
                raise SeedError(f"{self.path.name}:{reader.line_num}: {problem}. Save it as UTF-8 CSV.") from problem

    def columns(self) -> list[str]:
        """The names in the first line."""
        with _opened(self.path) as file:
            try:
                return next(csv.reader(file), [])
            except _UNREADABLE as problem:
                raise SeedError(f"{self.path.name}:1: {problem}. Save it as UTF-8 CSV.") from problem


class CsvFolder:
    """All CSV files of a folder. Files and columns are checked when it is made, and every mistake is told at once."""

    def __init__(self, folder: Path) -> None:
        self.manifest = Manifest()
        if not folder.is_dir():
            raise SeedError(f"{folder} is no folder. Give the folder that holds the CSV files.")
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES))
        if not paths:
            raise SeedError(f"{folder} holds no CSV file. {_known_tables()}")
        self.files: list[CsvFile] = []
        problems: list[str] = []
        for path in paths:
            name = path.name.removesuffix(".gz").removesuffix(".csv")
            known = _tables().get(name)
            if known is None:
                problems.append(
                    f"{path.name}: there is no object or entity set {name}.{_meant(name, _tables())} {_known_tables()}"
                )
                continue
            file = CsvFile(path, known, name)
            self.files.append(file)
            problems += _wrong_columns(file)
        problems += _twice(self.files)
        if problems:
            raise SeedError("\n".join(problems))
        order = list(_tables())
        self.files.sort(key=lambda file: order.index(file.table))

    def rows(self, _next_id: NextId, _now: datetime) -> Iterator[Rows]:
        """See `Seed.rows`. An empty field is no value; what the file does not say takes the system's default."""
        for file in self.files:
            yield Rows(
                file.system, file.table, _salesforce_rows(file) if file.system == "salesforce" else _d365_rows(file)
            )


def _salesforce_rows(file: CsvFile) -> Iterator[Row]:
    """Salesforce takes every text, so that dirt of every kind can be had; only an id must be one."""
    for line, record in file.records():
        given = record.get("Id")
        if given and not is_id(given):
            raise SeedError(
                f"{file.path.name}:{line}: Id is {given!r}, which is no id of 15 or 18 characters. "
                "Correct it, or leave it empty for a new one."
            )
        yield {name: value for name, value in record.items() if value != ""}


def _d365_rows(file: CsvFile) -> Iterator[Row]:
    """D365's columns are typed: what is no number or no date could never be in it, so the file is wrong."""
    properties = d365_catalogue().entities[file.table].properties
    for line, record in file.records():
        row: Row = {name: value for name, value in record.items() if value != ""}
        for name, value in row.items():
            _check_value(file, line, properties[name], value)
        yield row


def _check_value(file: CsvFile, line: int, of: Property, value: object) -> None:
    try:
        stored(of, value)
    except (ValueError, InvalidOperation):
        raise SeedError(
            f"{file.path.name}:{line}: {of.name} is {value!r}, which is no {of.edm_type}. Correct the value."
        ) from None
    if of.enum and value not in (members := d365_catalogue().enums[of.enum]):
        raise SeedError(f"{file.path.name}:{line}: {of.name} is {value!r}. It can be {', '.join(members)}.")


def _wrong_columns(file: CsvFile) -> list[str]:
    known = _columns_of(file)
    given = file.columns()
    problems = [
        f"{file.path.name}: {file.table} has no column {name!r}.{_meant(name, known)} It has {', '.join(sorted(known))}."
        for name in given
        if name not in known
    ]
    problems += [
        f"{file.path.name}: the column {name} is there twice."
        for name in sorted({n for n in given if given.count(n) > 1})
    ]
    if not given:
        problems.append(
            f"{file.path.name}: the first line has no column names. It can have {', '.join(sorted(known))}."
        )
    if file.system == "d365":
        # Company and the numbers of customers, orders and lots are given by the system where the file has none.
        needed = [] if not given else _keys_without_default(file.table)
        problems += [
            f"{file.path.name}: the key column {name} is missing. Add it." for name in needed if name not in given
        ]
    return problems


def _keys_without_default(table: str) -> list[str]:
    given_by_system = {"dataAreaId", "SalesOrderNumber", "InventoryLotId", "CustomerAccount"}
    return [name for name in d365_catalogue().entities[table].key if name not in given_by_system]


def _twice(files: list[CsvFile]) -> list[str]:
    names = [file.table for file in files]
    return [
        f"{name} is there twice, as .csv and .csv.gz. Remove one."
        for name in sorted({n for n in names if names.count(n) > 1})
    ]


def _columns_of(file: CsvFile) -> Collection[str]:
    if file.system == "salesforce":
        return [field.name for field in SALESFORCE[file.table].columns()]
    return list(d365_catalogue().entities[file.table].properties)


def _tables() -> Mapping[str, System]:
    """Objects, then entity sets, in an order in which parents come before children."""
    tables: dict[str, System] = {name: "salesforce" for name in SALESFORCE if name not in SETUP_OBJECTS}
    return tables | dict.fromkeys(d365_catalogue().entities, "d365")


def _known_tables() -> str:
    return f"Known are {', '.join(f'{name}.csv' for name in _tables())} (or .csv.gz)."


def _meant(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]}?" if close else ""


def _opened(path: Path) -> TextIO:
    """The text of a file, packed or not; a byte-order mark of Excel is not part of the first column's name."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
