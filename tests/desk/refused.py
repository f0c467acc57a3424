"""A delivery that D365 has refused."""

from decimal import Decimal

from resources.ledger import Ledger
from resources.ledger.deliveries import Ended
from tests.ledger.writes import an_order
from tieout.delivery import Event
from tieout.intended import IntendedWrite


def refused_order(ledger: Ledger, letter: str = "A", words: str = "Customer is on hold.") -> IntendedWrite:
    """Plan an order, send it, and end it as the job does when D365 says no for good."""
    order = an_order(letter)
    ledger.deliveries.plan([order], "run 1")
    held = ledger.deliveries.claim("sales_order", "create", "run 1", owner="run 1", lease_s=60, limit=1)
    (sent,) = ledger.deliveries.mark_sent(held, "run 1", correlation_id="c", request="POST", lease_s=60)
    ended = Ended(sent.held, sent.attempt_id, Event.REFUSE, "rejected", 5, Decimal(1), 400, words)
    ledger.deliveries.end([ended], "run 1")
    return order
