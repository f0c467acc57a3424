"""Answers that get lost, come late, or are no answers: what was meant happens once, and what cannot be read is told plainly."""

import json
from datetime import datetime
from typing import Any

import pytest

from resources.ledger.delivery_queries import DeliveryFilter
from tests.bad_input.books import Books, Deal
from tests.bad_input.conftest import Install
from tests.bad_input.installation import Installation
from tests.bad_input.systems import System
from tests.writes import WRITES, is_write

RETRY_AFTER_S = 1
MAINTENANCE = "<html><head><title>Down for maintenance</title></head><body>Come back later</body></html>"

TO_THE_ORDERS = (
    "salesforce/product",
    "salesforce/account",
    "salesforce/opportunity",
    "salesforce/opportunity_line",
    "d365/released_product",
    "d365/customer",
    "d365/sales_order",
    "d365/sales_order_line",
    "quality/quarantine",
    "crosswalk/customer",
    "crosswalk/sales_order",
    "reconciliation/customer",
    "reconciliation/sales_order",
    "delivery/customer",
    "delivery/sales_order",
)
"""The assets up to the delivery of the orders, without write-back and report."""


def an_installation(install: Install, deals: int = 2) -> tuple[Installation, list[Deal]]:
    """Orders of customers that are in D365 already: the first batch is the one of the orders."""
    books = Books()
    made = [books.deal(f"Deal {number}", customer=f"C-{number}") for number in range(1, deals + 1)]
    return install(books), made


def writes(d365: System) -> list[dict[str, Any]]:
    """The batches that were to write."""
    return [each for each in d365.journal(phase="asked", path=WRITES["path"]) if is_write(each)]


def moments(entries: list[dict[str, Any]]) -> list[datetime]:
    """When entries came into the journal."""
    return [datetime.fromisoformat(each["at"]) for each in entries]


def outcomes(installation: Installation, deal: Deal) -> list[str]:
    """How the attempts for an order ended, oldest first."""
    with installation.ledger() as ledger:
        attempts: list[Any] = ledger.attempts.of_business_key(deal.opportunity)
    return [each["outcome"] for each in sorted(attempts, key=lambda each: each["at"]) if each["direction"] == "to_d365"]


def test_orders_whose_answer_was_lost_are_found_and_not_created_a_second_time(install: Install) -> None:
    installation, deals = an_installation(install)
    d365 = installation.systems.d365
    d365.fault("lose_answer", **WRITES)

    first, second = installation.run(), installation.run()

    assert (first.success, second.success) == (True, True)
    assert sorted(d365.orders_made()) == sorted(deal.order for deal in deals)
    assert [outcomes(installation, deal) for deal in deals] == [["in_doubt", "adopted"]] * 2
    findings = installation.findings()
    assert findings.summary["deliveries"] == {"confirmed": 2}
    assert findings.summary["reconciliation"]["sales_order"] == {"matched": 2}
    assert len(writes(d365)) == 1


def test_a_gateway_page_after_the_commit_does_not_create_a_second_order_either(install: Install) -> None:
    installation, [deal] = an_installation(install, 1)
    d365 = installation.systems.d365
    d365.fault(
        "replace_answer",
        **WRITES,
        status=502,
        headers={"Content-Type": "text/html"},
        body=MAINTENANCE,
    )

    run = installation.run(only=TO_THE_ORDERS)

    assert run.success
    assert d365.orders_made() == [deal.order]
    assert outcomes(installation, deal) == ["in_doubt", "adopted"]


def test_a_throttled_batch_is_sent_after_the_time_that_d365_asks_for_and_once(install: Install) -> None:
    installation, deals = an_installation(install)
    d365 = installation.systems.d365
    throttled = {"error": {"code": "429", "message": "Too many requests. Slow down."}}
    d365.fault(
        "refuse",
        **WRITES,
        status=429,
        headers={"Retry-After": str(RETRY_AFTER_S)},
        body=json.dumps(throttled),
    )

    run = installation.run(only=TO_THE_ORDERS)

    assert run.success
    [refused], [_, sent] = moments(d365.journal(phase="fault")), moments(writes(d365))
    assert (sent - refused).total_seconds() >= RETRY_AFTER_S
    assert sorted(d365.orders_made()) == sorted(deal.order for deal in deals)
    assert [outcomes(installation, deal) for deal in deals] == [["not_processed", "confirmed"]] * 2


def test_orders_that_d365_may_not_take_from_us_any_more_stay_planned_and_go_with_the_next_run(install: Install) -> None:
    """The registration of the application was removed between reading and writing: no token helps."""
    installation, [deal] = an_installation(install, 1)
    d365 = installation.systems.d365
    d365.fault("refuse", **WRITES, status=401, times=2)

    failed = installation.run(only=TO_THE_ORDERS)
    with installation.ledger() as ledger:
        [waiting] = ledger.deliveries.find(DeliveryFilter(business_key=deal.opportunity))
    made_meanwhile = d365.orders_made()
    again = installation.run(only=TO_THE_ORDERS)

    assert not failed.success
    assert failed.problem == (
        "D365 at 127.0.0.1 does not accept the application (HTTP 401 without a text). Register client tieout-sandbox in D365 under "
        "System administration > Setup > Microsoft Entra ID applications, and check that D365_URL is the environment's address."
    )
    assert (waiting.state, made_meanwhile) == ("planned", [])
    assert again.success, again.problem
    assert d365.orders_made() == [deal.order]
    assert outcomes(installation, deal) == ["sign_in", "confirmed"]


@pytest.fixture(scope="module")
def reading(install: Install, impatient: None) -> Installation:  # noqa: ARG001 used for its effect
    """For the tests that only read."""
    return an_installation(install, 1)[0]


def test_a_throttled_read_of_d365_waits_as_long_as_asked(reading: Installation) -> None:
    d365 = reading.systems.d365
    d365.fault("refuse", path="/data/CustomersV3", status=429, headers={"Retry-After": str(RETRY_AFTER_S)})
    before = len(moments(d365.journal(phase="fault")))

    run = reading.run(only=["d365/customer"])

    assert run.success
    refused = moments(d365.journal(phase="fault"))[before]
    asked = [at for at in moments(d365.journal(phase="asked", method="GET")) if at > refused]
    assert (asked[0] - refused).total_seconds() >= RETRY_AFTER_S


def test_a_salesforce_that_is_busy_for_a_moment_is_asked_again(reading: Installation) -> None:
    salesforce = reading.systems.salesforce
    before = len(moments(salesforce.journal(phase="asked", method="GET")))
    busy = [{"errorCode": "SERVER_UNAVAILABLE", "message": "Server too busy"}]
    salesforce.fault("refuse", path="queryAll/", status=503, body=busy, times=2)

    run = reading.run(only=["salesforce/account"])

    assert run.success
    # The question for the count three times, then the page, then the two questions of the proof.
    assert len(moments(salesforce.journal(phase="asked", method="GET"))) == before + 6


def test_a_maintenance_page_of_salesforce_is_told_after_some_tries(reading: Installation) -> None:
    salesforce = reading.systems.salesforce
    salesforce.fault("refuse", path="queryAll/", status=503, body=MAINTENANCE, times=4)

    run = reading.run(only=["salesforce/account"])

    assert not run.success
    assert run.problem == (
        f"Salesforce at {salesforce.url} answered 4 times with HTTP 503 (a web page instead of data). Wait, then run it again."
    )


def test_a_web_page_in_the_place_of_salesforce_data_is_told_plainly(reading: Installation) -> None:
    salesforce = reading.systems.salesforce
    salesforce.fault("refuse", path="queryAll/", status=200, body=MAINTENANCE)

    run = reading.run(only=["salesforce/account"])

    assert not run.success
    assert run.problem == (
        f"Salesforce at {salesforce.url} answered with something that is no JSON, such as a web page. Run it again later, and check that "
        "SALESFORCE_INSTANCE_URL is the My Domain address and that it is not under maintenance."
    )


def test_a_web_page_in_the_place_of_d365_data_is_told_with_its_title(reading: Installation) -> None:
    reading.systems.d365.fault(
        "replace_answer", path="/data/CustomersV3", status=200, headers={"Content-Type": "text/html"}, body=MAINTENANCE
    )

    run = reading.run(only=["d365/customer"])

    assert not run.success
    assert run.problem == (
        "D365 at 127.0.0.1 answered with a web page instead of data (HTTP 200, 'Down for maintenance'). Check that D365_URL is the "
        "environment's own address and that it is not under maintenance."
    )
