"""A `$filter` as an SQL condition on the columns of one entity set; every value of the filter is a bound parameter."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeVar

from odata_query import ast
from odata_query.visitor import NodeVisitor
from sqlalchemy import ColumnElement, and_, not_, or_

from desk.feed.functions import called
from desk.feed.model import EntitySet
from desk.feed.parsing import DEEPEST_FILTER, parsed
from desk.feed.problems import unsupported, wrong
from desk.feed.terms import NULL, SORT_OF, Operator, Term, compared, constant, expected, is_among, mismatch

MOST_WHOLE_DIGITS = 22
MOST_DECIMALS = 12
"""A number beyond them can equal no amount (28 digits, 6 of them decimals), and DuckDB has 38 digits for a comparison."""

T = TypeVar("T")

_TARGET = "$filter"
_OPERATORS: dict[type, Operator] = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
}


def condition_of(entity_set: EntitySet, text: str) -> ColumnElement[bool]:
    """The condition. FeedProblem 400 where the text is no condition on this set, 501 where it needs what the feed does not do."""
    term = _Conditions(entity_set).visit(parsed(text))
    return _must_be_truth(term, "$filter").sql


class _Conditions(NodeVisitor):
    """Visits a tree from the top; each visit returns a Term. What has no method here is refused, not passed over."""

    def __init__(self, entity_set: EntitySet) -> None:
        self._set = entity_set
        self._depth = 0

    def visit(self, node: ast._Node) -> Term:
        """The term of a node, unless it lies too deep."""
        self._depth += 1
        if self._depth > 3 * DEEPEST_FILTER:
            raise wrong("$filter has too many functions and negations inside each other.", _TARGET)
        try:
            term: Term = super().visit(node)
            return term
        finally:
            self._depth -= 1

    def generic_visit(self, node: ast._Node) -> Term:
        """Arithmetic, durations, GUIDs, lists where no list belongs, any() and all()."""
        if isinstance(node, ast.GUID):
            raise wrong("$filter holds a GUID, and no property is one. Write texts between single quotes.", _TARGET)
        if isinstance(node, ast.List):
            raise wrong("$filter holds a list, which belongs behind `in` only.", _TARGET)
        words = "Arithmetic" if isinstance(node, ast.BinOp) else type(node).__name__
        raise unsupported(f"{words} is not supported in $filter.", _TARGET)

    def visit_Identifier(self, node: ast.Identifier) -> Term:
        """A property."""
        name = _full_name(node)
        found = self._set.by_name.get(name)
        if found is None:
            raise wrong(f"{self._set.name} has no property {name}.", _TARGET)
        return Term(SORT_OF[found.edm], self._set.source.c[found.name], found.nullable)

    def visit_String(self, node: ast.String) -> Term:
        """A text."""
        return constant("text", node.val)

    def visit_Boolean(self, node: ast.Boolean) -> Term:
        """True or false."""
        return constant("truth", node.py_val)

    def visit_Null(self, _node: ast.Null) -> Term:
        """The missing value."""
        return NULL

    def visit_Integer(self, node: ast.Integer) -> Term:
        """A number, exactly as written."""
        return constant("number", number_of(node.val))

    def visit_Float(self, node: ast.Float) -> Term:
        """A number with decimals or an exponent, exactly as written: never a binary fraction."""
        return constant("number", number_of(node.val))

    def visit_Date(self, node: ast.Date) -> Term:
        """A day."""
        return constant("day", day_of(node.val))

    def visit_DateTime(self, node: ast.DateTime) -> Term:
        """An instant with its offset."""
        return constant("instant", instant_of(node.val))

    def visit_BoolOp(self, node: ast.BoolOp) -> Term:
        """A chain of `and` or of `or`, however long, in one step."""
        parts, rest = [], node.left
        parts.append(node.right)
        while isinstance(rest, ast.BoolOp) and rest.op == node.op:
            parts.append(rest.right)
            rest = rest.left
        parts.append(rest)
        word, join = ("and", and_) if isinstance(node.op, ast.And) else ("or", or_)
        tests = [_must_be_truth(self.visit(part), word) for part in reversed(parts)]
        return Term("truth", join(*(test.sql for test in tests)), any(test.nullable for test in tests))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Term:
        """`not`; a minus stands before numbers only, and is then part of them."""
        if not isinstance(node.op, ast.Not):
            raise unsupported("A minus before anything but a number is not supported in $filter.", _TARGET)
        test = _must_be_truth(self.visit(node.operand), "not")
        return Term("truth", not_(test.sql), test.nullable)

    def visit_Compare(self, node: ast.Compare) -> Term:
        """`eq` and its like, and `in`."""
        left = self.visit(node.left)
        if isinstance(node.comparator, ast.In):
            # `(x)` is a bracket in the grammar, and a list of one behind `in`.
            values = node.right.val if isinstance(node.right, ast.List) else [node.right]
            if not all(isinstance(value, ast._Literal) for value in values):
                raise unsupported("Only values may stand in the list behind `in`.", _TARGET)
            return is_among(left, [self.visit(value) for value in values])
        return compared(_OPERATORS[type(node.comparator)], left, self.visit(node.right))

    def visit_Call(self, node: ast.Call) -> Term:
        """A function."""
        return called(_full_name(node.func), [self.visit(argument) for argument in node.args])


def _full_name(node: ast.Identifier) -> str:
    return ".".join((*node.namespace, node.name))


def number_of(text: str) -> Decimal:
    """The number that `text` is; FeedProblem 400 beyond MOST_WHOLE_DIGITS and MOST_DECIMALS."""
    return _read(text, _number)


def day_of(text: str) -> date:
    """The day that `text` (YYYY-MM-DD) is; FeedProblem 400 where it is in no calendar."""
    return _read(text, date.fromisoformat)


def instant_of(text: str) -> datetime:
    """The instant that `text` is, in UTC; FeedProblem 400 without an offset, or where it is in no calendar."""
    return _read(text, _instant)


def _number(text: str) -> Decimal:
    if not text.isascii() or len(text) > MOST_WHOLE_DIGITS + MOST_DECIMALS + 10:
        raise ValueError(text)
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MOST_DECIMALS or number.adjusted() >= MOST_WHOLE_DIGITS:
        raise ValueError(text)
    return number


def _instant(text: str) -> datetime:
    instant = ast.DateTime(text.upper()).py_val
    if instant.tzinfo is None:
        raise ValueError(text)
    return instant.astimezone(UTC)


def _read(text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except (ValueError, ArithmeticError) as problem:
        raise wrong(
            f"{text[:60]} is no value here. Numbers have at most {MOST_WHOLE_DIGITS} digits and {MOST_DECIMALS} decimals, days are "
            "written 2026-01-31, instants 2026-01-31T00:00:00Z.",
            _TARGET,
        ) from problem


def _must_be_truth(term: Term, where: str) -> Term:
    if term.sort == "null":
        raise mismatch(term, constant("truth", True))
    if term.sort != "truth":
        raise expected("truth", term, where)
    return term
