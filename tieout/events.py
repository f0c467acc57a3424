"""What an event says of a record that has changed: which one, and nothing of what it holds.

Pure: messages of D365 (plain, or through Azure Event Grid) and of Salesforce (outbound messages) become hints. An event may be lost, come
twice or out of order, and its values are those of another moment; so nothing is taken from it but the key by which the record is read again.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from tieout.errors import RecordError
from tieout.soql import is_id

Source = Literal["salesforce", "d365"]
Entity = Literal["opportunity", "account", "sales_order"]

LONGEST_TEXT = 128
"""Characters of an id or a key: an order number has 20, a Salesforce id 18, an EventId 36."""

ORDER_NUMBERS = ("SalesId", "SalesOrderNumber", "SalesOrderId")
"""Properties in which a business event names its order. `SalesId` is that of the standard invoice event; own events may name it as OData does."""

_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")
_FRACTION = re.compile(r"\.(\d{6})\d+")

_SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
_OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
_SOBJECT = "{urn:sobject.enterprise.soap.sforce.com}"
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"

_OBJECTS: Mapping[str, tuple[Entity, str]] = {
    "Opportunity": ("opportunity", "Id"),
    "OpportunityLineItem": ("opportunity", "OpportunityId"),
    "Account": ("account", "Id"),
}
"""Salesforce object → what is read again, and the field that holds its id: a changed line is a changed opportunity."""

ACKNOWLEDGEMENT = (
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>"
)
"""What Salesforce has to be told, with status 200, so that it does not send a message again."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A record that is said to have changed. `key`: Salesforce id, or D365 order number with its `company` in lower case.

    `event_id` tells repeats of one event; `changed_at` is when the sender says that it happened, None where it does not say.
    """

    source: Source
    event_id: str
    kind: str
    entity: Entity
    key: str
    company: str = ""
    changed_at: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("event_id", "kind", "key", "company"):
            value = getattr(self, name)
            if len(value) > LONGEST_TEXT or not value.isprintable():
                raise RecordError(
                    f"The event's {name} has {len(value)} characters or unprintable ones; {LONGEST_TEXT} are taken."
                )
        if not self.event_id or not self.key:
            raise RecordError(
                f"An event without {'an id' if not self.event_id else 'a key'} says nothing. Check what sends it."
            )
        # D365 reads a star in a key as a pattern, so a record of this name can never be asked for.
        if "*" in self.key + self.company:
            raise RecordError("The event's key holds a '*', which no record of ours has.")

    def as_json(self) -> dict[str, str | None]:
        """What the ledger keeps of it: keys and an instant, nothing personal."""
        return {
            "entity": self.entity,
            "key": self.key,
            "company": self.company,
            "changed_at": None if self.changed_at is None else self.changed_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Handshake:
    """Event Grid asks whether this address wants its events; the answer repeats `code`."""

    code: str


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """The hints of one outbound message, and the id of the organisation that sent it."""

    organization_id: str
    hints: tuple[Hint, ...]

    def is_from(self, organization_id: str) -> bool:
        """Whether it says that it comes from this organisation; ids of 15 and of 18 characters are the same."""
        return bool(organization_id) and self.organization_id[:15] == organization_id[:15]


def d365_message(body: bytes) -> Handshake | tuple[Hint, ...]:
    """What came from D365: one business event as its HTTPS endpoint posts it, or an array as Event Grid delivers it.

    Events that name no order are left out. Raises RecordError for anything that is no such message.
    Source: Microsoft Learn, *Business events overview* and *Event Grid: Webhook event delivery*.
    """
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RecordError(f"The message is not JSON ({error}). D365 and Event Grid post JSON.") from None
    if isinstance(message, dict):
        return _found([business_event(message)])
    if not isinstance(message, list) or not message:
        raise RecordError("The message is neither a business event nor an array of Event Grid events.")
    hints: list[Hint | None] = []
    for event in message:
        if not isinstance(event, dict):
            raise RecordError("An event of the array is no JSON object.")
        data = event.get("data")
        if not isinstance(data, dict):
            raise RecordError("An event of the array has no `data`. Choose the Event Grid schema for the subscription.")
        if event.get("eventType") == _VALIDATION:
            return Handshake(_text(data, "validationCode"))
        hints.append(business_event(data))
    return _found(hints)


def business_event(event: Mapping[str, Any]) -> Hint | None:
    """The order that a business event is about; None for one that names no order.

    Raises RecordError where `EventId`, `BusinessEventId` or the company is missing.
    """
    event_id, kind = _text(event, "EventId"), _text(event, "BusinessEventId")
    number = next((value for name in ORDER_NUMBERS if isinstance(value := event.get(name), str) and value), None)
    if number is None:
        return None
    company = event.get("LegalEntity") or event.get("BusinessEventLegalEntity")
    if not isinstance(company, str):
        raise RecordError("The business event names no LegalEntity. A number alone tells no order.")
    return Hint("d365", event_id.lower(), kind, "sales_order", number, company.lower(), _event_time(event))


def outbound_message(body: bytes) -> OutboundMessage:
    """What Salesforce sent: up to 100 notifications, of which those of opportunities, their lines and accounts count.

    Raises RecordError for anything that is no outbound message, a document type included.
    Source: Salesforce, *SOAP API Developer Guide: Outbound Messaging*.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        envelope = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise RecordError(
            f"The message is not XML that is taken ({type(error).__name__}). Salesforce posts SOAP."
        ) from None
    notifications = envelope.find(f"{_SOAP}Body/{_OUTBOUND}notifications")
    if envelope.tag != f"{_SOAP}Envelope" or notifications is None:
        raise RecordError("The message is no outbound message: it has no `notifications`.")
    found = (_notification(each) for each in notifications.findall(f"{_OUTBOUND}Notification"))
    return OutboundMessage(_content(notifications, f"{_OUTBOUND}OrganizationId"), _found(found))


def _notification(notification: Any) -> Hint | None:
    event_id = _content(notification, f"{_OUTBOUND}Id")
    record = notification.find(f"{_OUTBOUND}sObject")
    if record is None:
        raise RecordError("A notification has no sObject.")
    name = record.get(_TYPE, "").rpartition(":")[2]
    if name not in _OBJECTS:
        return None
    entity, field = _OBJECTS[name]
    key = _content(record, f"{_SOBJECT}{field}")
    if not is_id(key):
        raise RecordError(
            f"A notification of {name} has no {field} of 18 characters. Add the field to the outbound message."
        )
    stamp = _content(record, f"{_SOBJECT}SystemModstamp") or _content(record, f"{_SOBJECT}LastModifiedDate")
    return Hint("salesforce", event_id, name, entity, key, changed_at=_instant(stamp))


def _content(element: Any, path: str) -> str:
    text: str = element.findtext(path, default="")
    return text.strip()


def _found(hints: Iterable[Hint | None]) -> tuple[Hint, ...]:
    return tuple(hint for hint in hints if hint is not None)


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not value:
        raise RecordError(f"The event has no {name}. Check that it is sent as D365 and Event Grid send it.")
    return value


def _event_time(event: Mapping[str, Any]) -> datetime | None:
    precise = event.get("EventTimeIso8601")
    if isinstance(precise, str) and (at := _instant(precise)) is not None:
        return at
    match = _DATE.fullmatch(str(event.get("EventTime", "")))
    try:
        return _EPOCH + timedelta(milliseconds=int(match[1])) if match else None
    except OverflowError:
        return None


def _instant(text: str) -> datetime | None:
    """An instant that knows its zone; None for anything else: when something happened is for people, and no reason to refuse an event."""
    try:
        at = datetime.fromisoformat(_FRACTION.sub(r".\1", text))
        return None if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
