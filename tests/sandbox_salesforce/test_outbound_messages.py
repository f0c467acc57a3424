"""Outbound messages: which changes are told, and that they come again until they are acknowledged."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox_common.listening import Listener, listening
from tests.sandbox_salesforce.running_org import Sandbox
from tieout.events import ACKNOWLEDGEMENT, outbound_message


@pytest.fixture
def listener(org: Sandbox) -> Iterator[Listener]:
    with listening() as heard:
        heard.answer = lambda _: (200, ACKNOWLEDGEMENT)
        yield heard
        org.http.delete(f"{org.url}/_sandbox/subscriptions", timeout=10)


def subscribed(org: Sandbox, **wanted: Any) -> int:
    return int(org.http.post(f"{org.url}/_sandbox/subscriptions", json=wanted, timeout=10).status_code)


def an_account(org: Sandbox, **fields: object) -> str:
    answer = org.call("POST", "sobjects/Account", json={"Name": "Told"} | fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def told(bodies: list[bytes]) -> list[tuple[str, str]]:
    return [(hint.entity, hint.key) for body in bodies for hint in outbound_message(body).hints]


def test_a_record_that_is_created_or_changed_is_told(org: Sandbox, listener: Listener) -> None:
    assert subscribed(org, url=listener.address, key="secret") == 200

    account = an_account(org)
    listener.wait_for(1)
    org.call("PATCH", f"sobjects/Account/{account}", json={"Phone": "1"})

    assert told(listener.wait_for(2)) == [("account", account)] * 2
    assert listener.heard[0][0] == "/?key=secret"


def test_what_an_integration_writes_back_is_not_told(org: Sandbox, listener: Listener) -> None:
    account = an_account(org)
    subscribed(org, url=listener.address)

    org.call("PATCH", f"sobjects/Account/{account}", json={"ERP_Number__c": "usmf/told-1"})
    other = an_account(org, Name="Other")

    assert told(listener.wait_for(1)) == [("account", other)]


@pytest.mark.parametrize(
    "answer",
    [
        (500, b""),
        (204, b""),
        (200, b""),
        (200, b"{}"),
        (200, ACKNOWLEDGEMENT.replace(b"true", b"false")),
        (202, ACKNOWLEDGEMENT),
    ],
)
def test_only_the_exact_acknowledgement_ends_the_repeats(
    org: Sandbox, listener: Listener, answer: tuple[int, bytes]
) -> None:
    listener.answer = lambda _: answer if not listener.heard else (200, ACKNOWLEDGEMENT)
    subscribed(org, url=listener.address)

    account = an_account(org)
    bodies = listener.wait_for(2)
    time.sleep(0.3)

    assert told(bodies) == [("account", account)] * 2
    assert len({re.search(rb"<Notification><Id>(\w+)</Id>", body)[1] for body in bodies}) == 1  # type: ignore[index]
    assert len(listener.heard) == 2


def test_messages_repeat_and_get_lost_as_ordered(org: Sandbox, listener: Listener) -> None:
    subscribed(org, url=listener.address, repeats=1)
    first = an_account(org)
    assert told(listener.wait_for(2)) == [("account", first)] * 2
    org.http.delete(f"{org.url}/_sandbox/subscriptions", timeout=10)
    subscribed(org, url=listener.address, gaps=1)

    an_account(org)
    time.sleep(0.5)

    assert len(listener.heard) == 2
