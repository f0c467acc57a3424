"""What may happen to a delivery."""

import pytest

from tieout.delivery import FINAL, Event, ImpossibleEventError, State, after, events_of


def test_the_way_of_a_good_delivery_is_planned_claimed_sent_confirmed() -> None:
    state = State.PLANNED
    for event in (Event.CLAIM, Event.SEND, Event.CONFIRM):
        state = after(state, event)

    assert state is State.CONFIRMED


def test_a_lost_answer_leads_to_doubt_and_only_a_look_leads_out_of_it() -> None:
    assert after(State.SENT, Event.LOSE_ANSWER) is State.IN_DOUBT
    assert Event.CLAIM not in events_of(State.IN_DOUBT)
    assert Event.SEND not in events_of(State.IN_DOUBT)


def test_a_lease_that_ran_out_before_sending_is_harmless_and_after_sending_is_a_doubt() -> None:
    assert after(State.CLAIMED, Event.LEASE_RAN_OUT) is State.PLANNED
    assert after(State.SENT, Event.LEASE_RAN_OUT) is State.IN_DOUBT


@pytest.mark.parametrize("state", sorted(FINAL))
def test_nothing_leaves_a_final_state(state: State) -> None:
    assert events_of(state) == ()


@pytest.mark.parametrize("state", [state for state in State if state not in {State.CLAIMED}])
def test_nothing_is_sent_that_was_not_claimed(state: State) -> None:
    with pytest.raises(ImpossibleEventError):
        after(state, Event.SEND)


def test_every_state_can_be_reached_and_every_event_happens_somewhere() -> None:
    reached = {after(state, event) for state in State for event in events_of(state)}

    assert reached == set(State)
    assert {event for state in State for event in events_of(state)} == set(Event)


def test_an_impossible_event_is_refused_with_what_would_be_possible() -> None:
    with pytest.raises(
        ImpossibleEventError, match=r"is claimed cannot confirm\. It can: lease_ran_out, send, not_processed"
    ):
        after(State.CLAIMED, Event.CONFIRM)
