"""The entities that this D365 publishes: sets, keys, properties, enums, defaults (Microsoft: `$metadata`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

NAMESPACE = "Microsoft.Dynamics.DataEntities"
COMPANY = "dataAreaId"

EMPTY_DATE = "1900-01-01T12:00:00Z"
"""What an empty value of AX type Date looks like: dates travel at noon UTC."""
EMPTY_INSTANT = "1900-01-01T00:00:00Z"
"""What an empty value of AX type UtcDateTime looks like."""
EMPTY_GUID = "00000000-0000-0000-0000-000000000000"

Kind = Literal["String", "Decimal", "Int32", "Int64", "Guid", "DateTimeOffset", "Enum"]
AX_TYPES = {"Decimal": "Real"}
NULL_WITHOUT_RELATED_ROW = "Timezone"
"""Time zones belong to an address; a row without the address answers null."""


@dataclass(frozen=True, slots=True)
class Property:
    """One property of an entity; `default` is the stored value of a row that never had one (text for decimals)."""

    name: str
    kind: Kind
    default: str | int | None
    enum: str | None = None
    is_key: bool = False
    is_utc_date_time: bool = False
    is_required: bool = False
    is_editable: bool = True
    is_set_on_create: bool = True
    max_length: int | None = None

    @property
    def edm_type(self) -> str:
        """The type on the wire, such as `Edm.String` or `Microsoft.Dynamics.DataEntities.NoYes`."""
        return f"{NAMESPACE}.{self.enum}" if self.enum else f"Edm.{self.kind}"

    @property
    def ax_type(self) -> str:
        """The type inside D365, as the metadata annotates it."""
        if self.kind == "DateTimeOffset":
            return "UtcDateTime" if self.is_utc_date_time else "Date"
        return AX_TYPES.get(self.kind, self.kind)


@dataclass(frozen=True, slots=True)
class Navigation:
    """A way from a row to rows of another set: `on` maps own property to theirs."""

    name: str
    target: str
    many: bool
    on: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity set with everything that is known of it."""

    set_name: str
    type_name: str
    aot_name: str
    label: str
    table_label: str
    table_name: str
    key: tuple[str, ...]
    properties: Mapping[str, Property]
    navigation: Mapping[str, Navigation]
    data_sources: tuple[str, ...]
    is_read_only: bool
    hidden: tuple[str, ...] = field(default=())

    @property
    def full_type(self) -> str:
        """The qualified type name."""
        return f"{NAMESPACE}.{self.type_name}"

    @property
    def is_per_company(self) -> bool:
        """Whether rows belong to a company."""
        return COMPANY in self.properties


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All entities by set name, and all enums by name with their members and values."""

    entities: Mapping[str, Entity]
    enums: Mapping[str, Mapping[str, int]]


@cache
def catalogue() -> Catalogue:
    """The catalogue of this package."""
    text = files(__package__).joinpath("catalogue.json").read_text(encoding="utf-8")
    described = json.loads(text)
    enums = described["enums"]
    return Catalogue({name: _entity(name, body, enums) for name, body in described["entities"].items()}, enums)


def _entity(set_name: str, body: Mapping[str, Any], enums: Mapping[str, Mapping[str, int]]) -> Entity:
    kinds: list[tuple[str, Kind, str | None]] = [(name, kind, None) for name, kind in body["key"].items()]
    for kind, names in body["properties"].items():
        if kind == "Enum":
            kinds += [(name, "Enum", enum) for enum, members in names.items() for name in members]
        else:
            kinds += [(name, kind, None) for name in names]
    properties = {name: _property(name, kind, enum, body, enums) for name, kind, enum in kinds}
    return Entity(
        set_name=set_name,
        type_name=body["type"],
        aot_name=body["aot"],
        label=body["label"],
        table_label=body["table"][0],
        table_name=body["table"][1],
        key=tuple(body["key"]),
        properties=properties,
        navigation={
            name: Navigation(name, way["set"], way["many"], way["on"])
            for name, way in body.get("navigation", {}).items()
        },
        data_sources=tuple(body["etag"]),
        is_read_only=body.get("read_only", False),
        hidden=tuple(body.get("hidden", ())),
    )


def _property(
    name: str, kind: Kind, enum: str | None, body: Mapping[str, Any], enums: Mapping[str, Mapping[str, int]]
) -> Property:
    is_utc_date_time = name in body.get("utc_date_time", ())
    not_editable = body.get("not_editable", ())
    default = body.get("defaults", {}).get(name, _empty(kind, enum, is_utc_date_time, enums))
    return Property(
        name,
        kind,
        str(default) if kind == "Decimal" else default,
        enum=enum,
        is_key=name in body["key"],
        is_utc_date_time=is_utc_date_time,
        is_required=name in body.get("required", ()),
        is_editable=name not in not_editable and name not in body["key"],
        is_set_on_create=name not in not_editable or name in body.get("set_on_create", ()),
        max_length=body.get("lengths", {}).get(name),
    )


def _empty(
    kind: Kind, enum: str | None, is_utc_date_time: bool, enums: Mapping[str, Mapping[str, int]]
) -> str | int | None:
    if kind == "Enum":
        if enum is None or enum == NULL_WITHOUT_RELATED_ROW:
            return None
        members = enums[enum]
        return min(members, key=members.__getitem__)
    if kind == "DateTimeOffset":
        return EMPTY_INSTANT if is_utc_date_time else EMPTY_DATE
    return {"String": "", "Guid": EMPTY_GUID}.get(kind, 0)
