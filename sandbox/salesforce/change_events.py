"""Change data capture: what a write did to records, as events on the bus, by the transaction that did it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sandbox.common.clock import Clock
from sandbox.common.switches import Switches
from sandbox.salesforce.avro_schemas import CHANGE_TYPES, HEADER, ChangeSchema, change_body, change_schema
from sandbox.salesforce.catalogue import USER_ID
from sandbox.salesforce.event_bus import EventBus
from sandbox.salesforce.schema import SObject

_KINDS = {
    "created": "CREATE", "updated": "UPDATE", "recalculated": "UPDATE", "deleted": "DELETE", "merged": "DELETE", "undeleted": "UNDELETE",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """What one write did to one record: `row` as it is afterwards, `changed` the fields that have another value than before."""

    effect: str
    entity: str
    key: str
    row: Mapping[str, Any]
    changed: frozenset[str] = frozenset()


class ChangeEvents:
    """Publishes the changes of the objects that are selected for it (the switch `change_events_of`)."""

    def __init__(self, bus: EventBus, clock: Clock, switches: Switches) -> None:
        self._bus = bus
        self._clock = clock
        self._switches = switches
        self._schemas: dict[str, tuple[SObject, ChangeSchema]] = {}
        self.origin = ""
        """Of the call that writes at present, as headers of events tell it; empty for what people do."""

    def publish(self, changes: Iterable[Change], objects: Mapping[str, SObject]) -> None:
        """Publish what one transaction did, in its order."""
        transaction, number = str(uuid4()), 0
        for change in changes:
            sobject, kind = objects.get(change.entity.lower()), _KINDS.get(change.effect)
            if sobject is None or kind is None or change.entity not in self._switches["change_events_of"]:
                continue
            number += 1
            names = set(change.changed) if kind == "UPDATE" else (None if kind != "DELETE" else set[str]())
            header = self._header(sobject, [change.key], kind, transaction, number)
            if names is not None and kind == "UPDATE":
                schema = self.schema_of(sobject)
                header["changedFields"] = schema.bitmaps(names)
                header["nulledFields"] = schema.bitmaps({name for name in names if change.row.get(name) is None})
            self._put(sobject, header, change_body(sobject, change.row, names))

    def publish_gap(self, sobject: SObject, kind: str, record_ids: list[str], origin: str = "") -> None:
        """Publish that there were changes which the bus cannot tell: of these records, or of too many to name."""
        if kind not in CHANGE_TYPES:
            raise ValueError(f"{kind} is none of {', '.join(CHANGE_TYPES)}")
        self._put(sobject, self._header(sobject, record_ids, kind, str(uuid4()), 1) | {"changeOrigin": origin}, {})

    def schema_of(self, sobject: SObject) -> ChangeSchema:
        """The schema of an object's changes, with the fields that are seen at present."""
        known = self._schemas.get(sobject.name)
        if known is None or known[0] is not sobject:
            known = self._schemas[sobject.name] = sobject, change_schema(sobject)
        return known[1]

    def _header(
        self, sobject: SObject, record_ids: list[str], kind: str, transaction: str, number: int
    ) -> dict[str, Any]:
        return {
            "entityName": sobject.name, "recordIds": record_ids, "changeType": kind, "changeOrigin": self.origin,
            "transactionKey": transaction, "sequenceNumber": number, "commitTimestamp": int(self._clock.timestamp() * 1000),
            "commitNumber": self._bus.last() + 1, "commitUser": USER_ID, "nulledFields": [], "diffFields": [], "changedFields": [],
        }  # fmt: skip

    def _put(self, sobject: SObject, header: Mapping[str, Any], body: Mapping[str, object]) -> None:
        schema = self.schema_of(sobject)
        self._bus.publish(topic_of(sobject.name), schema, schema.encoded({HEADER: header, **body}))


def topic_of(sobject: str) -> str:
    """The channel of an object's changes."""
    return f"/data/{sobject.removesuffix('__c')}{'__' if sobject.endswith('__c') else ''}ChangeEvent"


def origin_of(version: str, client: str, api: str = "rest") -> str:
    """Where a change comes from, as headers tell it: the API, its version, and the client where one gave its name."""
    return f"com/salesforce/api/{api}/{version}{f';client={client}' if client else ''}"
