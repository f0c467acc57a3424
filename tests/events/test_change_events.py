"""What an event of the Pub/Sub API is taken for, from its bytes and its schema alone."""

import contextlib
import json
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.listening import is_wanted
from tests.events.messages import ACCOUNT, OPPORTUNITY
from tieout.contract import Contracts
from tieout.errors import ConfigurationError, RecordError
from tieout.pubsub import MOST_RECORDS, EventSchema, Ourselves, ReceivedEvent, heard, watched_fields
from tieout.settings import Settings

US = Ourselves("tieout", "0058d0000000001AAA")
TEXTS = {"type": "array", "items": "string"}
CHANGE_TYPES = ["CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_OVERFLOW"]
HEADER = [
    {"name": "entityName", "type": "string"},
    {"name": "recordIds", "type": TEXTS},
    {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": CHANGE_TYPES}},
    {"name": "changeOrigin", "type": "string"},
    {"name": "transactionKey", "type": "string"},
    {"name": "sequenceNumber", "type": "int"},
    {"name": "commitTimestamp", "type": "long"},
    {"name": "commitNumber", "type": "long"},
    {"name": "commitUser", "type": "string"},
    *({"name": name, "type": TEXTS} for name in ("nulledFields", "diffFields", "changedFields")),
]
PARTS = [{"name": name, "type": ["null", "string"], "default": None} for name in ("Street", "City", "Country")]


def optional(name: str, kind: object = "string") -> dict[str, object]:
    return {"name": name, "type": ["null", kind], "default": None}


# The positions of Appendix B of the facts: header 0, Name 1, Type 2, BillingAddress 3, Phone 4, … LastModifiedDate 9.
FIELDS = [
    {"name": "ChangeEventHeader", "type": {"type": "record", "name": "ChangeEventHeader", "fields": HEADER}},
    optional("Name"),
    optional("Type"),
    optional("BillingAddress", {"type": "record", "name": "Address", "fields": PARTS}),
    optional("Phone"),
    optional("AnnualRevenue", "double"),
    optional("OwnerId"),
    optional("CreatedDate", "long"),
    optional("CreatedById"),
    optional("LastModifiedDate", "long"),
    optional("LastModifiedById"),
    optional("ShippingAddress", "Address"),
]
SCHEMA = {"type": "record", "name": "AccountChangeEvent", "namespace": "com.sforce.eventbus", "fields": FIELDS}
ACCOUNTS = EventSchema.of(json.dumps(SCHEMA))
EVENT = {
    "type": "record", "name": "Order_Status__e",
    "fields": [{"name": "CreatedDate", "type": "long"}, {"name": "CreatedById", "type": "string"}, optional("Opportunity_Id__c"), optional("Note__c")],
}  # fmt: skip


def an_event(schema: dict[str, Any] = SCHEMA, /, **record: object) -> ReceivedEvent:
    body = BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), record)
    return ReceivedEvent("7b4c0f0e", b"\0\1", "s", body.getvalue())


def a_change(**header: object) -> ReceivedEvent:
    whole = {
        "entityName": "Account", "recordIds": [ACCOUNT], "changeType": "UPDATE", "changeOrigin": "com/salesforce/api/rest/62.0;client=else",
        "transactionKey": "t", "sequenceNumber": 1, "commitTimestamp": 1785405438000, "commitNumber": 1, "commitUser": US.user_id,
        "nulledFields": [], "diffFields": [], "changedFields": [],
    }  # fmt: skip
    return an_event(ChangeEventHeader=whole | header, Name="Zwiebelfisch")


def keys_of(event: ReceivedEvent, watched: tuple[str, ...] = ("Name", "BillingCity")) -> list[str]:
    return [hint.key for hint in heard(event, ACCOUNTS, US, {"Account": watched}).hints]


@pytest.mark.parametrize(
    ("bitmaps", "names"),
    [
        ([], set()),
        (["0x0210"], {"Phone", "LastModifiedDate"}),
        (["0x210"], {"Phone", "LastModifiedDate"}),
        (["0x0200", "3-0x02"], {"LastModifiedDate", "BillingCity"}),
        (["0x0208", "3-0x02"], {"LastModifiedDate", "BillingAddress", "BillingCity"}),
        (["0x08"], {"BillingAddress", "BillingStreet", "BillingCity", "BillingCountry"}),
        (["11-0x01"], {"ShippingStreet"}),
        (["0xFF00000000000000000000", "99-0x01", "3-0xF8"], set()),
    ],
)
def test_bitmaps_name_fields(bitmaps: list[str], names: set[str]) -> None:
    assert ACCOUNTS.names_of(bitmaps) == names


def test_the_bitmap_of_the_guide() -> None:
    schema = EventSchema("X", tuple(f"F{place}" for place in range(40)), {}, True, None)

    assert schema.names_of(["0x650004E0"]) == {f"F{place}" for place in (5, 6, 7, 10, 24, 26, 29, 30)}


@pytest.mark.parametrize("bitmap", ["", "0x", "zz", "3-", "-0x01", "x-0x01", "0x01-0x02-0x03", "0x" + "F" * 10_000])
def test_what_is_no_bitmap_is_refused(bitmap: str) -> None:
    with pytest.raises(RecordError, match="no bitmap"):
        ACCOUNTS.names_of([bitmap])


@pytest.mark.parametrize(
    ("header", "keys"),
    [
        ({"changedFields": ["0x0202"]}, [ACCOUNT]),
        ({"changedFields": ["0x0210"]}, []),
        ({"changedFields": ["0x0200", "3-0x02"]}, [ACCOUNT]),
        ({"changedFields": ["0x0200", "11-0x02"]}, []),
        ({"changedFields": []}, [ACCOUNT]),
        ({"changeType": "CREATE"}, [ACCOUNT]),
        ({"changeType": "DELETE"}, [ACCOUNT]),
        ({"changeType": "GAP_UPDATE"}, [ACCOUNT]),
        ({"changeOrigin": "com/salesforce/api/rest/62.0;client=tieout"}, []),
        ({"changeOrigin": "com/salesforce/api/rest/62.0;client=tieout2"}, [ACCOUNT]),
        ({"changeOrigin": ""}, [ACCOUNT]),
        ({"entityName": "Contact"}, []),
    ],
)
def test_which_changes_are_a_reason_to_look(header: dict[str, object], keys: list[str]) -> None:
    assert keys_of(a_change(**header)) == keys


@pytest.mark.parametrize(
    "header",
    [
        {"changeType": "GAP_OVERFLOW"},
        {"recordIds": ["001*"]},
        {"recordIds": []},
        {"recordIds": [ACCOUNT, "0018d00000AbCdEAAA"]},
        {"recordIds": [ACCOUNT] * (MOST_RECORDS + 1)},
    ],
)
def test_where_records_are_not_named_a_sweep_is_wanted(header: dict[str, object]) -> None:
    found = heard(a_change(**header), ACCOUNTS, US, {})

    assert found.hints == ()
    assert "does not name the records" in found.unknown


def test_one_change_of_several_records_is_a_hint_for_each() -> None:
    other = "0018d00000AbCdFAAV"
    found = heard(a_change(recordIds=[ACCOUNT, other], changeType="CREATE"), ACCOUNTS, US, {})

    assert [(each.event_id, each.key) for each in found.hints] == [
        (f"7b4c0f0e/{ACCOUNT}", ACCOUNT),
        (f"7b4c0f0e/{other}", other),
    ]
    assert "Zwiebelfisch" not in repr(found)


@pytest.mark.parametrize(
    ("record", "keys"),
    [
        ({"CreatedById": "0058d0000000009AAA", "Opportunity_Id__c": OPPORTUNITY}, [("opportunity", OPPORTUNITY)]),
        ({"CreatedById": US.user_id, "Opportunity_Id__c": OPPORTUNITY}, []),
        ({"CreatedById": "", "Note__c": ACCOUNT}, [("account", ACCOUNT)]),
        ({"CreatedById": "", "Opportunity_Id__c": OPPORTUNITY, "Note__c": OPPORTUNITY}, [("opportunity", OPPORTUNITY)]),
        ({"CreatedById": "", "Opportunity_Id__c": "T-1", "Note__c": None}, []),
    ],
)
def test_a_platform_event_is_about_the_records_whose_ids_it_holds(
    record: dict[str, object], keys: list[tuple[str, str]]
) -> None:
    event = an_event(EVENT, CreatedDate=1785405438000, **record)

    found = heard(event, EventSchema.of(json.dumps(EVENT)), US, {})

    assert [(each.entity, each.key) for each in found.hints] == keys


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "3", '{"fields": [], "name": 3}', '{"type": "record", "name": "x", "fields": 3}',
     '{"type": "record", "name": "x", "fields": [{"name": "a", "type": "nope"}]}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match="schema of an event"):
        EventSchema.of(text)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.binary(max_size=30).map(lambda tail: a_change().payload[:40] + tail))
def test_bytes_of_any_kind_are_read_or_refused(payload: bytes) -> None:
    # Nothing but a refusal with words is raised, whatever the bytes are.
    with contextlib.suppress(RecordError):
        heard(ReceivedEvent("e", b"", "s", payload), ACCOUNTS, US, {})


def test_what_is_watched_are_the_fields_of_the_contracts(contracts: Contracts) -> None:
    watched = watched_fields(contracts)

    assert {"StageName", "AccountId", "Amount"} <= watched["Opportunity"]
    assert "Name" in watched["Account"]
    assert "SystemModstamp" not in watched["Account"] | watched["Opportunity"]


TENANT = {
    "SALESFORCE_INSTANCE_URL": "https://acme.my.salesforce.com",
    "SALESFORCE_CLIENT_ID": "app",
    "SALESFORCE_CLIENT_SECRET": "secret",
}


@pytest.mark.parametrize(
    ("given", "listens"),
    [
        ({}, False),
        ({"SALESFORCE_PUBSUB_ADDRESS": "api.pubsub.salesforce.com:7443"}, True),
        ({"SALESFORCE_PUBSUB_ADDRESS": "http://127.0.0.1:8212"}, True),
        ({"SALESFORCE_PUBSUB_ADDRESS": "http://127.0.0.1:8212", "TIEOUT_SALESFORCE_TOPICS": "none"}, False),
    ],
)
def test_a_tenant_is_listened_to_where_its_address_is_set(given: dict[str, str], listens: bool) -> None:
    assert is_wanted(Settings.from_environment(TENANT | given)) is listens


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"SALESFORCE_PUBSUB_ADDRESS": "api.pubsub.salesforce.com"}, "api.pubsub.salesforce.com:7443"),
        ({"SALESFORCE_PUBSUB_ADDRESS": "host:port"}, "api.pubsub.salesforce.com:7443"),
        ({"SALESFORCE_PUBSUB_ADDRESS": "http://api.pubsub.salesforce.com:7443"}, "this machine only"),
        ({"TIEOUT_SALESFORCE_TOPICS": "Account"}, "AccountChangeEvent"),
        ({"TIEOUT_PUBLISH_ORDER_STATUS": "yes"}, "on or off"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_told(given: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Settings.from_environment(TENANT | given)
