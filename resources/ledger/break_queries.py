"""Asking the ledger about breaks: pages of a list, groups, ages; every filter, order and limit is applied by Postgres.

What is asked is a value (`BreakFilter`), so that a page, its export and its counts are about the same breaks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Engine, Select, and_, case, func, or_, select, tuple_

from resources.ledger.breaks import SHOWN, BreakRow
from resources.ledger.tables import break_
from tieout.errors import RecordError

State = Literal["open", "waiting", "accepted", "closed", "all"]
"""`waiting`: open, for a person, and not accepted. `accepted`: open, with a day until which nobody has to look."""

AGES: Mapping[str, tuple[int, int | None]] = {
    "today": (0, 1),
    "2-7 days": (1, 7),
    "8-30 days": (7, 30),
    "31-90 days": (30, 90),
    "over 90 days": (90, None),
}
"""Age bucket → days since the break was first seen: from, and up to but not including."""

SORTS = ("amount", "first_seen", "last_seen", "company", "entity", "label", "field", "cause", "owner", "month", "state")
GROUPS = ("cause", "company", "entity", "field", "owner", "currency", "month", "age")
MOST_GROUPS = 200
_ROWS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class BreakFilter:
    """Which breaks are meant; empty fields do not narrow. `owner` is a person, or `-` for nobody. `search` is looked for in any case."""

    state: State = "open"
    search: str = ""
    entity: str = ""
    company: str = ""
    currency: str = ""
    cause: str = ""
    field: str = ""
    owner: str = ""
    month: str = ""
    age: str = ""

    def __post_init__(self) -> None:
        if self.state not in get_args(State):
            raise RecordError(f"There is no state {self.state!r}. It is one of {', '.join(get_args(State))}.")
        if self.age and self.age not in AGES:
            raise RecordError(f"There is no age {self.age!r}. It is one of {', '.join(AGES)}.")

    def as_query(self) -> dict[str, str]:
        """The fields that narrow, for an address."""
        given = {each.name: str(getattr(self, each.name)) for each in fields(self)}
        return {name: value for name, value in given.items() if value and (name, value) != ("state", "open")}


@dataclass(frozen=True, slots=True)
class BreakGroup:
    """Breaks that share a value. `money`: currency → the sum of their amounts."""

    value: str
    breaks: int
    waiting: int
    money: Mapping[str, Decimal]


class BreakQueries:
    """Reading breaks in any number, one page at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self,
        wanted: BreakFilter,
        *,
        sort: str = "amount",
        descending: bool = True,
        offset: int = 0,
        limit: int = 50,
        today: date | None = None,
    ) -> list[BreakRow]:
        """One page, in an order that is the same each time; breaks without the value come last."""
        # The place in the list is found in the index alone; only the rows of the page are read.
        ordered = _ordered(sort, descending)
        place = select(break_.c.identity).where(_where(wanted, today)).order_by(*ordered).offset(offset).limit(limit)
        found = place.subquery()
        query = select(*(break_.c[name] for name in SHOWN)).join(found, found.c.identity == break_.c.identity)
        query = query.order_by(*ordered)
        with self._engine.connect() as connection:
            return [BreakRow(**row) for row in connection.execute(query).mappings()]

    def every(self, wanted: BreakFilter, *, sort: str = "amount", descending: bool = True) -> Iterator[BreakRow]:
        """All pages as of one moment, row by row, never all of them in memory."""
        query = select(*(break_.c[name] for name in SHOWN)).where(_where(wanted, None))
        query = query.order_by(*_ordered(sort, descending)).execution_options(yield_per=_ROWS_AT_ONCE)
        with self._engine.connect() as connection:
            for row in connection.execute(query).mappings():
                yield BreakRow(**row)

    def count(self, wanted: BreakFilter, *, today: date | None = None) -> int:
        """How many there are."""
        with self._engine.connect() as connection:
            counted = connection.execute(select(func.count()).select_from(break_).where(_where(wanted, today)))
            return int(counted.scalar_one())

    def groups(self, wanted: BreakFilter, by: str, *, today: date | None = None) -> list[BreakGroup]:
        """The breaks by a column (or `age`), the largest groups first, MOST_GROUPS at most; money is never added over currencies."""
        if by not in GROUPS:
            raise RecordError(f"Breaks cannot be grouped by {by!r}, but by {', '.join(GROUPS)}.")
        key = _age(today) if by == "age" else break_.c[by]
        waiting = func.count().filter(_where(BreakFilter("waiting"), today))
        query: Select[Any] = (
            select(key.label("value"), break_.c.currency, func.count(), waiting, func.sum(break_.c.amount))
            .where(_where(wanted, today))
            .group_by(key, break_.c.currency)
        )
        found: dict[str, list[Any]] = {}
        with self._engine.connect() as connection:
            for value, currency, breaks, waits, money in connection.execute(query):
                group = found.setdefault(value, [0, 0, {}])
                group[0] += breaks
                group[1] += waits
                if money:
                    group[2][currency] = money
        ordered = sorted(found.items(), key=lambda each: (-each[1][0], each[0]))[:MOST_GROUPS]
        return [BreakGroup(value, breaks, waits, money) for value, (breaks, waits, money) in ordered]

    def ages_by_cause(self, *, today: date | None = None) -> list[tuple[str, str, int]]:
        """(age bucket, cause, open breaks), for the picture of what waits how long."""
        age = _age(today)
        query = select(age, break_.c.cause, func.count()).where(break_.c.state == "open").group_by(age, break_.c.cause)
        with self._engine.connect() as connection:
            found = [(row[0], row[1], int(row[2])) for row in connection.execute(query)]
        order = list(AGES)
        return sorted(found, key=lambda each: (order.index(each[0]), each[1]))

    def choices(self, columns: Sequence[str]) -> dict[str, list[str]]:
        """The values of each column among open breaks, for lists to choose from; one pass for all of them, MOST_GROUPS of each at most."""
        named = [break_.c[name] for name in columns]
        query = (
            select(*named)
            .where(break_.c.state == "open")
            .group_by(func.grouping_sets(*(tuple_(each) for each in named)))
        )
        found: dict[str, set[str]] = {name: set() for name in columns}
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                for name, value in zip(columns, row, strict=True):
                    if value:
                        found[name].add(value)
        return {name: sorted(values)[:MOST_GROUPS] for name, values in found.items()}

    def of_record(self, *, salesforce_key: str = "", d365_key: str = "", company: str = "") -> list[BreakRow]:
        """Every break of one record, open ones first."""
        keys = []
        if salesforce_key:
            keys.append(break_.c.salesforce_key == salesforce_key)
        if d365_key:
            keys.append(and_(break_.c.d365_key == d365_key, break_.c.company == company))
        if not keys:
            return []
        query = select(*(break_.c[name] for name in SHOWN)).where(or_(*keys))
        query = query.order_by(break_.c.state.desc(), break_.c.last_seen.desc(), break_.c.identity).limit(MOST_GROUPS)
        with self._engine.connect() as connection:
            return [BreakRow(**row) for row in connection.execute(query).mappings()]


def _ordered(sort: str, descending: bool) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    if sort not in SORTS:
        raise RecordError(f"Breaks cannot be sorted by {sort!r}, but by {', '.join(SORTS)}.")
    column: ColumnElement[Any] = break_.c[sort]
    # Postgres walks an index only in the order that it has; the first one is that of ix_break_state_amount.
    return (column.desc().nulls_last() if descending else column.asc().nulls_last()), break_.c.identity


def _where(wanted: BreakFilter, today: date | None) -> ColumnElement[bool]:
    day = today or datetime.now(UTC).date()
    is_open = break_.c.state == "open"
    is_accepted = func.coalesce(break_.c.accepted_until >= day, False)
    tests: list[ColumnElement[bool]] = {
        "open": [is_open],
        "waiting": [is_open, break_.c.needs_a_person, ~is_accepted],
        "accepted": [is_open, is_accepted],
        "closed": [break_.c.state == "closed"],
        "all": [],
    }[wanted.state]
    for name in ("entity", "company", "currency", "cause", "field", "month"):
        if value := getattr(wanted, name):
            tests.append(break_.c[name] == value)
    if wanted.owner:
        tests.append(break_.c.owner == ("" if wanted.owner == "-" else wanted.owner))
    if wanted.age:
        tests.append(_age(day) == wanted.age)
    if words := wanted.search.strip():
        tests.append(break_.c.searched.contains(func.lower(_escaped(words)), escape="\\"))
    return and_(*tests) if tests else break_.c.identity.is_not(None)


def _escaped(words: str) -> str:
    """Percent signs and underscores as they are, not as patterns."""
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _age(today: date | None) -> ColumnElement[str]:
    """The age bucket, by whole days in UTC."""
    day = today or datetime.now(UTC).date()
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    whens = [
        (break_.c.first_seen >= midnight - timedelta(days=days - 1), name)
        for name, (_, days) in AGES.items()
        if days is not None
    ]
    return case(*whens, else_=list(AGES)[-1])
