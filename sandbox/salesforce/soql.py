"""SOQL as a tree: what a query says, with the place of every word, before anybody asks whether it makes sense."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from sandbox.salesforce.errors import SalesforceError, bad_request

LONGEST_STATEMENT = 100_000

# Salesforce shows only the part of a long query that surrounds the mistake.
SHOWN_AROUND_MISTAKE = 60


@dataclass(frozen=True, slots=True)
class Place:
    """Row and column, both from 1."""

    row: int
    column: int


@dataclass(frozen=True, slots=True)
class FieldPath:
    """`Name` or `Account.Owner.Name`, as written."""

    parts: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Call:
    """`COUNT()`, `MAX(Amount) total`."""

    function: str
    argument: FieldPath | None
    place: Place
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Literal:
    """A value: `kind` is string, number, instant, day, boolean, null or period; `text` is as written."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operand operator values`; the operator is one of = != < <= > >= LIKE IN NOT IN."""

    operand: FieldPath | Call
    operator: str
    values: "tuple[Literal, ...] | Query"


@dataclass(frozen=True, slots=True)
class Negation:
    of: "Condition"


@dataclass(frozen=True, slots=True)
class Joined:
    """Conditions that must all hold (`AND`) or of which one must (`OR`)."""

    word: str
    parts: "tuple[Condition, ...]"


Condition = Comparison | Negation | Joined


@dataclass(frozen=True, slots=True)
class Ordering:
    by: FieldPath | Call
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """One SELECT, or a subquery of it."""

    items: "tuple[FieldPath | Call | Query, ...]"
    source: FieldPath
    alias: str | None
    where: Condition | None
    group_by: tuple[FieldPath, ...]
    having: Condition | None
    order_by: tuple[Ordering, ...]
    limit: int | None
    offset: int | None


def parse(text: str) -> Query:
    """The tree of a query; SalesforceError MALFORMED_QUERY, with row and column, for what is no SOQL."""
    if len(text) > LONGEST_STATEMENT:
        raise bad_request("MALFORMED_QUERY", f"SOQL statements cannot be longer than {LONGEST_STATEMENT} characters.")
    try:
        tree: Query = _Tree().transform(_parser().parse(text))
        return tree
    except UnexpectedToken as problem:
        shown = "<EOF>" if problem.token.type == "$END" else str(problem.token)
        raise malformed(text, _place_of(text, problem), f"unexpected token: '{shown}'") from None
    except UnexpectedCharacters as problem:
        shown = problem.char
        raise malformed(text, Place(problem.line, problem.column), f"unexpected token: '{shown}'") from None
    except VisitError as problem:
        if isinstance(problem.orig_exc, _BadString):
            bad = problem.orig_exc
            raise malformed(
                text, bad.place, f"Invalid string literal '{bad.text}'. Illegal character sequence"
            ) from None
        raise


def malformed(text: str, place: Place, message: str) -> SalesforceError:
    return query_error("MALFORMED_QUERY", text, place, message)


def query_error(code: str, text: str, place: Place, message: str) -> SalesforceError:
    """An error at a place of the query: the line, a caret under the place, row and column, then the message."""
    lines = text.splitlines() or [""]
    line = lines[min(place.row, len(lines)) - 1]
    start = max(0, place.column - 1 - SHOWN_AROUND_MISTAKE)
    shown = line[start : place.column - 1 + SHOWN_AROUND_MISTAKE]
    caret = " " * (place.column - 1 - start) + "^"
    return bad_request(code, f"\n{shown}\n{caret}\nERROR at Row:{place.row}:Column:{place.column}\n{message}")


def string_value(literal: str) -> str:
    """The text that a quoted literal stands for."""
    return _ESCAPE.sub(lambda found: _unescaped(found[1]), literal[1:-1])


def like_pattern(literal: str) -> str:
    r"""The literal of a LIKE as an SQL pattern with `\` as its escape: `\_` and `\%` stay themselves."""

    def keep(found: re.Match[str]) -> str:
        char = found[1]
        return "\\" + char if char in "_%\\" else _unescaped(char)

    return _ESCAPE.sub(keep, literal[1:-1])


_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_SIMPLE_ESCAPES = {
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "b": "\b",
    "f": "\f",
    '"': '"',
    "'": "'",
    "\\": "\\",
    "_": "_",
    "%": "%",
}
_UPPER_ESCAPES = {"N": "\n", "R": "\r", "T": "\t", "B": "\b", "F": "\f"}


class _BadString(Exception):
    def __init__(self, text: str, place: Place) -> None:
        super().__init__(text)
        self.text = text
        self.place = place


def _unescaped(escape: str) -> str:
    if len(escape) == 5:
        return chr(int(escape[1:], 16))
    return _SIMPLE_ESCAPES.get(escape) or _UPPER_ESCAPES.get(escape) or escape


def _place(token: Token) -> Place:
    return Place(token.line or 1, token.column or 1)


def _place_of(text: str, problem: UnexpectedInput) -> Place:
    if isinstance(problem, UnexpectedToken) and problem.token.type == "$END":
        lines = text.splitlines() or [""]
        return Place(len(lines), len(lines[-1]) + 1)
    return Place(problem.line, problem.column)


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = (Path(__file__).parent / "soql.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", maybe_placeholders=True)


@v_args(inline=True)
class _Tree(Transformer):  # type: ignore[type-arg]
    """Turns lark's tree into ours, from the leaves up."""

    def field(self, path: Token) -> FieldPath:
        return _path(path)

    def call(self, function: Token, argument: Token | None) -> Call:
        return Call(function.upper(), _path(argument) if argument else None, _place(function))

    def call_item(self, call: Call, alias: Token | None) -> Call:
        return Call(call.function, call.argument, call.place, str(alias)) if alias else call

    def subquery(self, query: Query) -> Query:
        return query

    def select_list(self, *items: Any) -> tuple[Any, ...]:
        return items

    def from_clause(self, source: Token, alias: Token | None) -> tuple[FieldPath, str | None]:
        return _path(source), str(alias) if alias else None

    def where(self, condition: Condition) -> Condition:
        return condition

    having = where

    def all_of(self, *parts: Condition) -> Joined:
        return Joined("AND", parts)

    def any_of(self, *parts: Condition) -> Joined:
        return Joined("OR", parts)

    def negation(self, of: Condition) -> Negation:
        return Negation(of)

    def compared(self, operand: FieldPath | Call, operator: Token, value: Literal) -> Comparison:
        return Comparison(operand, "!=" if operator == "<>" else str(operator), (value,))

    def like(self, operand: FieldPath | Call, pattern: Token) -> Comparison:
        return Comparison(operand, "LIKE", (self.string(pattern),))

    def is_in(self, operand: FieldPath | Call, members: "tuple[Literal, ...] | Query") -> Comparison:
        return Comparison(operand, "IN", members)

    def is_not_in(self, operand: FieldPath | Call, members: "tuple[Literal, ...] | Query") -> Comparison:
        return Comparison(operand, "NOT IN", members)

    def literals(self, *values: Literal) -> tuple[Literal, ...]:
        return values

    def semi_join(self, query: Query) -> Query:
        return query

    def string(self, text: Token) -> Literal:
        for found in _ESCAPE.finditer(text[1:-1]):
            if len(found[1]) == 1 and found[1] not in _SIMPLE_ESCAPES and found[1] not in _UPPER_ESCAPES:
                raise _BadString(text[1:-1], _place(text))
        return Literal("string", str(text))

    def number(self, text: Token) -> Literal:
        return Literal("number", str(text))

    def instant(self, text: Token) -> Literal:
        return Literal("instant", text.upper())

    def day(self, text: Token) -> Literal:
        return Literal("day", str(text))

    def boolean(self, text: Token) -> Literal:
        return Literal("boolean", text.lower())

    def null(self, _text: Token) -> Literal:
        return Literal("null", "null")

    def period(self, text: Token) -> Literal:
        return Literal("period", text.upper())

    def group_by(self, *paths: Token) -> tuple[FieldPath, ...]:
        return tuple(_path(path) for path in paths)

    def order_by(self, *orderings: Ordering) -> tuple[Ordering, ...]:
        return orderings

    def ordering(self, by: FieldPath | Call, direction: Token | None, nulls: Token | None) -> Ordering:
        return Ordering(by, str(direction).upper() == "DESC", str(nulls).upper() == "LAST")

    def limit(self, count: Token) -> int:
        return int(float(count))

    offset = limit

    def purpose(self, _word: Token) -> None:
        return None

    def query(  # one argument per clause of the grammar
        self,
        items: tuple[Any, ...],
        source: tuple[FieldPath, str | None],
        where: Condition | None,
        group_by: tuple[FieldPath, ...] | None,
        having: Condition | None,
        order_by: tuple[Ordering, ...] | None,
        limit: int | None,
        offset: int | None,
        _purpose: None,
    ) -> Query:
        return Query(items, *source, where, group_by or (), having, order_by or (), limit, offset)

    def start(self, query: Query) -> Query:
        return query


def _path(token: Token) -> FieldPath:
    return FieldPath(tuple(str(token).split(".")), _place(token))
