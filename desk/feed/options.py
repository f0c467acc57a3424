"""The part of an address behind the question mark: what is asked of an entity set, checked against its properties."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from desk.feed.model import EntitySet, Property
from desk.feed.problems import unsupported, wrong

MOST_ROWS = 10**12
"""Largest number that `$top` and `$skip` take."""

OF_A_LIST = frozenset({"$filter", "$select", "$orderby", "$top", "$skip", "$count", "$skiptoken", "$format"})
OF_A_ROW = frozenset({"$select", "$format"})
OF_A_COUNT = frozenset({"$filter", "$format"})
_KNOWN_TO_ODATA = frozenset(
    {"$expand", "$apply", "$search", "$compute", "$index", "$levels", "$id", "$deltatoken", "$schemaversion"}
)
_NUMBER = re.compile(r"\d{1,13}", re.ASCII)
_ORDER = re.compile(r"(?P<name>\w+)(?:\s+(?P<way>asc|desc))?", re.ASCII)
_NAME = re.compile(r"\w+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Order:
    """One step of an order."""

    property: Property
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """`filter` is text still; `order` always ends with the key, so that no two rows share a place. `select` is empty for all properties."""

    select: Sequence[Property] = ()
    filter: str = ""
    order: Sequence[Order] = ()
    top: int | None = None
    skip: int = 0
    count: bool = False
    skiptoken: str = ""
    format: str = ""


def options_of(entity_set: EntitySet, query: Iterable[tuple[str, str]], allowed: frozenset[str] = OF_A_LIST) -> Options:
    """The options of a request. FeedProblem 400 where one is wrong, twice there or out of place, 501 where the feed does not do it."""
    given = _given(query, allowed)
    return Options(
        select=_selected(entity_set, given["$select"]) if "$select" in given else (),
        filter=given.get("$filter", ""),
        order=_ordered(entity_set, given.get("$orderby", "")),
        top=_number("$top", given["$top"]) if "$top" in given else None,
        skip=_number("$skip", given.get("$skip", "0")),
        count=_truth("$count", given.get("$count", "false")),
        skiptoken=given.get("$skiptoken", ""),
        format=given.get("$format", ""),
    )


def _given(query: Iterable[tuple[str, str]], allowed: frozenset[str]) -> Mapping[str, str]:
    """The system query options; custom options are for whoever put them there (URL Conventions 4.0, 5.2)."""
    given: dict[str, str] = {}
    for name, value in query:
        if name.startswith("@"):
            raise unsupported("Parameter aliases are not supported.", name[:40])
        if not name.startswith("$"):
            continue
        if name in _KNOWN_TO_ODATA:
            raise unsupported(f"{name} is not supported. There are {', '.join(sorted(OF_A_LIST))}.", name)
        if name not in OF_A_LIST:
            raise wrong(f"There is no option {name[:40]}. There are {', '.join(sorted(OF_A_LIST))}.", name[:40])
        if name not in allowed:
            raise wrong(f"{name} has no meaning at this address.", name)
        if name in given:
            raise wrong(f"{name} is given twice.", name)
        given[name] = value
    return given


def _selected(entity_set: EntitySet, text: str) -> Sequence[Property]:
    names = [name.strip() for name in text.split(",")]
    if "*" in names:
        return ()
    return [_property(entity_set, name, "$select") for name in dict.fromkeys(names)]


def _ordered(entity_set: EntitySet, text: str) -> Sequence[Order]:
    steps: dict[str, Order] = {}
    for part in text.split(",") if text.strip() else ():
        found = _ORDER.fullmatch(part.strip())
        if found is None:
            if _ORDER.match(part.strip()) and "(" in part:
                raise unsupported("Only properties can be ordered by, not what is calculated from them.", "$orderby")
            raise wrong("$orderby is written as `amount desc, company`.", "$orderby")
        each = _property(entity_set, found["name"], "$orderby")
        if each.is_long:
            # The place in the order goes into the address of the next page, which has to stay short.
            raise unsupported(f"{each.name} is a text of any length, and cannot be ordered by.", "$orderby")
        if each.name in steps:
            raise wrong(f"$orderby names {each.name} twice.", "$orderby")
        steps[each.name] = Order(each, found["way"] == "desc")
    steps.setdefault(entity_set.key, Order(entity_set.key_property))
    # Nothing behind the key can change the order.
    names = list(steps)
    return [steps[name] for name in names[: names.index(entity_set.key) + 1]]


def _property(entity_set: EntitySet, name: str, target: str) -> Property:
    if "/" in name or "(" in name:
        raise unsupported("Rows of the feed have no related rows, so there are no paths.", target)
    if not _NAME.fullmatch(name) or name not in entity_set.by_name:
        raise wrong(f"{entity_set.name} has no property {name[:60]!r}.", target)
    return entity_set.by_name[name]


def _number(name: str, text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > MOST_ROWS:
        raise wrong(f"{name} is a whole number from 0 to {MOST_ROWS}.", name)
    return int(text)


def _truth(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise wrong(f"{name} is true or false.", name)
    return text == "true"
