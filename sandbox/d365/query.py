"""Reading: collections in pages, single rows, counts, with `$select`, `$orderby`, `$expand` and `$filter`."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import orjson

from sandbox.common.switches import Switches
from sandbox.d365.addressing import Options
from sandbox.d365.catalogue import COMPANY, Entity, Navigation, Property, catalogue
from sandbox.d365.errors import JSON, Answer, bad_request, no_row, unknown_property_in_url
from sandbox.d365.etag import etag_maker
from sandbox.d365.filtering import Condition, condition_of
from sandbox.d365.store import Store, quoted
from sandbox.d365.values import Stored

_EXPANDED = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Expansion:
    """One navigation to follow, with the properties wanted of its rows (None for all)."""

    way: Navigation
    selected: tuple[str, ...] | None


class Reader:
    """Answers GET requests on entity sets from the store."""

    def __init__(self, store: Store, switches: Switches) -> None:
        self._store = store
        self._switches = switches

    def rows(self, entity: Entity, options: Options, base: str, path: str) -> Answer:
        """One page of a set; `base` is the address that the caller used, `path` the path after it."""
        selected, expansions = _selected(entity, options), _expansions(entity, options)
        condition = self._condition(entity, options)
        top, skip = options.whole_number("$top"), options.whole_number("$skip") or 0
        page: int = self._switches["page_size"]
        limit = page if top is None else min(top, page)
        columns = selected or tuple(entity.properties)
        # One row more than asked for tells whether there is another page.
        found = self._select(entity, columns, expansions, condition, _order(entity, options), limit + 1, skip)
        rows = list(_shaped(entity, columns, found[:limit]))
        for expansion in expansions:
            self._expand(expansion, found[:limit], rows)
        body: dict[str, Any] = {
            "@odata.context": f"{base}/data/$metadata#{entity.set_name}{_shape(selected, expansions)}"
        }
        if options.values.get("$count", "").lower() == "true":
            body["@odata.count"] = self._count(entity, condition)
        body["value"] = rows
        more = _next_query(options, skip, top, page) if len(found) > limit else None
        if more is not None:
            scheme = self._switches["next_link_scheme"]
            host = re.sub(r"^https?", scheme, base) if scheme else base
            body["@odata.nextLink"] = f"{host}{path}?{more}"
        return Answer(200, orjson.dumps(body), {"Content-Type": JSON})

    def row(self, entity: Entity, key: Mapping[str, Stored], options: Options, base: str) -> Answer:
        """One row by key; a row of another company is not there unless `cross-company=true`."""
        selected, expansions = _selected(entity, options), _expansions(entity, options)
        condition = Condition(" AND ".join(f"row.{quoted(name)} = ?" for name in key), list(key.values()))
        columns = selected or tuple(entity.properties)
        found = self._select(entity, columns, expansions, self._in_company(entity, options, condition), "", 1, 0)
        if not found:
            raise no_row()
        rows = list(_shaped(entity, columns, found))
        for expansion in expansions:
            self._expand(expansion, found, rows)
        context = f"{base}/data/$metadata#{entity.set_name}{_shape(selected, expansions)}/$entity"
        return Answer(200, orjson.dumps({"@odata.context": context, **rows[0]}), {"Content-Type": JSON})

    def count(self, entity: Entity, options: Options) -> Answer:
        """The number of rows as plain text."""
        count = self._count(entity, self._condition(entity, options))
        return Answer(200, str(count).encode(), {"Content-Type": "text/plain"})

    def whole_row(self, entity: Entity, rec_id: int, **instead: Stored) -> dict[str, Any]:
        """All properties of one row as they travel, with its ETag; `instead` replaces stored values."""
        found = self._select(entity, tuple(entity.properties), (), Condition("row._rec_id = ?", [rec_id]), "", 1, 0)
        row = next(_shaped(entity, tuple(entity.properties), found))
        row.update(instead)
        return row

    # --- SQL ---------------------------------------------------------------------------------------------------

    def _condition(self, entity: Entity, options: Options) -> Condition:
        text = options.values.get("$filter")
        condition = Condition("1")
        if text is not None:
            condition = condition_of(text, entity, functions_allowed=self._switches["string_functions"])
        return self._in_company(entity, options, condition)

    def _in_company(self, entity: Entity, options: Options, condition: Condition) -> Condition:
        if not entity.is_per_company:
            return condition
        hidden = [str(name).lower() for name in self._switches["hidden_companies"]]
        if hidden:
            places = ", ".join("?" * len(hidden))
            condition = Condition(
                f"({condition.sql}) AND lower(row.{quoted(COMPANY)}) NOT IN ({places})",
                [*condition.parameters, *hidden],
            )
        if options.cross_company:
            return condition
        return Condition(
            f"({condition.sql}) AND row.{quoted(COMPANY)} = ?",
            [*condition.parameters, self._switches["default_company"]],
        )

    def _select(
        self,
        entity: Entity,
        columns: Sequence[str],
        expansions: Sequence[Expansion],
        condition: Condition,
        order: str,
        limit: int,
        skip: int,
    ) -> list[tuple[Any, ...]]:
        """Rows of record id, version, the columns, and behind them what the expansions join on."""
        joined = [name for expansion in expansions for name in expansion.way.on]
        expressions = [_expression(entity.properties[name]) for name in (*columns, *joined)]
        try:
            return self._store.connection.execute(
                f"SELECT row._rec_id, row._rec_version, {', '.join(expressions)} FROM {quoted(entity.set_name)} AS row "
                f"WHERE {condition.sql} ORDER BY {order}row._rec_id LIMIT ? OFFSET ?",
                [*condition.parameters, limit, skip],
            ).fetchall()
        except sqlite3.OperationalError as problem:
            raise bad_request(f"The query is too complex: {problem}.") from problem

    def _count(self, entity: Entity, condition: Condition) -> int:
        sql = f"SELECT count(*) FROM {quoted(entity.set_name)} AS row WHERE {condition.sql}"
        return int(self._store.connection.execute(sql, condition.parameters).fetchone()[0])

    def _expand(self, expansion: Expansion, found: Sequence[tuple[Any, ...]], rows: Sequence[dict[str, Any]]) -> None:
        """Put the related rows of one navigation into the rows that were found."""
        way = expansion.way
        target = catalogue().entities[way.target]
        columns = expansion.selected or tuple(target.properties)
        expressions = ", ".join(_expression(target.properties[name]) for name in columns)
        condition = " AND ".join(f"row.{quoted(theirs)} = ?" for theirs in way.on.values())
        sql = (
            f"SELECT row._rec_id, row._rec_version, {expressions} FROM {quoted(target.set_name)} AS row "
            f"WHERE {condition} ORDER BY row._rec_id"
        )
        # What the expansion joins on stands behind the selected columns.
        width = len(way.on)
        for values, row in zip(found, rows, strict=True):
            related = list(_shaped(target, columns, self._store.connection.execute(sql, values[-width:]).fetchall()))
            row[way.name] = related if way.many else next(iter(related), None)


def _expression(of: Property) -> str:
    column = f"row.{quoted(of.name)}"
    if of.is_key or of.default is None:
        return column
    default = of.default if isinstance(of.default, int) else "'" + of.default.replace("'", "''") + "'"
    return f"COALESCE({column}, {default})"


def _shaped(entity: Entity, columns: Sequence[str], found: Sequence[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Rows as they travel: the ETag first, decimals as the very digits that are stored."""
    etag: Callable[[int, int], str] = etag_maker(entity)
    decimals = [name for name in columns if entity.properties[name].kind == "Decimal"]
    fragment = orjson.Fragment
    for values in found:
        row = {"@odata.etag": etag(values[0], values[1]), **dict(zip(columns, values[2:], strict=False))}
        for name in decimals:
            row[name] = fragment(row[name])
        yield row


# --- options ---------------------------------------------------------------------------------------------------


def _selected(entity: Entity, options: Options) -> tuple[str, ...] | None:
    return _property_list(entity, options.values.get("$select"))


def _property_list(entity: Entity, text: str | None) -> tuple[str, ...] | None:
    if text is None or not text.strip():
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if "*" in names:
        return None
    for name in names:
        if name not in entity.properties and name not in entity.navigation:
            raise unknown_property_in_url(name, entity)
    return tuple(name for name in names if name in entity.properties) or None


def _order(entity: Entity, options: Options) -> str:
    text = options.values.get("$orderby")
    if text is None or not text.strip():
        return ""
    terms = []
    for part in text.split(","):
        name, _, direction = part.strip().partition(" ")
        if name not in entity.properties:
            raise unknown_property_in_url(name, entity)
        if direction.strip() not in ("", "asc", "desc"):
            raise bad_request(f"Syntax error at position {len(name) + 1} in '{text}'.")
        of = entity.properties[name]
        expression = _expression(of)
        if of.kind == "Decimal":
            expression = f"CAST({expression} AS NUMERIC)"
        elif of.kind == "String":
            expression += " COLLATE NOCASE"
        terms.append(f"{expression} {direction.strip()}, ")
    return "".join(terms)


def _expansions(entity: Entity, options: Options) -> tuple[Expansion, ...]:
    """First level only; inside, `$select` and nothing else."""
    text = options.values.get("$expand")
    if text is None or not text.strip():
        return ()
    expansions = []
    for part in re.split(r",(?![^(]*\))", text):
        named = _EXPANDED.fullmatch(part.strip())
        if named is None:
            raise bad_request(f"Syntax error at position 0 in '{part}'.")
        if named[1] not in entity.navigation:
            raise unknown_property_in_url(named[1], entity)
        way = entity.navigation[named[1]]
        inner = dict(parse_qsl((named[2] or "").replace(";", "&"), keep_blank_values=True))
        if "$expand" in inner:
            raise bad_request("The request includes a $expand path which is too deep. The maximum depth allowed is 1.")
        if set(inner) - {"$select"}:
            raise bad_request(f"The query parameter '{min(set(inner) - {'$select'})}' is not supported inside $expand.")
        expansions.append(Expansion(way, _property_list(catalogue().entities[way.target], inner.get("$select"))))
    return tuple(expansions)


def _shape(selected: tuple[str, ...] | None, expansions: Sequence[Expansion]) -> str:
    """The part of the context that names the selected and expanded properties."""
    names = list(selected or ())
    for expansion in expansions:
        if selected:
            names.append(expansion.way.name)
        names.append(f"{expansion.way.name}({','.join(expansion.selected or ())})")
    return f"({','.join(names)})" if names else ""


def _next_query(options: Options, skip: int, top: int | None, page: int) -> str | None:
    """The query of the next page, None when the caller set the end with `$top`.

    The server's own link to all the rest ends in `$skip=…&$top=<page>` in this order, and is followed by another one;
    any other `$top` up to the page size ends the reading there (Microsoft: a full page then means "ask again").
    """
    is_own_link = list(options.values)[-2:] == ["$skip", "$top"] and top == page
    rest = "&".join(
        part
        for part in options.query.split("&")
        if part and unquote_plus(part.partition("=")[0]) not in ("$skip", "$top")
    )
    before = f"{rest}&" if rest else ""
    if top is None or is_own_link:
        return f"{before}$skip={skip + page}&$top={page}"
    if top > page:
        return f"{before}$top={top - page}&$skip={skip + page}"
    return None
