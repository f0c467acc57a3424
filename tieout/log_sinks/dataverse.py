"""Rows of the log as Dataverse takes them: one `UpsertMultiple` by the alternate key (facts 8.1), and whether a table is made for it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from tieout.log_sinks.row import COLUMNS, DIRECTIONS, KEY, Column, LogRow, Value
from tieout.odata import text_literal

ROWS_AT_ONCE = 1000
"""Rows of one call: what Microsoft says to start with for a standard table."""
ACTION = "Microsoft.Dynamics.CRM.UpsertMultiple"
FIRST_CHOICE = 100_000_000
"""The value of the first choice, as Dataverse proposes it to a publisher without a prefix of its own."""

# A kind of ours → the kinds of attributes that hold it.
_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "line": ("String",),
    "text": ("Memo", "String"),
    "direction": ("Picklist",),
    "instant": ("DateTime",),
    "whole": ("Integer",),
    "decimal": ("Decimal",),
}


def column_name(table: str, column: Column) -> str:
    """The logical name: `new_logkey` in the table `new_integrationlog`."""
    return f"{table.partition('_')[0]}_{column.dataverse}"


def upsert_body(table: str, entity_set: str, rows: Sequence[LogRow]) -> bytes:
    """The body of one call; exact decimals, instants in UTC to the second, because Dataverse keeps no more."""
    return orjson.dumps({"Targets": [_target(table, entity_set, row) for row in rows]}, default=_exact)


def _target(table: str, entity_set: str, row: LogRow) -> dict[str, Any]:
    values = {column_name(table, column): _value(column.value_of(row)) for column in COLUMNS if column is not KEY}
    values[column_name(table, _DIRECTION)] = FIRST_CHOICE + list(DIRECTIONS).index(row.direction)
    return {
        "@odata.type": f"Microsoft.Dynamics.CRM.{table}",
        # The key holds digits, T, Z, a point and a dash only, so nothing in it needs percent-encoding.
        "@odata.id": f"{entity_set}({column_name(table, KEY)}={text_literal(row.log_key)})",
        **values,
    }


def table_problems(table: str, told: Mapping[str, Any]) -> list[str]:
    """What is not right with the table, by its definition: missing columns, wrong kinds, lengths, the key. Empty where a log fits."""
    attributes = {each.get("LogicalName"): each for each in told.get("Attributes", ())}
    problems = []
    for column in COLUMNS:
        name = column_name(table, column)
        found = attributes.get(name)
        wanted = _ATTRIBUTES[column.kind]
        if found is None:
            problems.append(f"{name} is missing ({wanted[0]}).")
        elif found.get("AttributeType") not in wanted:
            problems.append(f"{name} is {found.get('AttributeType')}, it has to be {wanted[0]}.")
        elif column.longest and isinstance(found.get("MaxLength"), int) and found["MaxLength"] < column.longest:
            problems.append(f"{name} holds {found['MaxLength']} characters, it has to hold {column.longest:,}.")
    key = column_name(table, KEY)
    keys = [each for each in told.get("Keys", ()) if each.get("KeyAttributes") == [key]]
    if not keys:
        problems.append(f"There is no alternate key of {key} alone.")
    elif not any(each.get("EntityKeyIndexStatus") == "Active" for each in keys):
        problems.append(f"The alternate key of {key} is {keys[0].get('EntityKeyIndexStatus')}, not Active.")
    return problems


def _value(value: Value) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


def _exact(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{value!r} has no exact form in JSON")


_DIRECTION = next(column for column in COLUMNS if column.kind == "direction")
