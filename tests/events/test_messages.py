"""What a message of D365 or Salesforce is taken for."""

import json
from datetime import UTC, datetime

import pytest

from tests.events.messages import (
    ACCOUNT,
    OPPORTUNITY,
    ORGANIZATION,
    a_business_event,
    a_handshake,
    a_notification,
    an_outbound_message,
    in_event_grid,
)
from tieout.errors import RecordError
from tieout.events import Handshake, Hint, d365_message, outbound_message

AT = datetime(2026, 7, 30, 9, 57, 18, tzinfo=UTC)


def body_of(**changes: object) -> bytes:
    return json.dumps(a_business_event(**changes)).encode()


def test_a_business_event_names_its_order_and_nothing_else_of_it() -> None:
    [hint] = d365_message(body_of())  # type: ignore[misc]

    assert hint == Hint(
        "d365",
        "7b4c0f0e-0b3e-4c5e-9c5a-2a4d1f0e9a11",
        "SalesInvoicePostedBusinessEvent",
        "sales_order",
        "001234",
        "usmf",
        AT,
    )
    assert "US-001" not in json.dumps(hint.as_json())


def test_event_grid_delivers_several_at_once() -> None:
    hints = d365_message(in_event_grid(a_business_event(), a_business_event(EventId="E-2", SalesId="001235")))

    assert [hint.key for hint in hints] == ["001234", "001235"]  # type: ignore[union-attr]


def test_the_handshake_of_event_grid_is_told_from_events() -> None:
    assert d365_message(a_handshake("code-1")) == Handshake("code-1")


def test_an_event_of_own_making_may_name_the_order_as_odata_does() -> None:
    [hint] = d365_message(body_of(SalesId=None, SalesOrderNumber="T-1"))  # type: ignore[misc]

    assert hint.key == "T-1"


def test_an_event_that_is_about_no_order_is_left_out() -> None:
    assert d365_message(body_of(SalesId=None)) == ()


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"EventTimeIso8601": None}, AT),
        ({"EventTimeIso8601": None, "EventTime": "/Date(999999999999999)/"}, None),
        ({"EventTimeIso8601": "yesterday", "EventTime": 5}, None),
    ],
)
def test_the_time_of_an_event_is_no_reason_to_refuse_it(changes: dict[str, object], at: datetime | None) -> None:
    [hint] = d365_message(body_of(**changes))  # type: ignore[misc]

    assert hint.changed_at == at


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"17", "neither a business event nor an array"),
        (b"[]", "neither a business event nor an array"),
        (b"[17]", "no JSON object"),
        (b'[{"eventType": "x"}]', "no `data`"),
        (body_of(EventId=None), "no EventId"),
        (body_of(EventId={"a": 1}), "no EventId"),
        (body_of(BusinessEventId=""), "no BusinessEventId"),
        (body_of(LegalEntity=None, BusinessEventLegalEntity=None), "no LegalEntity"),
        (body_of(LegalEntity=7), "no LegalEntity"),
        (body_of(SalesId="T-" + "9" * 500), "key has 502 characters"),
        (body_of(SalesId="T-\u0000"), "unprintable"),
        (body_of(SalesId="T-*"), r"holds a '\*'"),
    ],
)
def test_what_is_no_message_of_d365_is_refused_with_a_reason(body: bytes, problem: str) -> None:
    with pytest.raises(RecordError, match=problem):
        d365_message(body)


def test_an_outbound_message_names_what_changed() -> None:
    message = outbound_message(
        an_outbound_message(
            a_notification(1),
            a_notification(
                2,
                "OpportunityLineItem",
                f"<sf:Id>00k8d00000AbCdEAAV</sf:Id><sf:OpportunityId>{OPPORTUNITY}</sf:OpportunityId>",
            ),
            a_notification(
                3,
                "Account",
                f"<sf:Id>{ACCOUNT}</sf:Id><sf:Name>Zwiebelfisch</sf:Name><sf:SystemModstamp>2026-07-30T09:57:18.000Z</sf:SystemModstamp>",
            ),
            a_notification(4, "Contact", "<sf:Id>0038d00000AbCdEAAV</sf:Id>"),
        )
    )

    assert [(hint.entity, hint.key) for hint in message.hints] == [
        ("opportunity", OPPORTUNITY),
        ("opportunity", OPPORTUNITY),
        ("account", ACCOUNT),
    ]
    assert message.hints[2].changed_at == AT
    assert "Zwiebelfisch" not in json.dumps([hint.as_json() for hint in message.hints])


@pytest.mark.parametrize(
    ("given", "same"), [(ORGANIZATION, True), (ORGANIZATION[:15], True), ("00D8d000003OtherAAA", False), ("", False)]
)
def test_ids_of_an_organisation_are_the_same_with_and_without_their_check(given: str, same: bool) -> None:
    assert outbound_message(an_outbound_message()).is_from(given) is same


_BOMB = '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;&x;">]>'
_OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not XML"),
        (b"{}", "not XML"),
        (b"<a/>", "no outbound message"),
        (an_outbound_message(before=_BOMB), "not XML that is taken"),
        (an_outbound_message(before=_OUTSIDE), "not XML that is taken"),
        (an_outbound_message().replace(b"UTF-8", b"no-such-code"), "not XML that is taken"),
        (an_outbound_message("<Notification><Id>04l1</Id></Notification>"), "no sObject"),
        (an_outbound_message(a_notification(fields="<sf:StageName>Closed Won</sf:StageName>")), "no Id of 18"),
        (an_outbound_message(a_notification(fields="<sf:Id>0068d00000AbCdEAAA</sf:Id>")), "no Id of 18"),
        (an_outbound_message(a_notification().replace("<Id>04l8d00000HAUK0001</Id>", "")), "without an id"),
    ],
)
def test_what_is_no_outbound_message_is_refused_with_a_reason(body: bytes, problem: str) -> None:
    with pytest.raises(RecordError, match=problem):
        outbound_message(body)
