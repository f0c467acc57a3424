"""`$filter` into an SQL condition: grammar, types, wildcards, enum literals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import Any, NoReturn

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from sandbox.d365.catalogue import NAMESPACE, Entity, Navigation, Property, catalogue
from sandbox.d365.errors import bad_request, unknown_property_in_url
from sandbox.d365.store import quoted
from sandbox.d365.values import instant_text

COMPARISONS = {
    "eq": ("=", "Equal"),
    "ne": ("<>", "NotEqual"),
    "gt": (">", "GreaterThan"),
    "ge": (">=", "GreaterThanOrEqual"),
    "lt": ("<", "LessThan"),
    "le": ("<=", "LessThanOrEqual"),
}
ARITHMETIC = {
    "add": ("+", "Add"),
    "sub": ("-", "Subtract"),
    "mul": ("*", "Multiply"),
    "div": ("/", "Divide"),
    "divby": ("/", "Divide"),
    "mod": ("%", "Modulo"),
}
WILDCARDS = {"contains": "%{}%", "startswith": "{}%", "endswith": "%{}"}
BOOLEAN, NUMBER, TEXT, INSTANT, GUID, NULL = (
    "Edm.Boolean",
    "Edm.Decimal",
    "Edm.String",
    "Edm.DateTimeOffset",
    "Edm.Guid",
    "null",
)
LARGEST_WHOLE = 2**63 - 1
END = "$END"
"""The parser's name for the end of the text."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL condition with its parameters."""

    sql: str
    parameters: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Term:
    """An SQL expression of a known type; `column` is the bare column, `literal` the value of a literal."""

    sql: str
    type: str
    parameters: tuple[Any, ...] = ()
    literal: Any = None
    column: str | None = None
    default: Any = None


def condition_of(text: str, entity: Entity, *, functions_allowed: bool) -> Condition:
    """The condition that `$filter=text` stands for. Raises RequestRefusedError for what D365 would not take."""
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as problem:
        raise bad_request(f"Syntax error at position {_position(problem, text)} in '{text}'.") from None
    term = _Reader(entity, functions_allowed).read(tree)
    if term.type != BOOLEAN:
        raise bad_request("The $filter expression must evaluate to a single boolean value.")
    return Condition(term.sql, list(term.parameters))


def _position(problem: UnexpectedInput, text: str) -> int:
    at_end = isinstance(problem, UnexpectedToken) and problem.token.type == END
    return len(text) if at_end or problem.pos_in_stream is None else problem.pos_in_stream


@cache
def _parser() -> Lark:
    grammar = files(__package__).joinpath("filter.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", maybe_placeholders=False)


class _Reader:
    """Walks the tree from the leaves; every method returns one term."""

    def __init__(self, entity: Entity, functions_allowed: bool) -> None:
        self._entity = entity
        self._functions_allowed = functions_allowed

    def read(self, tree: Tree[Token]) -> _Term:
        make: Callable[[Any], _Term] = getattr(self, f"_{tree.data}")
        return make(tree.children)

    # --- literals and columns ----------------------------------------------------------------------------------

    def _string(self, children: list[Token]) -> _Term:
        text = children[0][1:-1].replace("''", "'")
        return _Term("?", TEXT, (text,), literal=text)

    def _enum(self, children: list[Token]) -> _Term:
        qualified, _, member = children[0].partition("'")
        member = member[:-1]
        namespace, _, name = qualified.rpartition(".")
        members = catalogue().enums.get(name) if namespace == NAMESPACE else None
        if members is None:
            raise bad_request(f"The string '{children[0]}' is not a valid enumeration type constant.")
        by_number = {str(number): known for known, number in members.items()}
        member = by_number.get(member, member)
        if member not in members:
            raise bad_request(f"The string '{children[0]}' is not a valid enumeration type constant.")
        return _Term("?", qualified, (member,), literal=member)

    def _instant(self, children: list[Token]) -> _Term:
        return self._moment(children[0], datetime.fromisoformat)

    def _day(self, children: list[Token]) -> _Term:
        return self._moment(children[0], lambda text: datetime.combine(date.fromisoformat(text), datetime.min.time()))

    def _moment(self, text: str, read: Callable[[str], datetime]) -> _Term:
        try:
            moment = instant_text(read(text.upper()))
        except ValueError:
            raise bad_request(f"Unrecognized 'Edm.DateTimeOffset' literal '{text}' in '$filter'.") from None
        return _Term("?", INSTANT, (moment,), literal=moment)

    def _guid(self, children: list[Token]) -> _Term:
        return _Term("?", GUID, (children[0].lower(),), literal=children[0].lower())

    def _number(self, children: list[Token]) -> _Term:
        text = children[0].rstrip("mMdDfFlL")
        is_whole = text.isdigit() and int(text) <= LARGEST_WHOLE
        value = int(text) if is_whole else float(text)
        return _Term("?", NUMBER, (value,), literal=value)

    def _null(self, _children: list[Token]) -> _Term:
        return _Term("NULL", NULL)

    def _boolean(self, children: list[Token]) -> _Term:
        return _Term("1" if children[0] == "true" else "0", BOOLEAN)

    def _path(self, names: list[Token]) -> _Term:
        if len(names) == 1:
            return _column(self._property(self._entity, names[0]), "row")
        if len(names) > 2 or names[0] not in self._entity.navigation:
            raise unknown_property_in_url(names[0], self._entity)
        way = self._entity.navigation[names[0]]
        if way.many:
            raise bad_request(
                f"The parent value for a property access of a property '{names[1]}' is not a single value."
            )
        target = catalogue().entities[way.target]
        return _related(way, _column(self._property(target, names[1]), "related"))

    @staticmethod
    def _property(entity: Entity, name: str) -> Property:
        found = entity.properties.get(str(name))
        if found is None:
            raise unknown_property_in_url(name, entity)
        return found

    # --- what is made of them ----------------------------------------------------------------------------------

    def _grouped(self, children: list[Tree[Token]]) -> _Term:
        inner = self.read(children[0])
        return _Term(f"({inner.sql})", inner.type, inner.parameters, literal=inner.literal)

    def _minus(self, children: list[Tree[Token]]) -> _Term:
        inner = self.read(children[0])
        if inner.type != NUMBER:
            _incompatible(inner, inner, "Negate")
        return _Term(f"-({inner.sql})", NUMBER, inner.parameters)

    def _arithmetic(self, children: list[Any]) -> _Term:
        left, right = self.read(children[0]), self.read(children[2])
        operator, kind = ARITHMETIC[children[1]]
        if left.type != NUMBER or right.type != NUMBER:
            _incompatible(left, right, kind)
        # SQLite would divide whole numbers without a remainder.
        left_sql = f"CAST({left.sql} AS REAL)" if operator == "/" else left.sql
        return _Term(f"({left_sql} {operator} {right.sql})", NUMBER, left.parameters + right.parameters)

    def _compared(self, children: list[Any]) -> _Term:
        left, right = self.read(children[0]), self.read(children[2])
        operator, kind = COMPARISONS[children[1]]
        if NULL in (left.type, right.type):
            return _compared_with_null(left, right, operator, kind)
        if left.type != right.type:
            _incompatible(left, right, kind)
        if left.type.startswith(NAMESPACE) and operator not in ("=", "<>"):
            _incompatible(left, right, kind)
        if left.literal is not None and right.literal is None:
            left, right, operator = right, left, {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(operator, operator)
        if left.type == TEXT and operator in ("=", "<>") and "*" in str(right.literal or ""):
            verb = "LIKE" if operator == "=" else "NOT LIKE"
            return _like(left, verb, str(right.literal).replace("\0", ""), star=True)
        if operator == "=" and left.column and right.literal is not None and right.literal != left.default:
            # The bare column, so that an index can serve; IS, because a row without a value is different, not unknown.
            return _Term(f"{left.column} IS ?", BOOLEAN, right.parameters)
        return _Term(f"{left.sql} {operator} {right.sql}", BOOLEAN, left.parameters + right.parameters)

    def _both(self, children: list[Tree[Token]]) -> _Term:
        return self._joined(children, "AND", "And")

    def _either(self, children: list[Tree[Token]]) -> _Term:
        return self._joined(children, "OR", "Or")

    def _joined(self, children: list[Tree[Token]], word: str, kind: str) -> _Term:
        left, right = self.read(children[0]), self.read(children[1])
        if left.type != BOOLEAN or right.type != BOOLEAN:
            _incompatible(left, right, kind)
        return _Term(f"({left.sql} {word} {right.sql})", BOOLEAN, left.parameters + right.parameters)

    def _negated(self, children: list[Tree[Token]]) -> _Term:
        inner = self.read(children[0])
        if inner.type != BOOLEAN:
            raise bad_request(
                "A unary operator with an incompatible type was detected. "
                f"Found operand type '{inner.type}' for operator kind 'Not'."
            )
        return _Term(f"NOT ({inner.sql})", BOOLEAN, inner.parameters)

    def _call(self, children: list[Any]) -> _Term:
        name = str(children[0])
        arguments = [self.read(child) for child in children[1].children] if len(children) > 1 else []
        if name not in WILDCARDS:
            raise bad_request(
                f"An unknown function with name '{name}' was found. This may also be a function import or a key lookup "
                "on a navigation property, which is not allowed."
            )
        if not self._functions_allowed:
            raise bad_request(f"The function '{name}' is not supported on this entity.")
        if len(arguments) != 2 or [argument.type for argument in arguments] != [TEXT, TEXT]:
            raise bad_request(
                f"No function signature for the function with name '{name}' matches the specified arguments."
            )
        return _like(arguments[0], "LIKE", str(arguments[1].literal), shape=WILDCARDS[name])


def _column(of: Property, alias: str) -> _Term:
    """The column with its default filled in, as text or as a number that SQLite can compare."""
    bare = f"{alias}.{quoted(of.name)}"
    sql = bare if of.is_key or of.default is None else f"COALESCE({bare}, {_literal(of.default)})"
    if of.kind == "Decimal":
        return _Term(f"CAST({sql} AS NUMERIC)", NUMBER)
    if of.kind in ("Int32", "Int64"):
        return _Term(sql, NUMBER, column=bare, default=of.default)
    # COALESCE loses the column's collation, and D365 compares text without regard to case.
    collated = f"{sql} COLLATE NOCASE" if of.kind == "String" else sql
    return _Term(collated, of.edm_type, column=bare, default=of.default)


def _related(way: Navigation, term: _Term) -> _Term:
    joined = " AND ".join(f"related.{quoted(theirs)} = row.{quoted(own)}" for own, theirs in way.on.items())
    sql = f"(SELECT {term.sql} FROM {quoted(way.target)} AS related WHERE {joined})"
    return _Term(sql, term.type, term.parameters)


def _compared_with_null(left: _Term, right: _Term, operator: str, kind: str) -> _Term:
    term = right if left.type == NULL else left
    if operator not in ("=", "<>"):
        _incompatible(left, right, kind)
    return _Term(f"({term.sql}) IS {'' if operator == '=' else 'NOT '}NULL", BOOLEAN, term.parameters)


def _like(text: _Term, verb: str, pattern: str, *, shape: str = "{}", star: bool = False) -> _Term:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if star:
        escaped = escaped.replace("*", "%")
    return _Term(f"{text.sql} {verb} ? ESCAPE '\\'", BOOLEAN, (*text.parameters, shape.format(escaped)))


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _incompatible(left: _Term, right: _Term, kind: str) -> NoReturn:
    raise bad_request(
        "A binary operator with incompatible types was detected. "
        f"Found operand types '{left.type}' and '{right.type}' for operator kind '{kind}'."
    )
