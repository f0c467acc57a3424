"""Filters that nobody thought of: those of right types are always answered, all others refused, and no database ever fails."""

import random
from decimal import Decimal
from urllib.parse import quote

import pytest

from desk.feed.functions import FUNCTIONS
from desk.feed.model import ENTITY_SETS, EntitySet
from desk.feed.terms import SORT_OF, Sort
from tests.desk.books import Served, a_break, a_verdict, keep_breaks, keep_verdicts
from tests.desk.test_feed import keep_attempts, keep_tie_out

VALUES: dict[str, list[str]] = {
    "text": ["'a'", "''", "'Ä''%\\'", "'\U0001f4a3'"],
    "number": ["0", "-2.5", "1e-12", "9999999999999999999999", "-9999999999999999999999.999999999999"],
    "truth": ["true", "false"],
    "instant": ["2026-01-31T00:00:00Z", "1000-01-01T00:00:00.123456+14:00", "now()"],
    "day": ["2026-01-31", "9999-12-31"],
}
COMPARED = ["eq", "ne", "lt", "le", "gt", "ge"]


class Filters:
    """Filters of one entity set, made at random from everything that a filter may hold."""

    def __init__(self, entity_set: EntitySet, chance: random.Random) -> None:
        self._chance = chance
        self._properties: dict[str, list[str]] = {sort: [] for sort in VALUES}
        for each in entity_set.properties:
            self._properties[SORT_OF[each.edm]].append(each.name)

    def term(self, sort: Sort, depth: int) -> str:
        """A part of a sort."""
        ways = ["value", *(["property"] * 3 if self._properties[sort] else [])]
        if depth:
            ways += ["call"] * 3 + (["compare"] * 3 + ["among", "both", "not"] if sort == "truth" else [])
        match self._chance.choice(ways):
            case "value":
                return self._chance.choice(VALUES[sort])
            case "property":
                return self._chance.choice(self._properties[sort])
            case "call":
                return self._call(sort, depth - 1)
            case "compare":
                return self._comparison(depth - 1)
            case "among":
                some = self._some_sort()
                values = ",".join(self._chance.choice([*VALUES[some][:2], "null"]) for _ in range(2))
                return f"({self.term(some, depth - 1)} in ({values}))"
            case "not":
                return f"not({self.term('truth', depth - 1)})"
        word = self._chance.choice(["and", "or"])
        return f"({self.term('truth', depth - 1)} {word} {self.term('truth', depth - 1)})"

    def _call(self, sort: Sort, depth: int) -> str:
        fitting = [name for name, function in FUNCTIONS.items() if function.makes == sort]
        if not fitting:
            return self._chance.choice(VALUES[sort])
        name = self._chance.choice(fitting)
        arguments = (self.term(self._chance.choice(sorts), depth) for sorts in FUNCTIONS[name].takes)
        return f"{name}({','.join(arguments)})"

    def _comparison(self, depth: int) -> str:
        sort = self._some_sort()
        operator = self._chance.choice(COMPARED[:2] if sort == "truth" else COMPARED)
        right = "null" if self._chance.random() < 0.15 else self.term(sort, depth)
        return f"({self.term(sort, depth)} {operator} {right})"

    def _some_sort(self) -> Sort:
        return self._chance.choice(list(VALUES))  # type: ignore[return-value]  # the sorts without null


@pytest.fixture
def kept(desk: Served) -> Served:
    keep_breaks(
        desk.desk.ledger, *(a_break(f"b{each}", amount=None if each % 2 else Decimal("5.5")) for each in range(3))
    )
    keep_attempts(desk, 3)
    keep_verdicts(desk.desk.lake, a_verdict(1), a_verdict(2, company=None, month=None))
    keep_tie_out(desk)
    return desk


@pytest.mark.parametrize("name", ENTITY_SETS)
def test_every_filter_of_the_right_types_is_answered(kept: Served, name: str) -> None:
    filters = Filters(ENTITY_SETS[name], random.Random(f"right {name}"))
    refused = {}
    for _ in range(150):
        text = filters.term("truth", 4)
        answer = kept.get(f"/odata/{name}/$count?$filter={quote(text)}")
        if answer.status_code != 200:
            refused[text] = answer.text

    assert refused == {}


@pytest.mark.parametrize("name", ["Breaks", "TieOut"])
def test_every_other_filter_is_refused_or_answered_but_never_fails(kept: Served, name: str) -> None:
    chance = random.Random(f"wrong {name}")
    filters = Filters(ENTITY_SETS[name], chance)
    statuses = set()
    for _ in range(250):
        letters = list(filters.term("truth", 3))
        for _ in range(chance.randint(1, 3)):
            letters[chance.randrange(len(letters))] = chance.choice(
                ["", "'", "(", ")", " ", ",", "1", "e", "/", "\x00", "-"]
            )
        statuses.add(kept.get(f"/odata/{name}/$count?$filter={quote(''.join(letters))}").status_code)

    assert statuses <= {200, 400, 501}
