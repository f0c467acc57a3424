"""Contracts against the systems as they are: every column that a contract names must exist there, and be readable or writable as needed."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from tieout.contract.model import ColumnType
from tieout.contract.tables import Contracts, Table

# Salesforce field types that each stored type can be read from; everything can be read as text.
_SALESFORCE_TYPES: Mapping[ColumnType, frozenset[str]] = {
    "decimal": frozenset({"currency", "double", "percent", "int", "long"}),
    "integer": frozenset({"int", "long", "double"}),
    "boolean": frozenset({"boolean"}),
    "date": frozenset({"date", "datetime"}),
    "instant": frozenset({"datetime"}),
}
_EDM_TYPES: Mapping[ColumnType, frozenset[str]] = {
    "decimal": frozenset({"Edm.Decimal", "Edm.Double", "Edm.Int32", "Edm.Int64"}),
    "integer": frozenset({"Edm.Int16", "Edm.Int32", "Edm.Int64"}),
    "boolean": frozenset({"Edm.Boolean"}),
    "date": frozenset({"Edm.Date", "Edm.DateTimeOffset"}),
    "instant": frozenset({"Edm.DateTimeOffset"}),
}


def check_against_salesforce(contracts: Contracts, describe: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the contracts want and this org does not have.

    `describe`: object → its describe answer (`fields`: list with `name`, `type`, `updateable`). Each problem is a sentence with file and line.
    A field that the integration user may not see looks exactly like one that does not exist, so the sentence names both ways out.
    """
    problems: list[str] = []
    for table in contracts.tables("salesforce"):
        if table.source not in describe:
            problems.append(
                f"{_place(table, '')}: Salesforce has no object {table.source}. Correct the name, or give the user access to it."
            )
            continue
        fields = {field["name"]: field for field in describe[table.source].get("fields", [])}
        problems += _absent(
            table, list(fields), "Salesforce", "field", "create it, or make it visible to the integration user"
        )
        for column in table.columns:
            found = fields.get(column.name)
            if found is None:
                continue
            stored = str(found.get("type", ""))
            if stored and stored not in _SALESFORCE_TYPES.get(column.type, {stored}):
                problems.append(_wrong_type(table, column.name, column.type, "Salesforce", stored))
        for name in written_columns(table):
            if name in fields and fields[name].get("updateable") is False:
                problems.append(
                    f"{_place(table, name)}: Salesforce does not let the integration user edit {table.source}.{name}. "
                    "Give the permission set edit access, or set `on_difference: report`."
                )
    return problems


def check_against_d365(contracts: Contracts, metadata: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What the contracts want and this D365 does not have. `metadata`: entity set → property → EDM type, from `$metadata`."""
    problems: list[str] = []
    for table in contracts.tables("d365"):
        properties = metadata.get(table.source)
        if properties is None:
            near = get_close_matches(table.source, list(metadata), n=1, cutoff=0.8)
            hint = f"Did you mean {near[0]}?" if near else "Correct the name."
            problems.append(f"{_place(table, '')}: D365 has no entity set {table.source}. {hint}")
            continue
        problems += _absent(table, list(properties), "D365", "property", "add it by an extension of the entity")
        for column in table.columns:
            stored = properties.get(column.name, "")
            if stored.startswith("Edm.") and stored not in _EDM_TYPES.get(column.type, {stored}):
                problems.append(_wrong_type(table, column.name, column.type, "D365", stored))
    return problems


def written_columns(table: Table) -> tuple[str, ...]:
    """The Salesforce columns of a table that write-back fills: its links, and the fields that D365 owns and that are written."""
    if table.system != "salesforce" or table.is_lines:
        return ()
    link = table.contract.link
    fields = (
        each.salesforce
        for each in table.fields
        if each.owner == "d365" and each.on_difference == "write" and each.salesforce
    )
    return tuple(dict.fromkeys(name for name in (link.stored, link.synced_at, *fields) if name))


def _absent(table: Table, there: Sequence[str], system: str, kind: str, way_out: str) -> Iterator[str]:
    wanted = [column.name for column in table.columns]
    if table.system == "d365":
        wanted += _constants(table)
    for name in dict.fromkeys(wanted):
        if name in there:
            continue
        near = get_close_matches(name, there, n=1, cutoff=0.8)
        hint = f"Did you mean {near[0]}? Otherwise {way_out}." if near else f"Correct the contract, or {way_out}."
        yield f"{_place(table, name)}: {system} {table.source} has no {kind} {name}. {hint}"


def _constants(table: Table) -> list[str]:
    made = table.contract.lines.create if table.is_lines and table.contract.lines else table.contract.create
    return list(made.constants)


def _wrong_type(table: Table, name: str, wanted: ColumnType, system: str, stored: str) -> str:
    return (
        f"{_place(table, name)}: {system} {table.source}.{name} is of type {stored}, which cannot be read as {wanted}. "
        "Correct `type` or `compare` in the contract."
    )


def _place(table: Table, column: str) -> str:
    return table.where.get(column, table.contract.file)
