"""Business events of orders that are confirmed, delivered or invoiced, posted plainly or in the form of Azure Event Grid.

As with the real system an event may come twice, late, out of order or never: three attempts a second apart, then it is given up. Only
`SalesInvoicePostedBusinessEvent` is a name of Microsoft's catalogue; the others stand for events that a site defines.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from sandbox.common.announcing import Effect, Mishaps, SubscriptionRefusedError, address_of, posted

NAMES = {
    "confirm": "SalesOrderConfirmedBusinessEvent",
    "deliver": "SalesPackingSlipPostedBusinessEvent",
    "invoice": "SalesInvoicePostedBusinessEvent",
}
FORMS = ("plain", "event_grid")
ATTEMPTS = 3
BETWEEN_ATTEMPTS_S = 1.0
LONGEST_LATE_S = 5.0
"""An event that is to come after the next one comes at last after this time, where there is no next one."""

_FIRST_CONTROL_NUMBER = 5637144576
_NAMESPACE = uuid.UUID("6f1d8f0e-5b55-4e0b-9d2e-0a4d1f0e9a11")
_JSON = {"Content-Type": "application/json; charset=utf-8"}


class BusinessEvents:
    """One endpoint: `url`, `key`, `form` (plain or event_grid), and the mishaps `repeats`, `disorder`, `gaps` by `seed`."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        unknown = set(wanted) - {"url", "key", "form", "repeats", "disorder", "gaps", "seed"}
        self._form = wanted.get("form", "plain")
        if unknown or self._form not in FORMS:
            raise SubscriptionRefusedError(f"`form` is one of {', '.join(FORMS)}; not known: {sorted(unknown)}.")
        self._address = address_of(wanted)
        self._mishaps = Mishaps(
            **{name: wanted[name] for name in ("repeats", "disorder", "gaps", "seed") if name in wanted}
        )
        self._url = str(wanted["url"])
        self._due: deque[tuple[float, int, dict[str, Any]]] = deque()
        self._late: list[tuple[float, dict[str, Any]]] = []
        self._now_s = 0.0
        self._counts = {"sent": 0, "repeated": 0, "lost": 0}
        if self._form == "event_grid":
            self._shake_hands()

    def take(self, effect: Effect) -> None:
        """A step of an order that is announced becomes an event."""
        step = (effect.get("values") or {}).get("step")
        if effect.get("effect") != "posted" or step not in NAMES:
            return
        event = _business_event(effect, NAMES[step])
        if self._mishaps.strikes("gaps"):
            self._counts["lost"] += 1
            return
        if self._mishaps.strikes("disorder"):
            self._late.append((self._now_s + LONGEST_LATE_S, event))
            return
        self._queue(event)
        for _, late in self._late:
            self._queue(late)
        self._late.clear()

    def send(self, now_s: float) -> None:
        """Post what is due; what nobody took waits a second, three times at most."""
        self._now_s = now_s
        for late in [each for each in self._late if each[0] <= now_s]:
            self._late.remove(late)
            self._queue(late[1])
        for _ in range(len(self._due)):
            due_s, attempt, event = self._due.popleft()
            if due_s > now_s:
                self._due.append((due_s, attempt, event))
                continue
            answer = posted(self._address, self._wrapped(event), _JSON)
            if answer is not None and answer.ok:
                self._counts["sent"] += 1
            elif attempt < ATTEMPTS:
                self._due.append((now_s + BETWEEN_ATTEMPTS_S, attempt + 1, event))
            else:
                self._counts["lost"] += 1

    def as_json(self) -> dict[str, Any]:
        """The endpoint without its key, and its counts."""
        return {"url": self._url, "form": self._form, "waiting": len(self._due) + len(self._late), **self._counts}

    def _queue(self, event: dict[str, Any]) -> None:
        self._due.append((0.0, 1, event))
        if self._mishaps.strikes("repeats"):
            self._counts["repeated"] += 1
            self._due.append((0.0, 1, event))

    def _wrapped(self, event: Mapping[str, Any]) -> bytes:
        if self._form == "plain":
            return orjson.dumps(event)
        grid = {
            "id": event["EventId"],
            "topic": "/subscriptions/sandbox/resourceGroups/sandbox/providers/Microsoft.EventGrid/topics/d365",
            "subject": event["BusinessEventId"],
            "eventType": event["BusinessEventId"],
            "eventTime": event["EventTimeIso8601"],
            "dataVersion": "1.0",
            "metadataVersion": "1",
            "data": event,
        }
        return orjson.dumps([grid])

    def _shake_hands(self) -> None:
        """Event Grid sends nothing to an address that does not repeat its code."""
        code = str(uuid.uuid4()).upper()
        event = {
            "id": str(uuid.uuid4()),
            "topic": "/subscriptions/sandbox",
            "subject": "",
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
            "eventTime": "2026-01-01T00:00:00Z",
            "dataVersion": "1",
            "metadataVersion": "1",
            "data": {"validationCode": code, "validationUrl": ""},
        }
        answer = posted(self._address, orjson.dumps([event]), _JSON | {"aeg-event-type": "SubscriptionValidation"})
        try:
            shaken = answer is not None and answer.ok and answer.json().get("validationResponse") == code
        except (ValueError, AttributeError):
            shaken = False
        if not shaken:
            raise SubscriptionRefusedError(f"{self._url} did not repeat the validation code.")


def _business_event(effect: Effect, name: str) -> dict[str, Any]:
    at = datetime.fromisoformat(str(effect["at"]))
    stamp = f"/Date({round(at.timestamp() * 1000)})/"
    values = effect["values"]
    return {
        "BusinessEventId": name,
        "BusinessEventLegalEntity": effect["company"],
        "ContextRecordSubject": "",
        # It rises, and has gaps: other events have numbers, too.
        "ControlNumber": _FIRST_CONTROL_NUMBER + int(effect["seq"]),
        "EventId": str(uuid.uuid5(_NAMESPACE, f"{effect['seq']} {effect['at']}")).upper(),
        "EventTime": stamp,
        "EventTimeIso8601": at.strftime("%Y-%m-%dT%H:%M:%S.%f0Z"),
        "InitiatingUserAADObjectId": "{00000000-0000-0000-0000-000000000000}",
        "MajorVersion": 0,
        "MinorVersion": 0,
        "ParentContextRecordSubjects": [],
        "SalesId": effect["order"],
        "LegalEntity": effect["company"],
        **({"InvoiceId": values["InvoiceNumber"], "InvoiceDate": stamp} if "InvoiceNumber" in values else {}),
    }
