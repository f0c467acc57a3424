"""The text of a `$filter` into a tree: odata-query's grammar, with limits before it and plain sentences for what it refuses."""

from collections.abc import Iterator

from odata_query import ast
from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser
from sly.lex import Token

from desk.feed.problems import FeedProblem, unsupported, wrong

LONGEST_FILTER = 20_000
MOST_TOKENS = 4_000
DEEPEST_FILTER = 40
"""Brackets, functions and negations inside each other; long chains of `and` and `or` are flat."""

_TARGET = "$filter"
_NOT = ast.Identifier("not")


def parsed(text: str) -> ast._Node:
    """The tree of one expression. FeedProblem 400 where it is none or is too large, 501 where it walks along a relation."""
    if len(text) > LONGEST_FILTER:
        raise wrong(f"$filter is longer than {LONGEST_FILTER:,} characters. Ask in several requests.", _TARGET)
    if "\x00" in text:
        raise wrong("$filter holds a NUL character, which no value has.", _TARGET)
    try:
        # Both are made anew: they keep their place in the text, and requests are answered in parallel.
        tree: ast._Node | None = ODataParser().parse(_bounded(ODataLexer().tokenize(text.strip())))
    except FeedProblem:
        raise
    except ODataException as problem:
        raise wrong(_told(problem), _TARGET) from problem
    if tree is None:
        raise wrong("$filter is empty. Leave it out, or write a condition.", _TARGET)
    return tree


def _bounded(tokens: Iterator[Token]) -> Iterator[Token]:
    """The tokens as they come, until there are too many or too many open brackets."""
    depth = 0
    for number, token in enumerate(_as_the_grammar_wants(tokens), 1):
        if number > MOST_TOKENS:
            raise wrong(f"$filter has more than {MOST_TOKENS:,} parts. Ask in several requests.", _TARGET)
        if token.type == "(":
            depth += 1
            if depth > DEEPEST_FILTER:
                raise wrong(f"$filter has more than {DEEPEST_FILTER} brackets inside each other.", _TARGET)
        elif token.type == ")":
            depth -= 1
        elif token.type == "/":
            raise unsupported("Paths in $filter are not supported: rows of the feed have no related rows.", _TARGET)
        yield token


def _as_the_grammar_wants(tokens: Iterator[Token]) -> Iterator[Token]:
    """Two things that OData allows and this grammar does not: `not(…)` without a blank, and a list of one behind `in`."""
    previous: Token | None = None
    items: int | None = None
    for token in tokens:
        if previous is not None:
            if previous.type == "ODATA_IDENTIFIER" and previous.value == _NOT and token.type == "(":
                previous.type, previous.value = "NOT", ast.Not()
            yield previous
            if previous.type == "IN" and token.type == "(":
                items = 1
        if items is not None and token.type in (",", ")"):
            if token.type == ")":
                if items == 1:
                    yield _comma_before(token)
                items = None
            else:
                items += 1
        previous = token
    if previous is not None:
        yield previous


def _comma_before(token: Token) -> Token:
    comma = Token()
    comma.type = comma.value = ","
    comma.lineno, comma.index = token.lineno, token.index
    return comma


def _told(problem: ODataException) -> str:
    token = getattr(problem, "token", None)
    if getattr(problem, "eof", False):
        return "$filter ends too early."
    if isinstance(token, Token):
        return f"$filter cannot be understood from character {token.index + 1} on. Texts stand between single quotes."
    return f"$filter: {str(problem).rstrip('.')}."
