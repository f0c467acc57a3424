"""What a URL under `/data` names: a set, a row by its named key, a count, the metadata, with the query options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qsl, unquote

from sandbox.d365.catalogue import Entity, catalogue
from sandbox.d365.errors import RequestRefusedError, bad_request, no_route
from sandbox.d365.values import Stored, from_wire, instant_from_wire

ROOT = "/data"

KNOWN_OPTIONS = frozenset(
    {"$filter", "$select", "$orderby", "$top", "$skip", "$count", "$expand", "$format", "$apply", "$skiptoken"}
)
"""`$apply` is read and ignored: the caller gets rows that are not aggregated."""

_SEGMENT = re.compile(r"(?P<name>[A-Za-z_]\w*)(?:\((?P<key>.*)\))?", re.DOTALL)
_KEY_PART = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*('(?:[^']|'')*'|[^,']+?)\s*(?:,|$)")


class Target(Enum):
    """The kinds of things that a URL can name."""

    SERVICE = "service document"
    METADATA = "$metadata"
    BATCH = "$batch"
    ROWS = "set"
    ROW = "row"
    COUNT = "$count"


@dataclass(frozen=True, slots=True)
class Address:
    """What is asked for: `entity` is set for rows, row and count, `key` for one row."""

    target: Target
    entity: Entity | None = None
    key: Mapping[str, Stored] | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """The query options of a request, as text; `cross_company` widens from the user's company to all."""

    query: str
    values: Mapping[str, str]

    @property
    def cross_company(self) -> bool:
        """Whether rows of all companies are meant."""
        return self.values.get("cross-company", "").lower() == "true"

    def whole_number(self, name: str) -> int | None:
        """The number after `$top` or `$skip`, None when it is not there."""
        text = self.values.get(name)
        if text is None:
            return None
        if not text.isdigit():
            raise bad_request(
                f"Invalid value '{text}' for {name} query option found. The {name} query option requires a non-negative integer value."
            )
        return int(text)


def address_of(raw_path: str, uri: str) -> Address:
    """What the path (still percent-encoded, from `/data` on) names; `uri` is for the 404's text."""
    if raw_path.rstrip("/") == ROOT:
        return Address(Target.SERVICE)
    if not raw_path.startswith(f"{ROOT}/"):
        raise no_route(uri)
    segments = [unquote(segment) for segment in raw_path[len(ROOT) + 1 :].rstrip("/").split("/")]
    if segments == ["$metadata"]:
        return Address(Target.METADATA)
    if segments == ["$batch"]:
        return Address(Target.BATCH)
    named = _SEGMENT.fullmatch(segments[0])
    entity = catalogue().entities.get(named["name"]) if named else None
    if named is None or entity is None or len(segments) > 2:
        raise no_route(uri)
    if len(segments) == 2:
        if segments[1] == "$count" and named["key"] is None:
            return Address(Target.COUNT, entity)
        raise no_route(uri)
    if named["key"] is None:
        return Address(Target.ROWS, entity)
    return Address(Target.ROW, entity, _key(named["key"], entity, uri))


def options_of(query: str) -> Options:
    """The options of a query string; an option with `$` that D365 does not know is refused."""
    values = dict(parse_qsl(query, keep_blank_values=True))
    for name in values:
        if name.startswith("$") and name not in KNOWN_OPTIONS:
            raise bad_request(f"The query parameter '{name}' is not supported.")
    return Options(query, values)


def _key(text: str, entity: Entity, uri: str) -> dict[str, Stored]:
    """All parts of the key, which must be named; their order is free."""
    parts: dict[str, Stored] = {}
    position = 0
    while position < len(text):
        part = _KEY_PART.match(text, position)
        if part is None or part[1] not in entity.key or part[1] in parts:
            raise no_route(uri)
        parts[part[1]] = _key_value(entity, part[1], part[2], uri)
        position = part.end()
    if set(parts) != set(entity.key):
        raise no_route(uri)
    return parts


def _key_value(entity: Entity, name: str, text: str, uri: str) -> Stored:
    of = entity.properties[name]
    is_quoted = text.startswith("'")
    if is_quoted != (of.kind == "String"):
        raise no_route(uri)
    if is_quoted:
        return text[1:-1].replace("''", "'")
    try:
        return instant_from_wire(of, text) if of.kind == "DateTimeOffset" else from_wire(of, int(text))
    except (ValueError, RequestRefusedError):
        raise no_route(uri) from None
