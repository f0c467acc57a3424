"""Avro schemas of events, made from the same fields as describe: of changes, and of platform events.

A schema's id is a fingerprint of its text: where a field is added or hidden, later events have another id.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from io import BytesIO
from typing import Any

import fastavro

from sandbox.salesforce import stamps
from sandbox.salesforce.schema import NUMBER_TYPES, Field, SObject

NAMESPACE = "com.sforce.eventbus"
HEADER = "ChangeEventHeader"
CHANGE_TYPES = (
    "CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW", "SNAPSHOT",
)  # fmt: skip
LEFT_OUT = frozenset({"Id", "IsDeleted", "SystemModstamp", "LastViewedDate", "LastReferencedDate"})
"""What no change event tells, beside formula fields."""

_TEXTS = {"type": "array", "items": "string"}
_HEADER_FIELDS: tuple[tuple[str, object], ...] = (
    ("entityName", "string"), ("recordIds", _TEXTS),
    ("changeType", {"type": "enum", "name": "ChangeType", "symbols": list(CHANGE_TYPES)}),
    ("changeOrigin", "string"), ("transactionKey", "string"), ("sequenceNumber", "int"), ("commitTimestamp", "long"),
    ("commitNumber", "long"), ("commitUser", "string"), ("nulledFields", _TEXTS), ("diffFields", _TEXTS), ("changedFields", _TEXTS),
)  # fmt: skip
_FINGERPRINT_BYTES = 16


@dataclass(frozen=True)
class EventSchema:
    """One schema: `id` is what events name, `json` what GetSchema gives."""

    json: str

    @cached_property
    def id(self) -> str:
        digest = hashlib.sha256(self.json.encode()).digest()[:_FINGERPRINT_BYTES]
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    @cached_property
    def _parsed(self) -> Any:
        return fastavro.parse_schema(json.loads(self.json))

    def encoded(self, record: Mapping[str, object]) -> bytes:
        """A record as plain Avro: no header, no container."""
        body = BytesIO()
        fastavro.schemaless_writer(body, self._parsed, record)
        return body.getvalue()

    def is_readable(self, payload: bytes) -> bool:
        """Whether bytes are a record of this schema, all of them."""
        body = BytesIO(payload)
        try:
            fastavro.schemaless_reader(body, self._parsed, None)
        except (EOFError, ValueError, IndexError, UnicodeDecodeError, OverflowError, MemoryError):
            return False
        return body.tell() == len(payload)


@dataclass(frozen=True)
class ChangeSchema(EventSchema):
    """The schema of the changes of one object. `positions` are those of its fields, `parts` of fields inside a compound one."""

    positions: Mapping[str, int]
    parts: Mapping[str, tuple[int, int]]

    def bitmaps(self, names: set[str]) -> list[str]:
        """Names of fields as the header tells them: one bitmap of the record's own fields, and one for each compound field."""
        own = {self.positions[name] for name in names if name in self.positions}
        within: dict[int, set[int]] = {}
        for name in names & set(self.parts):
            parent, place = self.parts[name]
            within.setdefault(parent, set()).add(place)
        told = [_bitmap(own)] if own else []
        return told + [f"{parent}-{_bitmap(places)}" for parent, places in sorted(within.items())]


def change_schema(sobject: SObject) -> ChangeSchema:
    """The schema of an object's changes, with the fields that the running user sees."""
    header = {
        "type": "record", "name": HEADER, "fields": [{"name": name, "type": kind} for name, kind in _HEADER_FIELDS],
    }  # fmt: skip
    fields: list[dict[str, object]] = [{"name": HEADER, "type": header}]
    positions: dict[str, int] = {}
    parts: dict[str, tuple[int, int]] = {}
    address: object = None
    for field in _told(sobject):
        if field.type == "address":
            inner = [each for each in sobject.fields if each.compound == field.name]
            # The type is defined once and named after that, as Avro wants it.
            address = "Address" if address else {
                "type": "record", "name": "Address", "fields": [_optional(_part_name(field, each), each) for each in inner],
            }  # fmt: skip
            fields.append({"name": field.name, "type": ["null", address], "default": None})
            parts |= {each.name: (len(fields) - 1, place) for place, each in enumerate(inner)}
        else:
            fields.append(_optional(field.name, field))
        positions[field.name] = len(fields) - 1
    schema = {"type": "record", "name": f"{sobject.name}ChangeEvent", "namespace": NAMESPACE, "fields": fields}
    return ChangeSchema(json.dumps(schema), positions, parts)


@lru_cache(maxsize=16)
def platform_event_schema(sobject: SObject) -> EventSchema:
    """The schema of a platform event: when and by whom, then its own fields."""
    fields: list[dict[str, object]] = [
        {"name": "CreatedDate", "type": "long"},
        {"name": "CreatedById", "type": "string"},
    ]
    fields += [_optional(each.name, each) for each in sobject.fields]
    return EventSchema(json.dumps({"type": "record", "name": sobject.name, "namespace": NAMESPACE, "fields": fields}))


def change_body(sobject: SObject, row: Mapping[str, Any], names: set[str] | None) -> dict[str, object]:
    """The values of a change: of these fields only, or of all where None."""
    body: dict[str, object] = {}
    for field in _told(sobject):
        if field.type == "address":
            inner = {
                _part_name(field, each): avro_value(each, row.get(each.name))
                for each in sobject.fields
                if each.compound == field.name and (names is None or each.name in names)
            }
            if any(value is not None for value in inner.values()):
                body[field.name] = inner
        elif names is None or field.name in names:
            body[field.name] = avro_value(field, row.get(field.name))
    return body


def avro_value(field: Field, value: Any) -> object:
    """A stored value as an event tells it: dates and instants in milliseconds since 1970, numbers as doubles."""
    if value is None:
        return None
    try:
        match field.type:
            case "boolean":
                return bool(value)
            case "int":
                return int(value)
            case "date":
                day = date.fromisoformat(str(value))
                return _milliseconds(datetime(day.year, day.month, day.day, tzinfo=UTC))
            case "datetime":
                return _milliseconds(stamps.instant_of(str(value)))
            case kind if kind in NUMBER_TYPES:
                return float(value)
    except (ValueError, OverflowError):
        # Seeds hold damaged values, which an event has no way to tell.
        return None
    return str(value)


def _told(sobject: SObject) -> list[Field]:
    return [
        each for each in sobject.fields if each.name not in LEFT_OUT and not each.calculated and each.compound is None
    ]


def _part_name(compound: Field, part: Field) -> str:
    return part.name.removeprefix(compound.name.removesuffix("Address"))


def _optional(name: str, field: Field) -> dict[str, object]:
    kinds = {"boolean": "boolean", "int": "int", "date": "long", "datetime": "long"}
    kind = "double" if field.type in NUMBER_TYPES else kinds.get(field.type, "string")
    return {"name": name, "type": ["null", kind], "default": None}


def _bitmap(places: set[int]) -> str:
    digits = f"{sum(1 << place for place in places):X}"
    return "0x" + digits.zfill(len(digits) + len(digits) % 2)


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
