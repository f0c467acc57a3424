"""What is done about an intended write beside what the ledger knows."""

import pytest

from tests.ledger.writes import a_change, an_order
from tieout.delivery import State
from tieout.intended import Known, Step, next_step

SAME, CHANGED = an_order("A").fingerprint, an_order("A", quantity="3").fingerprint


@pytest.mark.parametrize(
    ("state", "fingerprint", "step"),
    [
        (State.PLANNED, SAME, Step.REFRESH),
        (State.PLANNED, CHANGED, Step.REPLACE),
        (State.REJECTED, SAME, Step.LEAVE_REJECTED),
        (State.REJECTED, CHANGED, Step.CORRECT),
        (State.CANCELLED, SAME, Step.REVIVE),
        (State.CONFIRMED, SAME, Step.LEAVE_DELIVERED),
        (State.CONFIRMED, CHANGED, Step.LEAVE_DELIVERED),
        (State.IN_DOUBT, SAME, Step.LEAVE_IN_DOUBT),
        (State.SENT, SAME, Step.LEAVE_HELD),
        (State.CLAIMED, SAME, Step.LEAVE_HELD),
    ],
)
def test_each_state_of_a_create_has_one_next_step(state: State, fingerprint: str, step: Step) -> None:
    assert next_step(an_order("A"), Known(state, fingerprint)) is step


def test_what_is_unknown_is_planned() -> None:
    assert next_step(an_order("A"), None) is Step.PLAN


def test_a_delivered_order_is_never_sent_again_and_a_delivered_change_may_be() -> None:
    assert not next_step(an_order("A"), Known(State.CONFIRMED, CHANGED)).sends
    assert next_step(a_change("A"), Known(State.CONFIRMED, a_change("A").fingerprint)) is Step.PLAN
