"""The functions that a filter may call, each as SQL that Postgres and DuckDB understand alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Date, Integer, Numeric, Text, cast, extract, func

from desk.feed.problems import unsupported, wrong
from desk.feed.terms import Sort, Term, expected


@dataclass(frozen=True, slots=True)
class Function:
    """What it takes, what comes out, and its SQL."""

    takes: Sequence[tuple[Sort, ...]]
    makes: Sort
    sql: Callable[..., ColumnElement[Any]]


def called(name: str, arguments: Sequence[Term]) -> Term:
    """The value of a call. FeedProblem 501 where the feed has no such function, 400 where the arguments do not fit."""
    function = FUNCTIONS.get(name)
    if function is None:
        raise unsupported(f"{name}() is not supported in $filter. There are {', '.join(FUNCTIONS)}.", "$filter")
    if len(arguments) != len(function.takes):
        raise wrong(f"{name}() takes {len(function.takes)} values, not {len(arguments)}.", "$filter")
    for sorts, given in zip(function.takes, arguments, strict=True):
        if given.sort not in sorts:
            raise expected(sorts[0], given, f"{name}()")
    return Term(
        function.makes, function.sql(*(each.sql for each in arguments)), any(each.nullable for each in arguments)
    )


def _part(name: str) -> Function:
    """A part of a day or an instant, counted in UTC whatever the session's zone is."""
    return Function([("instant", "day")], "number", lambda value: extract(name, _in_utc(value)))


def _part_of_time(name: str) -> Function:
    return Function([("instant",)], "number", lambda value: cast(func.floor(extract(name, _in_utc(value))), Integer))


def _in_utc(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return value if isinstance(value.type, Date) else func.timezone("UTC", value)


_TEXT: tuple[Sort, ...] = ("text",)
_NUMBER: tuple[Sort, ...] = ("number",)

FUNCTIONS: Mapping[str, Function] = {
    "contains": Function([_TEXT, _TEXT], "truth", lambda text, part: func.strpos(text, part, type_=Integer) > 0),
    "startswith": Function([_TEXT, _TEXT], "truth", lambda text, part: func.starts_with(text, part, type_=Boolean)),
    "endswith": Function(
        [_TEXT, _TEXT], "truth", lambda text, part: func.right(text, func.length(part), type_=Text) == part
    ),
    "indexof": Function([_TEXT, _TEXT], "number", lambda text, part: func.strpos(text, part, type_=Integer) - 1),
    "length": Function([_TEXT], "number", lambda text: func.length(text, type_=Integer)),
    "tolower": Function([_TEXT], "text", lambda text: func.lower(text, type_=Text)),
    "toupper": Function([_TEXT], "text", lambda text: func.upper(text, type_=Text)),
    "trim": Function([_TEXT], "text", lambda text: func.trim(text, type_=Text)),
    "concat": Function([_TEXT, _TEXT], "text", lambda left, right: left.concat(right)),
    "year": _part("year"),
    "month": _part("month"),
    "day": _part("day"),
    "hour": _part_of_time("hour"),
    "minute": _part_of_time("minute"),
    "second": _part_of_time("second"),
    "date": Function([("instant",)], "day", lambda value: cast(func.timezone("UTC", value), Date)),
    "now": Function([], "instant", func.now),
    "round": Function([_NUMBER], "number", lambda value: func.round(cast(value, Numeric(38, 12)), 0, type_=Numeric)),
    "floor": Function([_NUMBER], "number", lambda value: func.floor(value, type_=Numeric)),
    "ceiling": Function([_NUMBER], "number", lambda value: func.ceil(value, type_=Numeric)),
}
"""Name in OData → function; `$metadata` lists the names."""
