"""What answers of D365 mean."""

import orjson
import pytest

from tieout.answer import Answer, NoAnswer
from tieout.outcome import Outcome, outcome_of_create, outcome_of_update, words_of

ON_HOLD = "Write failed for table row of type 'SalesOrderHeaderV2Entity'. Infolog: Warning: Customer US-001 is on hold.; Warning: validateWrite failed."
EXISTS = "Cannot create a record in Sales orders (SalesTable). Sales order: T-1.\nThe record already exists.."
CONFLICT = "Cannot edit a record. An update conflict occurred due to another user process deleting the record."


def an_error(status: int, message: str, **inner: object) -> Answer:
    body = {
        "error": {
            "code": "",
            "message": "An error has occurred.",
            "innererror": {"message": message, "type": "AxODataWriteException", **inner},
        }
    }
    return Answer(status, "application/json", orjson.dumps(body))


GATEWAY = Answer(503, "text/html", b"<html><head><title>Service Unavailable</title></head></html>")


@pytest.mark.parametrize(
    ("answer", "create", "update"),
    [
        (Answer(201), Outcome.CONFIRMED, Outcome.CONFIRMED),
        (Answer(204), Outcome.CONFIRMED, Outcome.CONFIRMED),
        (Answer(401), Outcome.SIGN_IN, Outcome.SIGN_IN),
        (Answer(429, retry_after_s=7), Outcome.NOT_PROCESSED, Outcome.NOT_PROCESSED),
        (an_error(400, ON_HOLD), Outcome.REJECTED, Outcome.REJECTED),
        (an_error(400, EXISTS), Outcome.ALREADY_EXISTS, Outcome.REJECTED),
        (an_error(500, EXISTS), Outcome.ALREADY_EXISTS, Outcome.REJECTED),
        (an_error(500, ON_HOLD), Outcome.REJECTED_UNSURE, Outcome.REJECTED),
        (an_error(400, CONFLICT), Outcome.NOT_PROCESSED, Outcome.NOT_PROCESSED),
        (an_error(412, "The row was changed."), Outcome.REJECTED, Outcome.NOT_PROCESSED),
        (Answer(500, "text/plain", b"oops"), Outcome.IN_DOUBT, Outcome.IN_DOUBT),
        (GATEWAY, Outcome.IN_DOUBT, Outcome.IN_DOUBT),
        (Answer(504), Outcome.IN_DOUBT, Outcome.IN_DOUBT),
        (Answer(418), Outcome.IN_DOUBT, Outcome.IN_DOUBT),
        (NoAnswer("timed out"), Outcome.IN_DOUBT, Outcome.IN_DOUBT),
        (NoAnswer("refused", may_have_run=False), Outcome.NOT_PROCESSED, Outcome.NOT_PROCESSED),
    ],
)
def test_each_end_of_a_request_has_its_outcome(answer: Answer | NoAnswer, create: Outcome, update: Outcome) -> None:
    assert outcome_of_create(answer) is create
    assert outcome_of_update(answer) is update


def test_the_reason_is_d365s_own_message_and_never_its_stack_trace() -> None:
    answer = an_error(400, ON_HOLD, stacktrace="   at Microsoft.Dynamics.Platform")

    assert words_of(answer) == ON_HOLD


def test_a_message_that_says_nothing_is_passed_over_for_the_one_inside_it() -> None:
    answer = an_error(400, "An error has occurred.", internalexception={"message": "Item 1000 is blocked."})

    assert words_of(answer) == "Item 1000 is blocked."


def test_the_other_error_shapes_are_read_too() -> None:
    assert (
        words_of(Answer(401, "application/json", b'{"Message":"Authentication failed."}')) == "Authentication failed."
    )
    assert words_of(GATEWAY) == "a web page instead of data (HTTP 503, 'Service Unavailable')"
    assert words_of(Answer(404)) == "HTTP 404 without a text"
    assert words_of(Answer(400, "application/json", b'{"error":')) == '{"error":'
