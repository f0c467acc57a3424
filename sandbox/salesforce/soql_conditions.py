"""One comparison of SOQL as parameterised SQL: the semantics of nulls, case, ids and dates, type by type."""

import json
from collections.abc import Sequence
from datetime import date

from sandbox.salesforce import stamps
from sandbox.salesforce.date_literals import days_of
from sandbox.salesforce.ids import id18, is_id
from sandbox.salesforce.schema import ID_TYPES, NUMBER_TYPES, TEXT_TYPES, Field
from sandbox.salesforce.soql import Literal, like_pattern, string_value
from sandbox.salesforce.store import folded

Sql = tuple[str, list[object]]

_SHOWN_TYPES = {"datetime": "dateTime", "currency": "double", "percent": "double", "id": "ID", "reference": "reference"}
_ORDERED = ("<", "<=", ">", ">=")


class WrongComparison(Exception):
    """A comparison that SOQL does not allow."""

    def __init__(self, message: str, code: str = "INVALID_FIELD") -> None:
        super().__init__(message)
        self.code = code


def compared(column: str, field: Field, operator: str, literals: Sequence[Literal], today: date) -> Sql:
    """`column operator literals` as SQL and its parameters; WrongComparison when type and literal do not fit.

    Salesforce's `=` and `!=` know no third truth value: `!=` and NOT IN also give the rows where the field is null,
    while `<` and its kin never match null.
    """
    if not field.filterable:
        raise WrongComparison(f"field '{field.name}' can not be filtered in a query call")
    if operator == "LIKE":
        return _like(column, field, literals[0])
    if field.type in ("date", "datetime") and any(each.kind == "period" for each in literals):
        return _in_period(column, field, operator, literals, today)
    values = [_value_of(field, literal) for literal in literals]
    if field.type == "boolean" and operator in _ORDERED:
        raise WrongComparison(f"invalid operator for field '{field.name}'", "INVALID_QUERY_FILTER_OPERATOR")
    column, values, collation = _without_case(column, field, values, operator)
    if operator in ("IN", "NOT IN"):
        return _in_list(column + collation, operator, values)
    sql = {"=": "IS", "!=": "IS NOT"}.get(operator, operator)
    return f"{column} {sql} ?{collation}", values


def _value_of(field: Field, literal: Literal) -> object:
    """The literal as the column keeps such a value."""
    if literal.kind == "null":
        # On a checkbox `= null` means `= false`.
        return 0 if field.type == "boolean" else None
    if field.type in ID_TYPES and literal.kind == "string":
        text = string_value(literal.text)
        if text and not is_id(text):
            raise WrongComparison(f"invalid ID field: {text}", "INVALID_QUERY_FILTER_OPERATOR")
        return id18(text) if text else None
    if field.type in TEXT_TYPES and literal.kind == "string":
        return string_value(literal.text) or None
    if (field.type in NUMBER_TYPES or field.type == "int") and literal.kind == "number":
        return float(literal.text)
    if field.type == "boolean" and literal.kind == "boolean":
        return int(literal.text == "true")
    try:
        if field.type == "datetime" and literal.kind == "instant":
            return stamps.written(stamps.instant_of(literal.text))
        if field.type == "date" and literal.kind == "day":
            return stamps.date_of(literal.text).isoformat()
    except ValueError:
        pass
    raise _wrong_type(field)


def _wrong_type(field: Field) -> WrongComparison:
    quoted = field.type in TEXT_TYPES or field.type in ID_TYPES
    shown = "string" if quoted else _SHOWN_TYPES.get(field.type, field.type)
    return WrongComparison(
        f"value of filter criterion for field '{field.name}' must be of type {shown} and should "
        f"{'be' if quoted else 'not be'} enclosed in quotes"
    )


def _without_case(column: str, field: Field, values: list[object], operator: str) -> tuple[str, list[object], str]:
    """Text is compared without case; plain ASCII by SQLite itself, so that an index on an external id is used."""
    if field.type not in TEXT_TYPES:
        return column, values, ""
    if operator not in _ORDERED and all(value is None or str(value).isascii() for value in values):
        return column, values, " COLLATE NOCASE"
    return f"folded({column})", [folded(value) for value in values], ""


def _in_list(column: str, operator: str, values: list[object]) -> Sql:
    # One parameter for the whole list: statements of Salesforce may hold more values than SQLite has parameters.
    given = json.dumps([value for value in values if value is not None])
    has_null = None in values
    members = f"{column} {operator} (SELECT value FROM json_each(?))"
    if operator == "IN":
        return (f"({members} OR {column} IS NULL)" if has_null else members), [given]
    return (f"({members} AND {column} IS NOT NULL)" if has_null else f"({members} OR {column} IS NULL)"), [given]


def _like(column: str, field: Field, literal: Literal) -> Sql:
    if field.type not in TEXT_TYPES:
        raise WrongComparison(f"invalid operator on {field.type} field", "INVALID_QUERY_FILTER_OPERATOR")
    pattern = like_pattern(literal.text)
    # SQLite's LIKE folds ASCII only.
    if pattern.isascii():
        return f"{column} LIKE ? ESCAPE '\\'", [pattern]
    return f"folded({column}) LIKE ? ESCAPE '\\'", [folded(pattern)]


def _in_period(column: str, field: Field, operator: str, literals: Sequence[Literal], today: date) -> Sql:
    try:
        first, after = days_of(literals[0].text, today)
    except ValueError:
        raise WrongComparison(f"Unknown date literal: {literals[0].text}", "MALFORMED_QUERY") from None
    if len(literals) > 1 or operator in ("IN", "NOT IN"):
        raise WrongComparison(f"invalid operator for field '{field.name}'", "INVALID_QUERY_FILTER_OPERATOR")
    start, end = (
        f"{day.isoformat()}T00:00:00.000+0000" if field.type == "datetime" else str(day) for day in (first, after)
    )
    match operator:
        case "=":
            return f"({column} >= ? AND {column} < ?)", [start, end]
        case "!=":
            return f"({column} IS NULL OR {column} < ? OR {column} >= ?)", [start, end]
        case "<" | ">=":
            return f"{column} {operator} ?", [start]
        case _:
            return f"{column} {'>=' if operator == '>' else '<'} ?", [end]
