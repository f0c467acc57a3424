"""Business events: what is posted when an order is confirmed, delivered or invoiced, and what becomes of those that nobody takes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.sandbox_common.listening import Listener, listening
from tests.sandbox_d365.environment import Caller, an_order


@pytest.fixture
def listener(d365: Caller) -> Iterator[Listener]:
    with listening() as heard:
        yield heard
        d365.http.delete(f"{d365.process.url}/_sandbox/subscriptions")


@pytest.fixture
def order(d365: Caller, new_number: Callable[[], str]) -> str:
    number = new_number()
    d365.batch(an_order(number, lines=1))
    return number


def subscribed(d365: Caller, **wanted: Any) -> Any:
    return d365.http.post(f"{d365.process.url}/_sandbox/subscriptions", json=wanted)


def counts(d365: Caller) -> dict[str, Any]:
    return dict(d365.http.get(f"{d365.process.url}/_sandbox/subscriptions").json()["subscriptions"][0])


def go(d365: Caller, number: str, *steps: str) -> None:
    for step in steps:
        assert d365.http.post(f"{d365.process.url}/_sandbox/orders/usmf/{number}/{step}").status_code == 200


def shaking_hands(body: bytes) -> tuple[int, bytes]:
    code = json.loads(body)[0]["data"].get("validationCode")
    return 200, json.dumps({"validationResponse": code}).encode() if code else b""


def test_each_step_of_an_order_is_an_event_with_a_rising_number(d365: Caller, listener: Listener, order: str) -> None:
    subscribed(d365, url=listener.address, key="secret one")

    go(d365, order, "confirm", "pick", "deliver", "invoice")
    events = [json.loads(body) for body in listener.wait_for(3)]

    assert [(event["BusinessEventId"], event["SalesId"], event["LegalEntity"]) for event in events] == [
        ("SalesOrderConfirmedBusinessEvent", order, "usmf"),
        ("SalesPackingSlipPostedBusinessEvent", order, "usmf"),
        ("SalesInvoicePostedBusinessEvent", order, "usmf"),
    ]
    assert events[2]["InvoiceId"].startswith("CIV-")
    assert len({event["EventId"] for event in events}) == 3
    assert [event["ControlNumber"] for event in events] == sorted(event["ControlNumber"] for event in events)
    assert listener.heard[0][0] == "/?key=secret+one"


def test_event_grid_shakes_hands_before_it_sends(d365: Caller, listener: Listener, order: str) -> None:
    assert subscribed(d365, url=listener.address, form="event_grid").status_code == 400
    listener.heard.clear()
    listener.answer = shaking_hands
    assert subscribed(d365, url=listener.address, form="event_grid").status_code == 200

    go(d365, order, "confirm")
    [_, body] = listener.wait_for(2)

    [event] = json.loads(body)
    assert event["eventType"] == event["data"]["BusinessEventId"] == "SalesOrderConfirmedBusinessEvent"
    assert event["data"]["SalesId"] == order


def test_what_nobody_takes_is_tried_three_times(d365: Caller, listener: Listener, order: str) -> None:
    listener.answer = lambda _: (503, b"")
    subscribed(d365, url=listener.address)
    began = time.monotonic()

    go(d365, order, "confirm")
    bodies = listener.wait_for(3)

    assert len(set(bodies)) == 1
    assert time.monotonic() - began > 1.9
    until = time.monotonic() + 5
    while not counts(d365)["lost"] and time.monotonic() < until:
        time.sleep(0.05)
    assert (counts(d365)["lost"], counts(d365)["waiting"], len(listener.heard)) == (1, 0, 3)


def test_events_repeat_change_places_and_get_lost_as_ordered(
    d365: Caller, listener: Listener, new_number: Callable[[], str]
) -> None:
    numbers = [new_number() for _ in range(12)]
    for number in numbers:
        d365.batch(an_order(number, lines=1))
    subscribed(d365, url=listener.address, repeats=0.4, disorder=0.4, gaps=0.3, seed=5)

    for number in numbers:
        go(d365, number, "confirm")
    until = time.monotonic() + 30
    while time.monotonic() < until:
        told = counts(d365)
        if told["sent"] - told["repeated"] + told["lost"] == len(numbers) and not told["waiting"]:
            break
        time.sleep(0.05)

    came = [json.loads(body)["SalesId"] for body in listener.wait_for(1)]
    once = list(dict.fromkeys(came))
    assert len(came) > len(once)
    assert len(once) < len(numbers)
    assert once != [number for number in numbers if number in once]
    assert counts(d365)["lost"] == len(numbers) - len(once)


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"url": "ftp://x"},
        {"url": "http://127.0.0.1:1/", "form": "soap"},
        {"url": "http://127.0.0.1:1/", "gaps": 2},
        {"url": "http://127.0.0.1:1/", "more": 1},
    ],
)
def test_a_subscription_that_makes_no_sense_is_refused(d365: Caller, wanted: dict[str, Any]) -> None:
    assert subscribed(d365, **wanted).status_code == 400
