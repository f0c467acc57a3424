"""Parts of a filter on their way to SQL: what sort of value each is, and how two of them are compared as OData has it.

OData compares with null by two-valued logic (URL Conventions 4.0, 5.1.1.1): `ne` is true where one side is null, everything else false.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, false, literal, null, or_, true

from desk.feed.model import Edm
from desk.feed.problems import FeedProblem, wrong

Sort = Literal["text", "number", "truth", "instant", "day", "null"]
Operator = Literal["eq", "ne", "lt", "le", "gt", "ge"]

SORT_OF: dict[Edm, Sort] = {
    Edm.TEXT: "text",
    Edm.INT32: "number",
    Edm.INT64: "number",
    Edm.DECIMAL: "number",
    Edm.BOOLEAN: "truth",
    Edm.INSTANT: "instant",
    Edm.DATE: "day",
}
_WORDS: dict[Sort, str] = {
    "text": "a text ('…')",
    "number": "a number",
    "truth": "true or false",
    "instant": "an instant (2026-01-31T00:00:00Z)",
    "day": "a day (2026-01-31)",
    "null": "null",
}


@dataclass(frozen=True, slots=True)
class Term:
    """One part. `value` is set where it was written into the filter; it reaches the database as a bound parameter only."""

    sort: Sort
    sql: ColumnElement[Any]
    nullable: bool = False
    value: Any = None


NULL = Term("null", null(), nullable=True)


def constant(sort: Sort, value: Any) -> Term:
    """A value of the filter."""
    return Term(sort, literal(value), value=value)


def compared(operator: Operator, left: Term, right: Term) -> Term:
    """`left operator right`. FeedProblem 400 where the two have nothing to do with each other."""
    if "null" in (left.sort, right.sort):
        return _with_null(operator, left, right)
    if left.sort != right.sort:
        raise mismatch(left, right)
    if left.sort == "truth" and operator not in ("eq", "ne"):
        raise wrong("true and false have no order: compare them with eq or ne.", "$filter")
    nullable = [each.sql for each in (left, right) if each.nullable]
    if operator == "ne":
        return _truth(left.sql.is_distinct_from(right.sql) if nullable else left.sql != right.sql)
    if operator == "eq":
        if len(nullable) == 2:
            return _truth(left.sql.is_not_distinct_from(right.sql))
        return _truth(_where_there(nullable, left.sql == right.sql))
    plain = {
        "lt": left.sql < right.sql,
        "le": left.sql <= right.sql,
        "gt": left.sql > right.sql,
        "ge": left.sql >= right.sql,
    }[operator]
    return _truth(_where_there(nullable, plain))


def is_among(left: Term, values: Sequence[Term]) -> Term:
    """`left in (values)`. FeedProblem 400 where one of them is of another sort."""
    for each in values:
        if "null" not in (left.sort, each.sort) and each.sort != left.sort:
            raise mismatch(left, each)
    if left.sort == "null":
        return _truth(true() if any(each.sort == "null" for each in values) else false())
    given = [each.sql for each in values if each.sort != "null"]
    found = _where_there([left.sql] if left.nullable else [], left.sql.in_(given)) if given else false()
    if left.nullable and len(given) < len(values):
        found = or_(left.sql.is_(None), found)
    return _truth(found)


def mismatch(left: Term, right: Term) -> FeedProblem:
    """400: the two sides of a comparison."""
    return wrong(f"$filter compares {_WORDS[left.sort]} with {_WORDS[right.sort]}.", "$filter")


def expected(sort: Sort, given: Term, where: str) -> FeedProblem:
    """400: what a function or an operator takes."""
    return wrong(f"{where} takes {_WORDS[sort]}, not {_WORDS[given.sort]}.", "$filter")


def _with_null(operator: Operator, left: Term, right: Term) -> Term:
    other = right if left.sort == "null" else left
    if operator not in ("eq", "ne"):
        return _truth(false())
    if other.sort == "null" or not other.nullable:
        same = other.sort == "null"
        return _truth(true() if same == (operator == "eq") else false())
    return _truth(other.sql.is_(None) if operator == "eq" else other.sql.is_not(None))


def _where_there(nullable: Sequence[ColumnElement[Any]], test: ColumnElement[bool]) -> ColumnElement[bool]:
    """False, never null, where a value is missing, so that `not` around it is right."""
    return and_(*(each.is_not(None) for each in nullable), test)


def _truth(sql: ColumnElement[bool]) -> Term:
    return Term("truth", sql)
