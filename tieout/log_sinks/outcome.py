"""What an answer means for the rows of a call: they were taken, have to be sent again, or are refused.

One meaning for both targets, because both know a row by its key: sending twice is harmless, so whatever is not clear is sent again.
"""

from dataclasses import dataclass

from tieout.answer import Answer, NoAnswer


@dataclass(frozen=True, slots=True)
class Taken:
    """The rows are in the target."""


@dataclass(frozen=True, slots=True)
class Again:
    """Whether the rows are there is not known, or surely not yet. `wait_s` is what the target asked for; `fewer`: it may have been too much."""

    why: str
    wait_s: float | None = None
    fewer: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The target understood and said no, in its own words."""

    why: str
    status: int


Meaning = Taken | Again | Refused


def meaning_of(answer: Answer | NoAnswer) -> Meaning:
    """What one answer says, whole or part of a batch. 401 and 403 are the client's own business before it asks."""
    match answer:
        case NoAnswer(reason):
            return Again(reason, fewer=True)
        case Answer(status=status) if 200 <= status < 300:
            return Taken()
        case Answer(status=429 | 503):
            return Again(f"asks to wait (HTTP {answer.status})", answer.retry_after_s)
        # 408, 423: time-out, locked. 409, 412: another write of the same row at this moment.
        case Answer(status=408 | 409 | 412 | 423):
            return Again(f"HTTP {answer.status}: {answer.message}", answer.retry_after_s)
        case Answer(status=413):
            return Again("the call is too large", fewer=True)
        case Answer(status=status) if status >= 500 or status < 200:
            return Again(f"HTTP {status}: {answer.message}", answer.retry_after_s, fewer=True)
        case Answer(status=status):
            return Refused(answer.message, status)
