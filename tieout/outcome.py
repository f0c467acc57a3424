"""What an answer of D365 means for a delivery: one outcome class for each end that a request can have.

Classes from Microsoft's documentation and recorded answers: a 401 or 429 comes before anything ran; a 400 is final; a lost answer, a
gateway's page or a 500 without the OData envelope proves nothing, so whoever sent a write has to look before sending it again: a create
could be made twice, and an update that lands late would go over a newer one.
"""

from enum import StrEnum

from tieout.answer import Answer, NoAnswer
from tieout.delivery import Event


class Outcome(StrEnum):
    """The end of one attempt. The value is what the integration log shows."""

    CONFIRMED = "confirmed"
    NOT_PROCESSED = "not_processed"  # refused before it ran: sending again is safe
    SIGN_IN = "sign_in"  # not processed either, but no attempt will succeed until someone puts it right
    REJECTED = "rejected"
    REJECTED_UNSURE = "rejected_unsure"  # said no with a status that was also seen on saved data: look, then believe it
    ALREADY_EXISTS = "already_exists"  # ours from before, or a stranger's: look
    IN_DOUBT = "in_doubt"
    ADOPTED = "adopted"  # looked: it was there, and it is ours
    ABSENT = "absent"  # looked: it is not there

    @property
    def needs_a_look(self) -> bool:
        """Whether the target has to be asked before anybody knows what happened."""
        return self in {Outcome.REJECTED_UNSURE, Outcome.ALREADY_EXISTS, Outcome.IN_DOUBT}


_EVENTS = {
    Outcome.CONFIRMED: Event.CONFIRM,
    Outcome.NOT_PROCESSED: Event.NOT_PROCESSED,
    Outcome.SIGN_IN: Event.NOT_PROCESSED,
    Outcome.REJECTED: Event.REFUSE,
    Outcome.REJECTED_UNSURE: Event.LOSE_ANSWER,
    Outcome.ALREADY_EXISTS: Event.LOSE_ANSWER,
    Outcome.IN_DOUBT: Event.LOSE_ANSWER,
    Outcome.ADOPTED: Event.FIND_OURS,
    Outcome.ABSENT: Event.FIND_NOTHING,
}


def event_of(outcome: Outcome) -> Event:
    """What the state machine is told when an attempt ends in `outcome`."""
    return _EVENTS[outcome]


def outcome_of_create(answer: Answer | NoAnswer) -> Outcome:
    """The outcome of a POST, alone or as a changeset."""
    if isinstance(answer, NoAnswer):
        return Outcome.IN_DOUBT if answer.may_have_run else Outcome.NOT_PROCESSED
    if answer.status in {200, 201, 204}:
        return Outcome.CONFIRMED
    if answer.status == 401:
        return Outcome.SIGN_IN
    if answer.status == 429 or _is_update_conflict(answer):
        return Outcome.NOT_PROCESSED
    # Duplicate keys come as 400, and as 500 from older versions; a 409 was never seen but would mean the same.
    if answer.status == 409 or (answer.status in {400, 500} and "already exists" in answer.message.casefold()):
        return Outcome.ALREADY_EXISTS
    if answer.status in {400, 403, 404, 412, 422}:
        return Outcome.REJECTED
    if answer.status == 500 and answer.has_error_envelope:
        # A known class of faults: the exception is answered although the data was saved.
        return Outcome.REJECTED_UNSURE
    return Outcome.IN_DOUBT


def outcome_of_update(answer: Answer | NoAnswer) -> Outcome:
    """The outcome of a PATCH with absolute values, sent with the row version that was read before."""
    if isinstance(answer, Answer) and answer.status == 412:
        # Somebody changed the row since it was read: nothing was written, and the next look reads the newer version.
        return Outcome.NOT_PROCESSED
    outcome = outcome_of_create(answer)
    return Outcome.REJECTED if outcome in {Outcome.ALREADY_EXISTS, Outcome.REJECTED_UNSURE} else outcome


def words_of(answer: Answer | NoAnswer) -> str:
    """The reason that people read: the target's own words, or why there are none."""
    return answer.reason if isinstance(answer, NoAnswer) else answer.message


def _is_update_conflict(answer: Answer) -> bool:
    """Two writers met at one row and D365 rolled this one back, which says nothing against the record."""
    text = answer.message.casefold() if answer.status in {400, 409, 412, 500} else ""
    return "an update conflict occurred" in text or "update has been canceled" in text
