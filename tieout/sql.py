"""Quoting for SQL text: the one way in which identifiers and literals become part of a statement.

Only the contract's own names and values, file names and run ids are written into SQL; values from records stay in tables.
"""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal


def quoted(identifier: str) -> str:
    """An identifier in double quotes, so that no name can be read as SQL."""
    if "\x00" in identifier:
        raise ValueError("an SQL identifier cannot hold a NUL character")
    return '"' + identifier.replace('"', '""') + '"'


def literal(value: str | int | Decimal | bool | date | datetime | None) -> str:
    """A value as SQL literal. Instants need a zone; decimals keep every digit."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | Decimal():
            return _number(value)
        case datetime():
            if value.tzinfo is None:
                raise ValueError("an instant without a zone cannot be written into SQL")
            return f"TIMESTAMPTZ '{value.isoformat(sep=' ')}'"
        case date():
            return f"DATE '{value.isoformat()}'"
    if "\x00" in value:
        raise ValueError("an SQL literal cannot hold a NUL character")
    return "'" + value.replace("'", "''") + "'"


def literals(values: Iterable[str]) -> str:
    """Several text literals, separated by commas."""
    return ", ".join(literal(value) for value in values)


def _number(value: int | Decimal) -> str:
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{value} is no number that SQL can hold")
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return f"({text})" if text.startswith("-") else text
