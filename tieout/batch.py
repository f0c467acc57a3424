"""How several writes travel in one OData `$batch`: built and parsed by hand, one changeset for each record.

A changeset is all or nothing; the changesets of a batch are independent of one another. The outer status says nothing about them: each
part has to be read. (The standard library's mail package costs 60 times as much as this on both ways.)
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from tieout.answer import Answer, NoAnswer
from tieout.retry_after import seconds_to_wait

MOST_OPERATIONS = 100
"""Operations in one batch. D365 takes 5,000, but each changeset is one transaction and one bill of execution time."""

_CRLF = b"\r\n"
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Operation:
    """One write, or a read of a batch of reads. `path` is relative to the service root and already encoded; `body` is JSON.

    `if_match` is the row version that the write is made for; where D365 honours it, a row that was changed since is left alone.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    body: bytes = b""
    if_match: str = ""


@dataclass(frozen=True, slots=True)
class Changeset:
    """Writes that take effect together or not at all."""

    operations: tuple[Operation, ...]

    def __len__(self) -> int:
        return len(self.operations)


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A batch ready to be sent."""

    content_type: str
    body: bytes


_READ = Operation("GET", "")


def packed(sizes: Sequence[int], most: int = MOST_OPERATIONS) -> Iterator[range]:
    """Consecutive positions that travel together: as many as fit into `most` operations, one alone where it is larger."""
    start = 0
    operations = 0
    for position, size in enumerate(sizes):
        if position > start and operations + size > most:
            yield range(start, position)
            start, operations = position, 0
        operations += size
    if sizes:
        yield range(start, len(sizes))


def build_batch(service_root: str, changesets: Sequence[Changeset], batch_id: str) -> BatchRequest:
    """The body of `POST {service_root}/$batch`. `batch_id` must be new each time: it is the boundary between the parts."""
    boundary = f"batch_{batch_id}"
    pieces: list[bytes] = []
    content_id = 0
    for number, changeset in enumerate(changesets, start=1):
        inner = f"changeset_{number}_{batch_id}"
        pieces.append(f"--{boundary}\r\nContent-Type: multipart/mixed; boundary={inner}\r\n\r\n".encode())
        for operation in changeset.operations:
            content_id += 1
            condition = f"If-Match: {operation.if_match}\r\n" if operation.if_match else ""
            pieces.append(
                f"--{inner}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {content_id}\r\n\r\n"
                f"{operation.method} {service_root}/{operation.path} HTTP/1.1\r\nOData-Version: 4.0\r\n{condition}"
                "Content-Type: application/json;odata.metadata=minimal;charset=UTF-8\r\n\r\n".encode()
            )
            pieces.extend((operation.body, _CRLF))
        pieces.append(f"--{inner}--\r\n".encode())
    pieces.append(f"--{boundary}--\r\n".encode())
    return BatchRequest(f"multipart/mixed; boundary={boundary}", b"".join(pieces))


def build_reads(service_root: str, paths: Sequence[str], batch_id: str) -> BatchRequest:
    """The body of a batch of GETs; `paths` are relative to the service root and already encoded."""
    boundary = f"batch_{batch_id}"
    pieces = [
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        f"GET {service_root}/{path} HTTP/1.1\r\nAccept: application/json\r\nOData-Version: 4.0\r\n\r\n\r\n".encode()
        for path in paths
    ]
    return BatchRequest(f"multipart/mixed; boundary={boundary}", b"".join(pieces) + f"--{boundary}--\r\n".encode())


def parse_reads(content_type: str, body: bytes, count: int) -> list[Answer | NoAnswer]:
    """One answer for each of `count` GETs, in their order; `NoAnswer` for those whose answer is missing or cut off."""
    return parse_batch(content_type, body, [Changeset((_READ,))] * count)


def parse_batch(content_type: str, body: bytes, changesets: Sequence[Changeset]) -> list[Answer | NoAnswer]:
    """One answer for each changeset, in their order; `NoAnswer` for those whose answer is missing, cut off or incomplete."""
    boundary = _boundary(content_type)
    parts = _parts(body, boundary) if boundary else []
    answers: list[Answer | NoAnswer] = []
    for number, changeset in enumerate(changesets):
        if number < len(parts):
            answers.append(_answer_to_changeset(parts[number], changeset))
        else:
            answers.append(NoAnswer("the answer to the batch ended before this record's part"))
    return answers


def _answer_to_changeset(part: bytes, changeset: Changeset) -> Answer | NoAnswer:
    headers, content = _head_and_content(part)
    boundary = _boundary(headers.get("content-type", ""))
    inner = (
        [_answer(_head_and_content(piece)[1]) for piece in _parts(content, boundary)]
        if boundary
        else [_answer(content)]
    )
    answers = [answer for answer in inner if answer is not None]
    if not answers:
        return NoAnswer("the answer to the batch cannot be read at this record's part")
    refused = next((answer for answer in answers if answer.status >= 300), None)
    if refused is not None:
        return refused  # one error part stands for the whole changeset
    if len(answers) != len(changeset):
        return NoAnswer(f"{len(answers)} of {len(changeset)} operations were answered")
    return answers[0]


def _answer(message: bytes) -> Answer | None:
    """The HTTP message inside a part: status line, headers, blank line, body."""
    status_line, _, rest = message.lstrip(b"\r\n").partition(b"\n")
    words = status_line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return None
    headers, content = _head_and_content(rest)
    return Answer(
        status=int(words[1]),
        content_type=headers.get("content-type", ""),
        body=content.strip(b"\r\n"),
        retry_after_s=seconds_to_wait(headers.get("retry-after")),
    )


def _parts(body: bytes, boundary: bytes) -> list[bytes]:
    """What stands between the delimiters. The last piece of a body that was cut off is left out: it may be half a part."""
    pieces = (b"\n" + body).split(b"\n--" + boundary)[1:-1]
    return [piece.partition(b"\n")[2] for piece in pieces]


def _head_and_content(text: bytes) -> tuple[dict[str, str], bytes]:
    if text.startswith((b"\r\n", b"\n")):
        return {}, text  # the blank line comes at once: no headers
    blank = _BLANK_LINE.search(text)
    head, content = (text[: blank.start()], text[blank.end() :]) if blank else (text, b"")
    headers = (line.partition(b":") for line in head.splitlines())
    return {
        name.strip().lower().decode("latin-1"): value.strip().decode("latin-1") for name, _, value in headers
    }, content


def _boundary(content_type: str) -> bytes:
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() != "multipart/mixed":
        return b""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "boundary":
            return value.strip().strip('"').encode("latin-1")
    return b""


def shares(calls: int, records: int) -> list[Decimal]:
    """The part of `calls` that each of `records` bears, to six decimals; the parts add up to `calls` exactly."""
    if not records:
        return []
    share = (Decimal(calls) / records).quantize(Decimal("0.000001"))
    return [*([share] * (records - 1)), calls - share * (records - 1)]
