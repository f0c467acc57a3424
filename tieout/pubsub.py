"""What an event of Salesforce's Pub/Sub API says of records: which ones changed, or that nobody can tell which.

Pure: bytes and the schema that they were written with become hints. Of a change event its header is read and nothing else; values, names of people
among them, are not even decoded. Source: Salesforce, *Change Data Capture Developer Guide* and *Pub/Sub API Developer Guide*.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import fastavro
import orjson

from tieout.contract import Contracts
from tieout.errors import RecordError
from tieout.events import Entity, Hint
from tieout.soql import is_id

LARGEST_EVENT_BYTES = 1024 * 1024
"""The limit of the API."""
LARGEST_SCHEMA_BYTES = 4 * 1024 * 1024
LONGEST_BITMAP = 1000
"""Characters: four fields each, and an object has 900 at most."""
MOST_RECORDS = 1000
"""Records that one event may name; beyond it one run of the main job is quicker than to follow each."""

HEADER = "ChangeEventHeader"
OVERFLOW = "GAP_OVERFLOW"
_OBJECTS: Mapping[str, Entity] = {"Account": "account", "Opportunity": "opportunity"}
_PREFIXES: Mapping[str, Entity] = {"001": "account", "006": "opportunity"}
_STAMPS = frozenset({"CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What decoding bytes that are no record of their schema can end in; fastavro has no error of its own for it.
_UNREADABLE = (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, RecursionError)


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """One event as it came: `id` is the same for repeats, `replay_id` is not."""

    id: str
    replay_id: bytes
    schema_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ourselves:
    """Who we are to Salesforce: the name that our calls give, and the id of the integration user."""

    client: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What an event comes to. `unknown` says why a run of the main job is needed, where it does not tell which records changed."""

    hints: tuple[Hint, ...] = ()
    unknown: str = ""


NOTHING = Heard()


@dataclass(frozen=True, slots=True)
class EventSchema:
    """The schema that events were written with. `fields` are the record's own by position, `parts` those of compound fields."""

    name: str
    fields: tuple[str, ...]
    parts: Mapping[int, tuple[str, ...]]
    is_change: bool
    _reading: Any

    @classmethod
    def of(cls, text: str) -> "EventSchema":
        """Read a schema; RecordError for what is none of an event."""
        try:
            if len(text) > LARGEST_SCHEMA_BYTES:
                raise ValueError("it is too large")
            schema = orjson.loads(text)
            declared = schema["fields"]
            names = tuple(str(each["name"]) for each in declared)
            is_change = bool(names) and names[0] == HEADER
            # Avro has no separators: whoever leaves out later fields reads the earlier ones all the same.
            read = {**schema, "fields": declared[:1]} if is_change else schema
            return cls(str(schema["name"]), names, dict(_compounds(declared)), is_change, fastavro.parse_schema(read))
        except (*_UNREADABLE, AttributeError) as problem:
            raise RecordError(f"The schema of an event cannot be used ({type(problem).__name__}).") from None

    def read(self, payload: bytes) -> dict[str, Any]:
        """The header of a change event, or all of a platform event; RecordError for bytes that are none."""
        if len(payload) > LARGEST_EVENT_BYTES:
            raise RecordError(f"An event of {self.name} has {len(payload):,} bytes; {LARGEST_EVENT_BYTES:,} are taken.")
        try:
            record: Any = fastavro.schemaless_reader(BytesIO(payload), self._reading, None)
            found: dict[str, Any] = record[HEADER] if self.is_change else record
        except _UNREADABLE as problem:
            raise RecordError(f"An event of {self.name} does not fit its schema ({type(problem).__name__}).") from None
        if not isinstance(found, dict):
            raise RecordError(f"An event of {self.name} is no record.")
        return found

    def names_of(self, bitmaps: Sequence[str]) -> set[str]:
        """The fields that bitmaps name, parts of compound fields by their whole name (`BillingCity`); RecordError for what is no bitmap.

        A bitmap is hexadecimal, its lowest bit the field at position 0. `P-0x…` is about the parts of the field at position P, whose own
        bit may be set or not; where only that one is set, every part has changed.
        """
        named: set[str] = set()
        within = {place: bits for place, bits in map(_bits, bitmaps) if place is not None}
        for place, bits in map(_bits, bitmaps):
            if place is not None:
                prefix, parts = self._compound(place)
                named.update(f"{prefix}{parts[each]}" for each in bits if each < len(parts))
                continue
            for each in bits:
                if each >= len(self.fields):
                    continue
                named.add(self.fields[each])
                if each not in within and each in self.parts:
                    prefix, parts = self._compound(each)
                    named.update(prefix + part for part in parts)
        return named

    def _compound(self, place: int) -> tuple[str, tuple[str, ...]]:
        name = self.fields[place] if place < len(self.fields) else ""
        return name.removesuffix("Address") if name.endswith("Address") else "", self.parts.get(place, ())


def heard(event: ReceivedEvent, schema: EventSchema, us: Ourselves, watched: Mapping[str, Collection[str]]) -> Heard:
    """What an event comes to for us, with the fields that contracts read of each object (`watched`).

    Our own changes come to nothing, and so do updates of no field that is read. RecordError for bytes that are no event.
    """
    record = schema.read(event.payload)
    return _of_change(event, schema, record, us, watched) if schema.is_change else _of_platform_event(event, record, us)


def watched_fields(contracts: Contracts) -> dict[str, frozenset[str]]:
    """The fields that are read of each object of Salesforce, without its stamps."""
    tables = contracts.tables("salesforce")
    return {table.source: frozenset(each.name for each in table.columns) - _STAMPS for table in tables}


def _of_change(
    event: ReceivedEvent,
    schema: EventSchema,
    header: Mapping[str, Any],
    us: Ourselves,
    watched: Mapping[str, Collection[str]],
) -> Heard:
    name, kind = str(header.get("entityName", "")), str(header.get("changeType", ""))
    entity = _OBJECTS.get(name)
    if entity is None or _client_of(str(header.get("changeOrigin", ""))) == us.client:
        return NOTHING
    keys = [str(each) for each in header.get("recordIds") or ()]
    if kind == OVERFLOW or not keys or len(keys) > MOST_RECORDS or not all(map(is_id, keys)):
        # More than 100,000 changes at once, a wildcard (`001*`), or no id at all.
        return Heard(unknown=f"{name} {kind}: the event does not name the records")
    if kind == "UPDATE" and name in watched:
        changed = schema.names_of(header.get("changedFields") or ())
        if changed and changed.isdisjoint(watched[name]):
            return NOTHING
    at = _instant(header.get("commitTimestamp"))
    told = f"{name} {kind}"
    return Heard(tuple(Hint("salesforce", f"{event.id}/{key}", told, entity, key, changed_at=at) for key in keys))


def _of_platform_event(event: ReceivedEvent, record: Mapping[str, Any], us: Ourselves) -> Heard:
    """Every id of an account or an opportunity in it is a record to look at."""
    if us.user_id and record.get("CreatedById") == us.user_id:
        return NOTHING
    at, hints = _instant(record.get("CreatedDate")), dict[str, Hint]()
    for name, value in record.items():
        if name != "CreatedById" and isinstance(value, str) and is_id(value) and value[:3] in _PREFIXES:
            hints[value] = Hint(
                "salesforce", f"{event.id}/{value}", "platform event", _PREFIXES[value[:3]], value, changed_at=at
            )
    return Heard(tuple(hints.values()))


def _client_of(origin: str) -> str:
    """The client in `com/salesforce/api/rest/62.0;client=NAME`; empty where none gave its name."""
    options = (each.strip().partition("=") for each in origin.split(";")[1:])
    return next((value for name, _, value in options if name == "client"), "")


def _compounds(declared: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Positions and parts of the fields that are records, which a schema may define once and name afterwards."""
    known: dict[str, tuple[str, ...]] = {}
    for place, field in enumerate(declared):
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
        for kind in kinds:
            if isinstance(kind, dict) and kind.get("type") == "record":
                known[str(kind["name"])] = tuple(str(each["name"]) for each in kind["fields"])
                yield place, known[str(kind["name"])]
            elif isinstance(kind, str) and kind.rpartition(".")[2] in known:
                yield place, known[kind.rpartition(".")[2]]


def _bits(bitmap: str) -> tuple[int | None, list[int]]:
    place, separator, digits = bitmap.rpartition("-")
    try:
        if len(bitmap) > LONGEST_BITMAP:
            raise ValueError("it is too long")
        bits = int(digits, 16)
        parent = int(place) if separator else None
    except ValueError:
        raise RecordError(f"{bitmap[:40]!r} is no bitmap of fields.") from None
    return parent, [each for each in range(bits.bit_length()) if bits >> each & 1]


def _instant(milliseconds: object) -> datetime | None:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds) if isinstance(milliseconds, int) else None
    except OverflowError:
        return None
