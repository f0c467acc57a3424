"""Schema drift: what changed in the fields of both systems since they were last looked at, and what that means for the contracts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tieout.contract.check import written_columns
from tieout.contract.model import System
from tieout.contract.tables import Contracts, Table

Fields = Mapping[str, str]
"""Field → type as the system names it; of a field that the integration user may read and not edit, `type (read only)`."""
READ_ONLY = " (read only)"


class Drift(StrEnum):
    """How a field changed. `removed` is also what hiding a field from the integration user looks like."""

    ADDED = "added"
    REMOVED = "removed"
    RETYPED = "retyped"
    LOCKED = "locked"
    OPENED = "opened"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One change of one field. `effect` says what follows for the contracts; `matters`: something does."""

    system: System
    source: str
    field: str
    drift: Drift
    before: str
    now: str
    effect: str
    matters: bool


def changes(
    system: System, contracts: Contracts, before: Mapping[str, Fields], now: Mapping[str, Fields]
) -> list[FieldChange]:
    """What changed of the objects or entity sets that the contracts read. Sources that were never looked at before tell nothing."""
    tables = {table.source: table for table in contracts.tables(system)}
    return [
        change
        for source, table in tables.items()
        if source in before
        for change in _of_source(table, before[source], now.get(source, {}))
    ]


def salesforce_fields(describe: Mapping[str, object]) -> dict[str, str]:
    """The fields of a describe answer."""
    fields = describe.get("fields") or []
    assert isinstance(fields, list)
    return {
        str(field["name"]): str(field.get("type", "")) + ("" if field.get("updateable", True) else READ_ONLY)
        for field in fields
    }


def _of_source(table: Table, before: Fields, now: Fields) -> Iterator[FieldChange]:
    read = {column.name for column in table.columns}
    written = set(written_columns(table))
    for name in sorted(before.keys() | now.keys()):
        then, today = before.get(name, ""), now.get(name, "")
        if then == today:
            continue
        drift = _drift(then, today)
        effect = _effect(table, name, drift, is_read=name in read, is_written=name in written)
        yield FieldChange(
            table.system, table.source, name, drift, then, today, effect or "no contract uses it", bool(effect)
        )


def _drift(then: str, today: str) -> Drift:
    if not then:
        return Drift.ADDED
    if not today:
        return Drift.REMOVED
    if then.removesuffix(READ_ONLY) != today.removesuffix(READ_ONLY):
        return Drift.RETYPED
    return Drift.LOCKED if today.endswith(READ_ONLY) else Drift.OPENED


def _effect(table: Table, name: str, drift: Drift, *, is_read: bool, is_written: bool) -> str:
    place = table.where.get(name, table.contract.file)
    if not is_read and not is_written:
        return ""
    match drift:
        case Drift.REMOVED:
            return f"{place} reads it, so reading {table.source} is refused until it is back, or visible to the integration user again"
        case Drift.RETYPED:
            return f"{place} reads it as {_stored(table, name)}; values that are none go to quarantine"
        case Drift.LOCKED if is_written:
            return f"{place} has it written, which will be refused until the integration user may edit it again"
    return ""


def _stored(table: Table, name: str) -> str:
    return next((column.type for column in table.columns if column.name == name), "text")
