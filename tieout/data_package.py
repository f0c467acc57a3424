"""What a data package of D365 holds: its manifest, and its rows as the pages that an OData read leaves.

A package is a zip with Manifest.xml, PackageHeader.xml and a data file (`facts/d365.md`, 4.2). It is of one company, which is no column of
the file; columns are in upper case; dates have a time and no zone. No row is kept in memory beyond its page.
"""

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import orjson

from tieout.contract import Contracts, Table
from tieout.errors import ConfigurationError, RecordError

COMPANY = "dataAreaId"
INCREMENTAL_PUSH = "IncrementalPush"
_SPACE = "{http://schemas.microsoft.com/dynamics/2015/01/DataManagement}"
_MANIFEST = "Manifest.xml"
_PAGE_ROWS = 10_000
_LONGEST_VALUE = 16 * 1024 * 1024
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package says of itself: the entity's label, its data file, and whether it holds all rows or only what changed."""

    entity: str
    data_file: str
    is_incremental: bool


def manifest_of(package: Path) -> Manifest:
    """The manifest of a package of one entity; raises RecordError for anything else."""
    try:
        with zipfile.ZipFile(package) as zipped:
            root = ElementTree.fromstring(zipped.read(_MANIFEST))
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError) as error:
        raise RecordError(f"a data package that cannot be read ({error})") from error
    entities = root.findall(f".//{_SPACE}DataManagementPackageEntityData")
    if len(entities) != 1:
        raise RecordError(f"a data package of {len(entities)} entities; its project in D365 should have one")
    [entity] = entities
    return Manifest(
        entity.findtext(f"{_SPACE}EntityName", ""),
        entity.findtext(f"{_SPACE}InputFilePath", ""),
        # Old packages do not say it; the count shows then whether all rows came.
        entity.findtext(f"{_SPACE}DefaultRefreshType", "") == INCREMENTAL_PUSH,
    )


def write_pages(package: Path, manifest: Manifest, table: Table, company: str, folder: Path) -> tuple[list[Path], int]:
    """Write the rows of a package as pages of `table`, as an OData read has them; returns the files and the number of rows.

    Raises RecordError where the file lacks a column of the contract, or is no text of columns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    rows: list[Mapping[str, str]] = []
    count = 0

    def flush() -> None:
        file = folder / f"{table.name}-{company}-{len(files):05}.json"
        file.write_bytes(orjson.dumps(rows))
        files.append(file)
        rows.clear()

    for row in _rows(package, manifest, table, company):
        rows.append(row)
        count += 1
        if len(rows) == _PAGE_ROWS:
            flush()
    if rows or not files:
        flush()  # an empty table is one empty page
    return files, count


def _rows(package: Path, manifest: Manifest, table: Table, company: str) -> Iterator[dict[str, str]]:
    csv.field_size_limit(_LONGEST_VALUE)
    try:
        with zipfile.ZipFile(package) as zipped, zipped.open(manifest.data_file) as data:
            text = io.TextIOWrapper(data, encoding=_encoding(package, manifest.data_file), newline="")
            lines = csv.reader(text, strict=True)
            header = [name.strip().upper() for name in next(lines, [])]
            places = _places(header, table, manifest)
            for line in lines:
                if len(line) != len(header):
                    raise RecordError(
                        f"line {lines.line_num:,} of {manifest.data_file} has {len(line)} values for {len(header)} columns"
                    )
                yield {COMPANY: company} | {
                    name: _as_on_the_wire(line[place]) if is_instant else line[place]
                    for name, place, is_instant in places
                }
    except (zipfile.BadZipFile, KeyError, UnicodeError, csv.Error) as error:
        raise RecordError(f"a data package that cannot be read ({error})") from error


def _places(header: list[str], table: Table, manifest: Manifest) -> list[tuple[str, int, bool]]:
    types = dict.fromkeys(table.key, "text") | {column.name: column.type for column in table.columns}
    wanted = {name: kind for name, kind in types.items() if name != COMPANY}
    absent = [name.upper() for name in wanted if name.upper() not in header]
    if absent:
        raise RecordError(
            f"a data package of {manifest.entity} without {', '.join(absent)}; map these columns in the export project"
        )
    return [(name, header.index(name.upper()), kind == "instant") for name, kind in wanted.items()]


def _encoding(package: Path, data_file: str) -> str:
    with zipfile.ZipFile(package) as zipped, zipped.open(data_file) as data:
        return "utf-16" if data.read(2) in _UTF_16 else "utf-8-sig"


def _as_on_the_wire(text: str) -> str:
    """`2026-07-30 10:15:00`, which is UTC, as `2026-07-30T10:15:00Z`."""
    day, space, time = text.partition(" ")
    return f"{day}T{time}Z" if space and ":" in time and not time.endswith("Z") else text


def check_export_projects(projects: Mapping[str, str], contracts: Contracts) -> None:
    """Raise ConfigurationError where a project of TIEOUT_D365_EXPORT_PROJECTS is for a table that there is not."""
    tables = [table.name for table in contracts.tables("d365")]
    unknown = sorted(set(projects) - set(tables))
    if unknown:
        raise ConfigurationError(
            f"TIEOUT_D365_EXPORT_PROJECTS names {', '.join(unknown)}, which the lake does not have. Its tables of D365 are {', '.join(tables)}."
        )
