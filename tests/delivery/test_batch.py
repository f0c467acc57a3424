"""How a batch is built and its answer read; the standard library's mail parser is the judge of both."""

from email import message_from_bytes
from email.message import Message
from email.policy import compat32

import pytest

from tieout.answer import Answer, NoAnswer
from tieout.batch import Changeset, Operation, build_batch, packed, parse_batch, shares

ROOT = "https://contoso.operations.dynamics.com/data"
ORDER = Changeset(
    (Operation("POST", "SalesOrderHeadersV2", b'{"a":1}'), Operation("POST", "SalesOrderLines", b'{"b":2}'))
)
CHANGE = Changeset(
    (Operation("PATCH", "CustomersV3(dataAreaId='usmf',CustomerAccount='A')?cross-company=true", b'{"c":3}'),)
)

CREATED = b'HTTP/1.1 201 Created\r\nContent-Type: application/json; odata.metadata=minimal\r\n\r\n{"ok":1}'
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = b'HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\r\n{"error":{"message":"An error has occurred.","innererror":{"message":"no"}}}'
THROTTLED = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 17\r\n\r\n"


def an_answer(*changesets: list[bytes], newline: bytes = b"\r\n") -> bytes:
    """The body that answers a batch: a list of HTTP messages for each changeset."""
    outer = []
    for number, messages in enumerate(changesets):
        inner = b"changesetresponse_%d" % number
        parts = b"".join(
            b"--"
            + inner
            + b"\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: 1\r\n\r\n"
            + message
            + b"\r\n"
            for message in messages
        )
        outer.append(
            b"--batchresponse_x\r\nContent-Type: multipart/mixed; boundary="
            + inner
            + b"\r\n\r\n"
            + parts
            + b"--"
            + inner
            + b"--\r\n"
        )
    return (b"".join(outer) + b"--batchresponse_x--\r\n").replace(b"\r\n", newline)


KIND = "multipart/mixed; boundary=batchresponse_x"


def _leaves(message: Message) -> list[bytes]:
    if message.is_multipart():
        return [leaf for part in message.get_payload() for leaf in _leaves(part)]  # type: ignore[arg-type]
    return [message.get_payload(decode=True)]  # type: ignore[list-item]


def test_a_batch_is_multipart_as_others_read_it() -> None:
    request = build_batch(ROOT, [ORDER, CHANGE], "g1")

    message = message_from_bytes(
        f"Content-Type: {request.content_type}\r\n\r\n".encode() + request.body, policy=compat32
    )
    leaves = _leaves(message)
    assert [leaf.split(b"\r\n")[0] for leaf in leaves] == [
        b"POST https://contoso.operations.dynamics.com/data/SalesOrderHeadersV2 HTTP/1.1",
        b"POST https://contoso.operations.dynamics.com/data/SalesOrderLines HTTP/1.1",
        b"PATCH https://contoso.operations.dynamics.com/data/CustomersV3(dataAreaId='usmf',CustomerAccount='A')?cross-company=true HTTP/1.1",
    ]
    assert [leaf.split(b"\r\n\r\n", 1)[1] for leaf in leaves] == [b'{"a":1}', b'{"b":2}', b'{"c":3}']
    assert [len(part.get_payload()) for part in message.get_payload()] == [2, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_each_changeset_gets_its_own_answer(newline: bytes) -> None:
    body = an_answer([CREATED, CREATED], [NO_CONTENT], newline=newline)

    answers = parse_batch(KIND, body, [ORDER, CHANGE])

    assert answers == [Answer(201, "application/json; odata.metadata=minimal", b'{"ok":1}'), Answer(204)]


def test_one_error_part_stands_for_its_whole_changeset_and_for_no_other() -> None:
    first, second = parse_batch(KIND, an_answer([REFUSED], [NO_CONTENT]), [ORDER, CHANGE])

    assert isinstance(first, Answer)
    assert (first.status, first.message) == (400, "no")
    assert second == Answer(204)


def test_an_error_part_without_a_changeset_around_it_is_read_too() -> None:
    body = b"--batchresponse_x\r\nContent-Type: application/http\r\n\r\n" + REFUSED + b"\r\n--batchresponse_x--\r\n"

    [answer] = parse_batch(KIND, body, [ORDER])

    assert isinstance(answer, Answer)
    assert answer.status == 400


def test_throttling_inside_a_batch_brings_its_own_waiting_time() -> None:
    [answer] = parse_batch(KIND, an_answer([THROTTLED]), [CHANGE])

    assert answer == Answer(429, retry_after_s=17)


def test_a_cut_answer_confirms_only_the_parts_that_it_holds_whole() -> None:
    whole = an_answer([CREATED, CREATED], [NO_CONTENT])
    # A part is known to be whole when the next delimiter has begun.
    first_ends, second_ends = whole.find(b"--batchresponse_x", 1) + 17, whole.rfind(b"--batchresponse_x") + 17

    for length in range(len(whole)):
        first, second = parse_batch(KIND, whole[:length], [ORDER, CHANGE])
        assert isinstance(first, Answer) == (length >= first_ends), length
        assert isinstance(second, Answer) == (length >= second_ends), length


def test_a_changeset_with_fewer_answers_than_operations_is_not_believed() -> None:
    [answer] = parse_batch(KIND, an_answer([CREATED]), [ORDER])

    assert answer == NoAnswer("1 of 2 operations were answered")


@pytest.mark.parametrize(
    ("kind", "body"), [("text/html", b"<html>"), (KIND, b""), (KIND, b"--other--"), ("multipart/mixed", b"x")]
)
def test_what_is_no_batch_answer_is_no_answer(kind: str, body: bytes) -> None:
    [answer] = parse_batch(kind, body, [ORDER])

    assert isinstance(answer, NoAnswer)
    assert answer.may_have_run


def test_orders_travel_together_up_to_the_limit_and_a_larger_one_travels_alone() -> None:
    assert [list(group) for group in packed([40, 40, 40, 150, 10], most=100)] == [[0, 1], [2], [3], [4]]
    assert list(packed([], most=100)) == []


def test_the_shares_of_a_call_add_up_to_it_exactly() -> None:
    for calls in (1, 2, 7):
        for records in (1, 3, 7, 25, 99):
            assert sum(shares(calls, records)) == calls
    assert shares(1, 0) == []
