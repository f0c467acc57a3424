"""Platform events: which ones the org has, and publishing them by REST. They are on the event bus and in no table."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from sandbox.salesforce.avro_schemas import avro_value, platform_event_schema
from sandbox.salesforce.catalogue import USER_ID
from sandbox.salesforce.field_values import checked_values
from sandbox.salesforce.ids import make_id
from sandbox.salesforce.org import Org
from sandbox.salesforce.protocol import Answer, Call, json_answer
from sandbox.salesforce.schema import SObject, fields_from

PLATFORM_EVENTS: Mapping[str, SObject] = {
    "ERP_Order_Status__e": SObject(
        "ERP_Order_Status__e", "ERP Order Status", "ERP Order Statuses", "e00",
        fields_from("""
Opportunity_Id__c string(18) R
ERP_Company__c string(4)
ERP_Order_Number__c string(30)
ERP_Order_Status__c string(255)
ERP_Amount__c double(18,2)
ERP_Synced_At__c datetime
"""),
    ),
}  # fmt: skip
"""The org's events by name: what `salesforce/` deploys to a real one."""

_BY_LOWER_NAME = {name.lower(): each for name, each in PLATFORM_EVENTS.items()}


def known(name: str) -> SObject | None:
    """The event of this name; None for any other object."""
    return _BY_LOWER_NAME.get(name.lower())


def topic_of(event: SObject) -> str:
    """The channel of an event."""
    return f"/event/{event.name}"


def published(org: Org, call: Call, event: SObject) -> Answer:
    """`POST sobjects/ERP_Order_Status__e`: 201, with an error that is none, as on a real org."""
    with org.store.transaction():
        publish(org, event, call.json_object())
    number = org.store.next_number(event.name)
    enqueued = {"statusCode": "OPERATION_ENQUEUED", "message": str(uuid4()), "fields": []}
    return json_answer({"id": make_id("e01", number), "success": True, "errors": [enqueued]}, 201)


def publish(org: Org, event: SObject, fields: Mapping[str, Any], user: str = USER_ID) -> str:
    """Put one event on the bus in the name of a user; SalesforceError where a value breaks a rule. Returns its id."""
    values = checked_values(org.store, event, fields, creating=True, objects=org.objects)
    told = {field.name: avro_value(field, values.get(field.name)) for field in event.fields}
    schema = platform_event_schema(event)
    stamped = {"CreatedDate": int(org.clock.timestamp() * 1000), "CreatedById": user}
    return org.bus.publish(topic_of(event), schema, schema.encoded(stamped | told))
