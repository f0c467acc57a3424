"""Messages as the systems send them: one factory a kind; a test names only what it is about."""

import json
from typing import Any

OPPORTUNITY = "0068d00000AbCdEAAV"
ACCOUNT = "0018d00000AbCdEAAV"
ORGANIZATION = "00D8d000003xYzEEAU"


def a_business_event(**changes: Any) -> dict[str, Any]:
    """The event of a posted invoice, as D365's HTTPS endpoint posts it."""
    return {
        "BusinessEventId": "SalesInvoicePostedBusinessEvent",
        "BusinessEventLegalEntity": "usmf",
        "ContextRecordSubject": "",
        "ControlNumber": 5637166327,
        "EventId": "7B4C0F0E-0B3E-4C5E-9C5A-2A4D1F0E9A11",
        "EventTime": "/Date(1785405438000)/",
        "EventTimeIso8601": "2026-07-30T09:57:18.0000000Z",
        "InitiatingUserAADObjectId": "{8F1D0000-0000-0000-0000-000000000000}",
        "MajorVersion": 0,
        "MinorVersion": 0,
        "ParentContextRecordSubjects": [],
        "InvoiceAccount": "US-001",
        "InvoiceId": "CIV-000702",
        "SalesId": "001234",
        "InvoiceDate": "/Date(1785369600000)/",
        "InvoiceAmount": 1500.0,
        "LegalEntity": "USMF",
    } | changes


def in_event_grid(*events: dict[str, Any]) -> bytes:
    """Business events as Event Grid delivers them."""
    return json.dumps(
        [
            {
                "id": f"id-{number}",
                "topic": "/subscriptions/x/topics/d365",
                "subject": "",
                "eventType": event.get("BusinessEventId", ""),
                "eventTime": "2026-07-30T09:57:18Z",
                "dataVersion": "1.0",
                "data": event,
            }
            for number, event in enumerate(events)
        ]
    ).encode()


def a_handshake(code: str = "512d38b6-c7b8-40c8-89fe-f46f9e9622b6") -> bytes:
    """What Event Grid sends when a subscription is made."""
    event = {
        "id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66",
        "topic": "/subscriptions/x",
        "subject": "",
        "data": {
            "validationCode": code,
            "validationUrl": "https://rp-eastus2.eventgrid.azure.net/eventsubscriptions/x",
        },
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": "2026-07-30T09:57:18Z",
        "metadataVersion": "1",
        "dataVersion": "1",
    }
    return json.dumps([event]).encode()


def a_notification(
    number: int = 1,
    sobject: str = "Opportunity",
    fields: str = f"<sf:Id>{OPPORTUNITY}</sf:Id><sf:StageName>Closed Won</sf:StageName>",
) -> str:
    """One notification of an outbound message."""
    return (
        f"<Notification><Id>04l8d00000HAUK{number:04d}</Id>"
        f'<sObject xsi:type="sf:{sobject}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">{fields}</sObject></Notification>'
    )


def an_outbound_message(*notifications: str, organization: str = ORGANIZATION, before: str = "") -> bytes:
    """An outbound message, by default with one notification of an opportunity."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
        f'<OrganizationId>{organization}</OrganizationId><ActionId>04k8d0000004C92AAE</ActionId><SessionId xsi:nil="true"/>'
        "<EnterpriseUrl>https://acme.my.salesforce.com/services/Soap/c/62.0/00D8d000003xYzE</EnterpriseUrl>"
        "<PartnerUrl>https://acme.my.salesforce.com/services/Soap/u/62.0/00D8d000003xYzE</PartnerUrl>"
        f"{''.join(notifications or (a_notification(),))}</notifications></soapenv:Body></soapenv:Envelope>"
    ).encode()
