"""What may happen to a delivery: its states, its events, and the one next state that each event allows.

```
planned ─▶ claimed ─▶ sent ─▶ confirmed
              │         ├───▶ rejected      (the target said no for good, or a stranger holds our number)
              │         ├───▶ planned       (refused before anything ran: throttled, signed out, never connected)
              │         └───▶ in_doubt ─▶ confirmed | rejected | planned   (the answer was lost: look before sending again)
              ├───▶ planned                 (the lease ran out before anything was sent)
              └───▶ confirmed | rejected    (looked before sending: it was there already, ours or a stranger's)
planned ─▶ confirmed                        (found in the target before we sent it: adopted)
planned ─▶ superseded | cancelled           (the source changed its mind before it was sent)
rejected ─▶ planned                         (a person sends it again, or the source record was corrected)
rejected ─▶ superseded | cancelled          (an update that a newer one replaces, or that nobody needs any more)
cancelled ─▶ planned                        (the source wants it after all)
```

Pure. The ledger calls `after()` inside its transaction; what the target's answers mean is in `outcome.py`.
"""

from enum import StrEnum

from tieout.errors import TieoutError


class State(StrEnum):
    """Where a delivery stands. Every delivery is at every moment in exactly one of these."""

    PLANNED = "planned"
    CLAIMED = "claimed"
    SENT = "sent"
    IN_DOUBT = "in_doubt"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"


class Event(StrEnum):
    """What can happen to a delivery."""

    CLAIM = "claim"  # a run takes it, with a lease
    LEASE_RAN_OUT = "lease_ran_out"  # the run that held it is gone
    SEND = "send"  # written down before the request leaves
    CONFIRM = "confirm"  # the target said yes
    REFUSE = "refuse"  # the target said no for good
    NOT_PROCESSED = "not_processed"  # the target refused before it ran anything
    LOSE_ANSWER = "lose_answer"  # nobody knows whether it took effect
    FIND_OURS = "find_ours"  # looked: it is there and it is what we meant
    FIND_STRANGER = "find_stranger"  # looked: something else is there under our key
    FIND_HALF = (
        "find_half"  # looked: D365's number is given and its header is ours, but without lines: go on from there
    )
    FIND_NOTHING = "find_nothing"  # looked after the settling time: it did not take effect
    WANT_OTHERWISE = "want_otherwise"  # a newer intention replaces this one
    WANT_NO_MORE = "want_no_more"  # the source no longer asks for it
    WANT_AGAIN = "want_again"  # the source asks for it again, after it was cancelled
    CORRECT = "correct"  # the source record was changed after a refusal
    REDRIVE = "redrive"  # a person sends it again


class ImpossibleEventError(TieoutError):
    """An event that the present state does not allow: a mistake in the caller, never a state of the world."""


_NEXT: dict[tuple[State, Event], State] = {
    (State.PLANNED, Event.CLAIM): State.CLAIMED,
    (State.PLANNED, Event.WANT_OTHERWISE): State.SUPERSEDED,
    (State.PLANNED, Event.WANT_NO_MORE): State.CANCELLED,
    (State.PLANNED, Event.FIND_OURS): State.CONFIRMED,
    (State.CLAIMED, Event.LEASE_RAN_OUT): State.PLANNED,
    (State.CLAIMED, Event.NOT_PROCESSED): State.PLANNED,
    (State.CLAIMED, Event.SEND): State.SENT,
    (State.CLAIMED, Event.FIND_OURS): State.CONFIRMED,
    (State.CLAIMED, Event.FIND_STRANGER): State.REJECTED,
    (State.SENT, Event.CONFIRM): State.CONFIRMED,
    (State.SENT, Event.REFUSE): State.REJECTED,
    (State.SENT, Event.NOT_PROCESSED): State.PLANNED,
    (State.SENT, Event.LOSE_ANSWER): State.IN_DOUBT,
    # The request may have left before its sender died, and may have taken effect.
    (State.SENT, Event.LEASE_RAN_OUT): State.IN_DOUBT,
    (State.IN_DOUBT, Event.FIND_OURS): State.CONFIRMED,
    (State.IN_DOUBT, Event.FIND_STRANGER): State.REJECTED,
    (State.IN_DOUBT, Event.FIND_NOTHING): State.PLANNED,
    (State.IN_DOUBT, Event.FIND_HALF): State.PLANNED,
    # The target had said no, and looking showed that nothing was saved after all.
    (State.IN_DOUBT, Event.REFUSE): State.REJECTED,
    (State.REJECTED, Event.REDRIVE): State.PLANNED,
    (State.REJECTED, Event.CORRECT): State.PLANNED,
    (State.REJECTED, Event.WANT_OTHERWISE): State.SUPERSEDED,
    (State.REJECTED, Event.WANT_NO_MORE): State.CANCELLED,
    (State.CANCELLED, Event.WANT_AGAIN): State.PLANNED,
}

FINAL = frozenset({State.CONFIRMED, State.SUPERSEDED})
"""States that nothing leaves."""


def after(state: State, event: Event) -> State:
    """The state that follows when `event` happens in `state`; raises ImpossibleEventError when it cannot."""
    try:
        return _NEXT[state, event]
    except KeyError:
        allowed = ", ".join(event.value for event in events_of(state)) or "nothing"
        raise ImpossibleEventError(f"A delivery that is {state} cannot {event.value}. It can: {allowed}.") from None


def events_of(state: State) -> tuple[Event, ...]:
    """The events that `state` allows, in the order of `Event`."""
    return tuple(event for event in Event if (state, event) in _NEXT)
