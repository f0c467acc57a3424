"""What is asked as SQL: the rows of one page behind a place, how many there are in all, one row by its key.

Pages are cut by the values of the last row (keyset), never by counting rows, so that rows which come meanwhile shift nothing.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, func, literal, or_, select

from desk.feed.filters import condition_of
from desk.feed.model import EntitySet
from desk.feed.options import Options, Order


def page_statement(entity_set: EntitySet, options: Options, after: Sequence[Any] | None, rows: int) -> Select[Any]:
    """`rows` rows behind the place `after` (None: from the beginning), with the columns that are shown or ordered by."""
    columns = entity_set.source.c
    shown = options.select or entity_set.properties
    names = dict.fromkeys([each.name for each in shown] + [step.property.name for step in options.order])
    statement = select(*(columns[name] for name in names)).order_by(
        *(_direction(columns[step.property.name], step) for step in options.order)
    )
    if options.filter:
        statement = statement.where(condition_of(entity_set, options.filter))
    if after is not None:
        statement = statement.where(_behind(entity_set, options.order, after))
    if options.skip:
        statement = statement.offset(options.skip)
    return statement.limit(rows)


def count_statement(entity_set: EntitySet, filter_text: str) -> Select[Any]:
    """How many rows a filter lets through, whatever page is asked for."""
    statement = select(func.count()).select_from(entity_set.source)
    return statement.where(condition_of(entity_set, filter_text)) if filter_text else statement


def row_statement(entity_set: EntitySet, key: object) -> Select[Any]:
    """The row with this key, all of its columns."""
    columns = entity_set.source.c
    shown = (columns[each.name] for each in entity_set.properties)
    return select(*shown).where(columns[entity_set.key] == key)


def _direction(column: ColumnElement[Any], step: Order) -> ColumnElement[Any]:
    """A missing value is lower than all others (Protocol 4.0, 11.2.5.2)."""
    if not step.property.nullable:
        # Without a word about nulls, Postgres can walk along the index of the key.
        return column.desc() if step.descending else column.asc()
    return column.desc().nulls_last() if step.descending else column.asc().nulls_first()


def _behind(entity_set: EntitySet, order: Sequence[Order], values: Sequence[Any]) -> ColumnElement[bool]:
    """Rows behind the place: equal in the first steps, further in the next one, for each step."""
    cases: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for step, value in zip(order, values, strict=True):
        column = entity_set.source.c[step.property.name]
        cases.append(and_(*equal, _further(column, step, value)))
        equal.append(column.is_(None) if value is None else column == value)
    return or_(*cases)


def _further(column: ColumnElement[Any], step: Order, value: Any) -> ColumnElement[bool]:
    if value is None:
        return false() if step.descending else column.is_not(None)
    bound = literal(value, column.type)
    if not step.descending:
        return column > bound
    return or_(column < bound, column.is_(None)) if step.property.nullable else column < bound
