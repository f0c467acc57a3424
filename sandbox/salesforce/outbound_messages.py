"""Outbound messages of opportunities and accounts that were created or changed: SOAP, at least once, until they are acknowledged.

As a flow with an entry condition would, it leaves out changes of nothing but `ERP_…` fields: those are what an integration writes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from sandbox.common.announcing import Effect, Mishaps, SubscriptionRefusedError, address_of, posted
from sandbox.salesforce.catalogue import ORGANIZATION_ID
from sandbox.salesforce.ids import make_id

OBJECTS = ("Opportunity", "Account")
EFFECTS = ("created", "updated", "recalculated")
WRITTEN_BACK = "ERP_"
NOTIFICATIONS_AT_ONCE = 100
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 60.0
"""The real delays begin with seconds and grow to hours, for 24 hours."""

_OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
_HEADERS = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}


class OutboundMessages:
    """One endpoint: `url`, `key`, and the mishaps `repeats`, `disorder`, `gaps` by `seed`."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        unknown = set(wanted) - {"url", "key", "repeats", "disorder", "gaps", "seed"}
        if unknown:
            raise SubscriptionRefusedError(f"Not known: {sorted(unknown)}.")
        self._address, self._url = address_of(wanted), str(wanted["url"])
        self._mishaps = Mishaps(
            **{name: wanted[name] for name in ("repeats", "disorder", "gaps", "seed") if name in wanted}
        )
        self._pending: list[str] = []
        self._next_s, self._delay_s = 0.0, FIRST_DELAY_S
        self._counts = {"sent": 0, "repeated": 0, "lost": 0, "refused": 0}

    def take(self, effect: Effect) -> None:
        """A record that was created or changed becomes a notification."""
        if effect.get("entity") not in OBJECTS or effect.get("effect") not in EFFECTS:
            return
        fields = effect.get("fields") or []
        if fields and all(name.startswith(WRITTEN_BACK) for name in fields):
            return
        if self._mishaps.strikes("gaps"):
            self._counts["lost"] += 1
            return
        notification = _notification(effect)
        self._pending.insert(0 if self._mishaps.strikes("disorder") else len(self._pending), notification)

    def send(self, now_s: float) -> None:
        """Post what waits, 100 notifications at most; what is not acknowledged is sent again, after a delay that grows."""
        if not self._pending or now_s < self._next_s:
            return
        message = self._pending[:NOTIFICATIONS_AT_ONCE]
        answer = posted(self._address, _envelope(message), _HEADERS)
        if answer is None or answer.status_code != 200 or not _is_acknowledgement(answer.content):
            self._counts["refused"] += 1
            self._next_s, self._delay_s = now_s + self._delay_s, min(self._delay_s * 2, LONGEST_DELAY_S)
            return
        self._counts["sent"] += len(message)
        self._next_s, self._delay_s = 0.0, FIRST_DELAY_S
        if self._mishaps.strikes("repeats"):
            self._counts["repeated"] += len(message)
            posted(self._address, _envelope(message[::-1]), _HEADERS)
        del self._pending[: len(message)]

    def as_json(self) -> dict[str, Any]:
        """The endpoint without its key, and its counts."""
        return {"url": self._url, "waiting": len(self._pending), **self._counts}


def _notification(effect: Effect) -> str:
    stamp = datetime.fromisoformat(str(effect["at"])).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Notification><Id>{make_id('04l', int(effect['seq']))}</Id>"
        f'<sObject xsi:type="sf:{effect["entity"]}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
        f"<sf:Id>{escape(str(effect['key']))}</sf:Id><sf:LastModifiedDate>{stamp}</sf:LastModifiedDate></sObject></Notification>"
    )


def _envelope(notifications: list[str]) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><notifications xmlns="{_OUTBOUND}">'
        f"<OrganizationId>{ORGANIZATION_ID}</OrganizationId><ActionId>{make_id('04k', 1)}</ActionId>"
        '<SessionId xsi:nil="true"/><EnterpriseUrl>https://sandbox.invalid/services/Soap/c/62.0</EnterpriseUrl>'
        "<PartnerUrl>https://sandbox.invalid/services/Soap/u/62.0</PartnerUrl>"
        f"{''.join(notifications)}</notifications></soapenv:Body></soapenv:Envelope>"
    ).encode()


def _is_acknowledgement(body: bytes) -> bool:
    try:
        envelope = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return False
    path = "{http://schemas.xmlsoap.org/soap/envelope/}Body/{%s}notificationsResponse/{%s}Ack"
    return envelope.findtext(path % (_OUTBOUND, _OUTBOUND)) == "true"
