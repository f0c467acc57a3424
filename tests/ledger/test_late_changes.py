"""What the ledger knows about orders whose opportunity changed its mind."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from resources.ledger import Ledger
from resources.ledger.deliveries import Ended
from resources.ledger.delivery_queries import DeliveryFilter
from tests.ledger.writes import an_order
from tieout.delivery import Event, State
from tieout.intended import IntendedWrite, Operation, Step
from tieout.outcome import Outcome

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = "A" * 18
STOPPED = "IsSalesProcessingStopped"


def an_update(**header: str) -> IntendedWrite:
    return IntendedWrite("sales_order", "update", KEY, "usmf", f"T-{KEY}", header)


def send(
    ledger: Ledger, operation: Operation, event: Event = Event.CONFIRM, outcome: Outcome = Outcome.CONFIRMED
) -> None:
    held = ledger.deliveries.claim("sales_order", operation, "run", owner="me", lease_s=60, limit=10, now=NOW)
    sent = ledger.deliveries.mark_sent(held, "run", correlation_id="b", request="POST $batch", lease_s=60, now=NOW)
    ended = [Ended(each.held, each.attempt_id, event, outcome, 1, Decimal(1)) for each in sent]
    ledger.deliveries.end(ended, "run", now=NOW)


def update(ledger: Ledger, event: Event, outcome: Outcome, **header: str) -> None:
    ledger.deliveries.plan([an_update(**header)], "run", NOW)
    send(ledger, "update", event, outcome)


def stopped_by_us(ledger: Ledger) -> bool:
    return KEY in ledger.deliveries.last_sent_with("sales_order", [KEY, "B" * 18], STOPPED, "Yes")


def test_an_order_that_was_stopped_last_is_ours_to_release_and_a_released_one_is_not(ledger: Ledger) -> None:
    assert not stopped_by_us(ledger)
    update(ledger, Event.CONFIRM, Outcome.CONFIRMED, **{STOPPED: "Yes"})
    assert stopped_by_us(ledger)
    update(ledger, Event.CONFIRM, Outcome.CONFIRMED, **{STOPPED: "No"})
    assert not stopped_by_us(ledger)


def test_a_stop_that_was_only_planned_is_not_ours(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_update(**{STOPPED: "Yes"})], "run", NOW)

    assert not stopped_by_us(ledger)


@pytest.mark.parametrize(
    ("event", "outcome", "ours"),
    [
        (Event.REFUSE, Outcome.REJECTED, False),
        (Event.NOT_PROCESSED, Outcome.SIGN_IN, False),
        (Event.NOT_PROCESSED, Outcome.NOT_PROCESSED, True),
        (Event.LOSE_ANSWER, Outcome.IN_DOUBT, True),
    ],
)
def test_a_stop_counts_as_ours_unless_it_certainly_took_no_effect(
    ledger: Ledger, event: Event, outcome: Outcome, ours: bool
) -> None:
    update(ledger, event, outcome, **{STOPPED: "Yes"})

    assert stopped_by_us(ledger) is ours


def test_an_opportunity_that_is_won_lost_and_won_again_has_one_order(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A")], "won", NOW)
    assert ledger.deliveries.cancel_unwanted("sales_order", "create", "lost", NOW) == 1
    [again] = ledger.deliveries.plan([an_order("A")], "run", NOW)
    assert again.step is Step.REVIVE
    send(ledger, "create")

    assert ledger.deliveries.cancel_unwanted("sales_order", "create", "lost once more", NOW) == 0
    [third] = ledger.deliveries.plan([an_order("A", quantity="3")], "won once more", NOW)

    assert third.step is Step.LEAVE_DELIVERED
    [delivery] = ledger.deliveries.find(DeliveryFilter(business_key=KEY, operation="create"))
    assert delivery.state is State.CONFIRMED


def test_a_change_while_the_delivery_is_only_planned_replaces_what_is_sent(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A")], "run", NOW)

    [changed] = ledger.deliveries.plan([an_order("A", quantity="3")], "run", NOW)

    assert changed.step is Step.REPLACE
    [held] = ledger.deliveries.claim("sales_order", "create", "run", owner="me", lease_s=60, limit=10, now=NOW)
    assert held.lines[0]["OrderedSalesQuantity"] == 3
