"""Dead letters: refused creations wait for a person or a corrected source, for ever."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from resources.ledger import Ledger, connect
from resources.ledger.deliveries import Ended
from resources.ledger.delivery_queries import DeliveryFilter
from tests.ledger.writes import an_order
from tieout.delivery import Event, State
from tieout.intended import IntendedWrite, Step

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
YEARS = timedelta(days=5 * 365)


def refuse(ledger: Ledger, *orders: IntendedWrite, reason: str = "Customer US-001 is on hold.") -> None:
    """Plan, send and lose these orders to a refusal."""
    ledger.deliveries.plan(orders, "run", NOW)
    held = ledger.deliveries.claim("sales_order", "create", "run", owner="me", lease_s=60, limit=100, now=NOW)
    sent = ledger.deliveries.mark_sent(held, "run", correlation_id="", request="", lease_s=60, now=NOW)
    ended = [Ended(each.held, each.attempt_id, Event.REFUSE, "rejected", 5, Decimal(1), 400, reason) for each in sent]
    ledger.deliveries.end(ended, "run", now=NOW)


def a_run(ledger: Ledger, number: int, wanted: list[IntendedWrite]) -> list[Step]:
    """Everything that a run does to deliveries before it sends, five years later; returns the steps of what it wants."""
    run_id, now = f"later {number}", NOW + YEARS
    deliveries = ledger.deliveries
    deliveries.recover(now)
    deliveries.let_go(["run"], now)
    steps = [each.step for each in deliveries.plan(wanted, run_id, now)]
    for operation in ("create", "update"):
        deliveries.cancel_unwanted("sales_order", operation, run_id, now)  # type: ignore[arg-type]
    deliveries.adopt("sales_order", [write.business_key for write in wanted], now)
    deliveries.claim("sales_order", "create", run_id, owner="me", lease_s=60, limit=100, now=now)
    return steps


def test_a_refused_creation_waits_for_ever_whether_runs_want_it_or_not(ledger: Ledger) -> None:
    refuse(ledger, an_order("A"), an_order("B"))
    before = ledger.deliveries.find(DeliveryFilter(state=State.REJECTED))

    for number in range(10):
        assert a_run(ledger, number, [an_order("A")]) == [Step.LEAVE_REJECTED]

    after = ledger.deliveries.find(DeliveryFilter(state=State.REJECTED))
    assert [(row.id, row.reason) for row in after] == [(row.id, row.reason) for row in before]
    assert len(after) == 2


def test_nobody_else_can_take_a_refused_creation_away_and_a_person_still_sends_it_again_after_years(
    ledger: Ledger,
) -> None:
    refuse(ledger, an_order("A"))
    for number in range(3):
        a_run(ledger, number, [])
    [row] = ledger.deliveries.find(DeliveryFilter(state=State.REJECTED))

    assert ledger.deliveries.redrive([row.id], who="anna", now=NOW + YEARS) == [row.id]


def test_the_database_itself_keeps_a_delivery_that_was_ever_sent(ledger: Ledger, ledger_url: str) -> None:
    """Its attempts, which no one may delete, refer to it."""
    refuse(ledger, an_order("A"))
    engine = connect(ledger_url)

    with engine.connect() as connection, pytest.raises(IntegrityError, match="fk_attempt_delivery_id"):
        connection.execute(text("delete from tieout.delivery"))
    engine.dispose()


def test_refusals_are_found_by_any_part_of_their_words(ledger: Ledger) -> None:
    refuse(ledger, an_order("A"), an_order("B", company="demf"))
    refuse(ledger, an_order("C"), reason="Item 100%_off is blocked.")

    def found(**wanted: str) -> list[str]:
        rows = ledger.deliveries.find(DeliveryFilter(state=State.REJECTED, **wanted))  # type: ignore[arg-type]
        return sorted(row.business_key[0] for row in rows)

    assert found(reason="ON HOLD") == ["A", "B"]
    assert found(reason="on hold", company="demf") == ["B"]
    assert found(reason="100%_OFF") == ["C"]
    assert found(reason="Customer%hold") == []
    assert found(reason="blocked", entity="customer") == []
