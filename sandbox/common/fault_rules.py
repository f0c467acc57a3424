"""Rules of faults: what is to go wrong, with which requests, how often; checked when given, counted when they strike."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SIGN_IN_WORDS = ("oauth2", "token", "openid", "discovery")
"""A rule means the routes of signing in only when its `path` holds one of these."""
_SIGN_IN_PATH = re.compile(r"/oauth2/|/\.well-known/|^/common/discovery/")
_CONTROL = "/_sandbox/"
_BARE_DOLLAR = re.compile(r"(?<!\\)\$(?=\w)")
"""A `$` before a word can never match as an end, so it is meant as it stands: `/data/$batch`, `$skip=20`."""


@dataclass(frozen=True, slots=True)
class Values:
    """The values that a parameter takes: in words, and as a test."""

    described: str
    fits: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_headers(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for pair in value.items() for each in pair)


SECONDS = Values("a number of seconds, 0 or more", lambda value: _is_number(value) and value >= 0)
SECONDS_OR_NULL = Values("a number of seconds or null", lambda value: value is None or SECONDS.fits(value))
STATUS = Values("an HTTP status from 200 to 599", lambda value: _is_whole(value) and 200 <= value <= 599)
GATEWAY_STATUS = Values("502, 503 or 504", lambda value: _is_whole(value) and value in (502, 503, 504))
GATEWAY_STATUS_OR_NULL = Values("502, 503, 504 or null", lambda value: value is None or GATEWAY_STATUS.fits(value))
TRUTH = Values("true or false", lambda value: isinstance(value, bool))
TEXT = Values("a text", lambda value: isinstance(value, str))
HEADERS = Values("an object of texts", _are_headers)
BODY = Values("a text, or JSON of any kind", lambda value: value is not None)
SHARE = Values("a number above 0 and up to 1", lambda value: _is_number(value) and 0 < value <= 1)
COUNTED = Values("a whole number, 1 or more", lambda value: _is_whole(value) and value >= 1)


def one_of(*known: str) -> Values:
    """One of these texts."""
    return Values(" or ".join(map(repr, known)), lambda value: isinstance(value, str) and value in known)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a kind: the values that it takes and the one that it has when not given."""

    values: Values
    default: Any


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault and what can be said about it."""

    name: str
    does: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


_FRAME = {
    "method": Parameter(TEXT, ""),
    "path": Parameter(TEXT, ""),
    "holds": Parameter(TEXT, ""),
    "after": Parameter(Values("a whole number, 0 or more", lambda value: _is_whole(value) and value >= 0), 0),
    "times": Parameter(
        Values("a whole number, 1 or more, or null for no end", lambda value: value is None or COUNTED.fits(value)), 1
    ),
    "rate": Parameter(SHARE, 1.0),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that rules are held against: `target` is `path?query`, decoded; `body` is read only where a rule asks what it holds."""

    request_id: str
    method: str
    path: str
    target: str
    body: bytes = b""


@dataclass(slots=True)
class Rule:
    """One rule with what is left of it. `parameters` has every parameter of its kind.

    `path` is a regular expression for the target of a request; `holds` is a text that stands in its body.
    """

    kind: str
    method: str
    path: str
    holds: str
    after: int
    times: int | None
    rate: float
    parameters: Mapping[str, Any]
    struck: int = 0

    def __post_init__(self) -> None:
        self._pattern = re.compile(_BARE_DOLLAR.sub(r"\\$", self.path))
        self._names_sign_in = any(word in self.path for word in SIGN_IN_WORDS)

    _pattern: re.Pattern[str] = field(init=False, repr=False)
    _names_sign_in: bool = field(init=False, repr=False)

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]

    @property
    def left(self) -> int | None:
        """How many strikes it has left; None when it has no end."""
        return None if self.times is None else self.times - self.struck

    def matches(self, asked: Asked) -> bool:
        """Whether this request is one that the rule means."""
        if self.method not in ("", asked.method) or not self._pattern.search(asked.target):
            return False
        if self.holds.encode() not in asked.body:
            return False
        return self._names_sign_in or not _SIGN_IN_PATH.search(asked.path)

    def as_dict(self) -> dict[str, Any]:
        """As it was given, with what is left and how often it struck."""
        frame = {"kind": self.kind, "method": self.method, "path": self.path, "holds": self.holds}
        counts = {"after": self.after, "times": self.times, "rate": self.rate}
        return frame | counts | dict(self.parameters) | {"left": self.left, "struck": self.struck}


class Rules:
    """The rules of one sandbox in their order, and the generator that decides those with a rate."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self.clear()

    def clear(self) -> None:
        """Forget all rules and counts; the generator begins at seed 0."""
        self._rules: list[Rule] = []
        self._live: list[Rule] = []
        self._struck: Counter[str] = Counter()
        self._seed: int | str = 0
        self.generator = random.Random(0)

    def add(self, wanted: Any) -> int:
        """Add a rule, a list of them, or `{"seed": …, "rules": […]}`; returns how many.

        Raises ValueError with a sentence, and adds nothing, when one of them is not right.
        """
        seed, listed = self._taken_apart(wanted)
        added = [self._rule(each) for each in listed]
        if seed is not None:
            self._seed = seed
            self.generator = random.Random(seed)
        self._rules += added
        self._live += added
        return len(added)

    def striking(
        self, kinds: Collection[str], asked: Asked, suits: Callable[[Rule], bool] | None = None
    ) -> Rule | None:
        """The first rule of these kinds that means the request and is due; its strike is counted.

        `suits` says whether a rule has anything to strike here; where it has not, the request does not count for it.
        """
        if not self._live or asked.path.startswith(_CONTROL):
            return None
        for rule in self._live:
            if rule.kind not in kinds or not rule.matches(asked) or (suits is not None and not suits(rule)):
                continue
            if rule.after > 0:
                rule.after -= 1
                continue
            if rule.rate < 1 and self.generator.random() >= rule.rate:
                continue
            rule.struck += 1
            self._struck[rule.kind] += 1
            if rule.left == 0:
                self._live.remove(rule)
            return rule
        return None

    @property
    def are_waiting(self) -> bool:
        """Whether any rule may still strike."""
        return bool(self._live)

    @property
    def ask_for_bodies(self) -> bool:
        """Whether any rule that may still strike is about what a request's body holds."""
        return any(rule.holds for rule in self._live)

    def as_dict(self) -> dict[str, Any]:
        """The seed, every rule with what is left of it, and the strikes by kind."""
        return {"seed": self._seed, "rules": [rule.as_dict() for rule in self._rules], "struck": dict(self._struck)}

    def _taken_apart(self, wanted: Any) -> tuple[int | None, list[Any]]:
        if isinstance(wanted, list):
            return None, wanted
        if not isinstance(wanted, dict):
            raise ValueError('Send a rule, a list of rules, or {"seed": 7, "rules": […]}.')
        if "kind" in wanted:
            return None, [wanted]
        unknown = sorted(set(wanted) - {"seed", "rules"})
        if unknown or not isinstance(wanted.get("rules", []), list):
            raise ValueError('A rule names its "kind"; several come as {"seed": 7, "rules": […]}.')
        seed = wanted.get("seed")
        if seed is not None and not _is_whole(seed):
            raise ValueError(f"The seed is a whole number, not {seed!r}.")
        return seed, wanted.get("rules", [])

    def _rule(self, wanted: Any) -> Rule:
        if not isinstance(wanted, dict):
            raise ValueError(f"A rule is a JSON object, not {wanted!r}.")
        name = wanted.get("kind")
        if not isinstance(name, str) or name not in self._kinds:
            raise ValueError(f"There is no fault {name!r} here. Known: {', '.join(self._kinds)}.")
        known = {**_FRAME, **self._kinds[name].parameters}
        for given, value in wanted.items():
            if given == "kind":
                continue
            if given not in known:
                raise ValueError(f"The fault {name!r} has no parameter {given!r}. Known: {', '.join(known)}.")
            if not known[given].values.fits(value):
                raise ValueError(
                    f"The parameter {given!r} of {name!r} is {known[given].values.described}, not {value!r}."
                )
        values = {each: wanted.get(each, parameter.default) for each, parameter in known.items()}
        frame = {each: values.pop(each) for each in _FRAME}
        try:
            return Rule(name, parameters=values, **frame)
        except re.error as problem:
            raise ValueError(f"The path {frame['path']!r} is no regular expression: {problem}.") from None
