"""`$batch`: multipart bodies, operations in their order, changesets that happen whole or not at all."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import urlsplit

from sandbox.common.fault_rules import Rule
from sandbox.d365.addressing import ROOT
from sandbox.d365.errors import Answer, bad_request
from sandbox.d365.faults import REFUSE_OPERATION, THROTTLE_PART, refused_operation, throttled_part
from sandbox.d365.service import Operation, Service

MAX_OPERATIONS = 5000
_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Part:
    """One inner request with its Content-ID (None outside a changeset, when not given)."""

    operation: Operation
    content_id: str | None


class _ChangesetFailedError(Exception):
    """Ends a changeset; carries the answer that stands for all of it."""

    def __init__(self, answer: Answer, content_id: str | None) -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.content_id = content_id


def answer_batch(service: Service, outer: Operation) -> Answer:
    """The outer answer is 200 whatever happens inside. Raises RequestRefusedError when the batch cannot be read."""
    parts = _parsed(outer)
    count = sum(len(part) if isinstance(part, list) else 1 for part in parts)
    if count > MAX_OPERATIONS:
        raise bad_request(
            f"The current batch message contains too many operations. A maximum number of '{MAX_OPERATIONS}' "
            "operations are allowed in a batch message."
        )
    boundary = f"batchresponse_{uuid.uuid4()}"
    pieces = []
    for part in parts:
        if isinstance(part, list):
            pieces.append(_changeset_answer(service, outer, part))
        else:
            pieces.append(_answer_part(service.answer(service.meeting_conflicts(part.operation)), part.content_id))
    return Answer(200, _multipart(boundary, pieces), {"Content-Type": f"multipart/mixed; boundary={boundary}"})


def _changeset_answer(service: Service, outer: Operation, parts: Sequence[_Part]) -> bytes:
    boundary = f"changesetresponse_{uuid.uuid4()}"
    # Faults are asked for before the transaction begins, so that the journal keeps those of a changeset that fails.
    fault = _fault(service, outer, parts)
    if fault is not None and fault.kind == THROTTLE_PART:
        pieces = [_answer_part(throttled_part(fault), parts[0].content_id if parts else None)]
    else:
        failing = None if fault is None else fault["nth"]
        parts = [replace(part, operation=service.meeting_conflicts(part.operation)) for part in parts]
        try:
            with service.book.store.transaction():
                pieces = []
                for number, part in enumerate(parts, start=1):
                    if fault is not None and number == failing:
                        raise _ChangesetFailedError(refused_operation(fault), part.content_id)
                    pieces.append(_answer_part(_succeeded(service, part), part.content_id))
        except _ChangesetFailedError as failed:
            # One part stands for the whole set, which left nothing behind.
            pieces = [_answer_part(failed.answer, failed.content_id)]
    head = f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n".encode()
    return head + _multipart(boundary, pieces)


def _fault(service: Service, outer: Operation, parts: Sequence[_Part]) -> Rule | None:
    """The fault that strikes this changeset, if any."""

    def suits(rule: Rule) -> bool:
        if rule.kind == REFUSE_OPERATION and rule["nth"] > len(parts):
            return False
        text = rule.holds
        return not text or any(text in part.operation.uri or text.encode() in part.operation.body for part in parts)

    return service.faults.strike((THROTTLE_PART, REFUSE_OPERATION), outer.asked(), suits)


def _succeeded(service: Service, part: _Part) -> Answer:
    if part.operation.method == "GET":
        refused = bad_request("A change set cannot contain query operations.").answer
        raise _ChangesetFailedError(refused, part.content_id)
    answer = service.answer(part.operation)
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise _ChangesetFailedError(answer, part.content_id)
    return answer


# --- reading -----------------------------------------------------------------------------------------------------


def _parsed(outer: Operation) -> list[_Part | list[_Part]]:
    boundary = _boundary(outer.headers.get("content-type", ""))
    if boundary is None:
        raise bad_request("The batch request must have a content type of 'multipart/mixed' with a boundary.")
    parsed: list[_Part | list[_Part]] = []
    for headers, content in _pieces(outer.body, boundary):
        inner = _boundary(headers.get("content-type", ""))
        if inner is None:
            parsed.append(_request(headers, content, outer))
        else:
            parsed.append([_request(*piece, outer) for piece in _pieces(content, inner)])
    return parsed


def _boundary(content_type: str) -> str | None:
    found = _BOUNDARY.search(content_type)
    if found is None or not content_type.lower().startswith("multipart/mixed"):
        return None
    return found[1] or found[2]


def _pieces(body: bytes, boundary: str) -> list[tuple[dict[str, str], bytes]]:
    """Headers and content of every part; the line end before a delimiter belongs to the delimiter."""
    delimiter = rb"(?:^|\r?\n)--" + re.escape(boundary.encode())
    sections = re.split(delimiter, body)
    if len(sections) < 2 or not sections[-1].startswith(b"--"):
        raise bad_request("The batch request body has no end: its closing boundary is missing.")
    return [_split_head(section.lstrip(b" \t").removeprefix(b"\r").removeprefix(b"\n")) for section in sections[1:-1]]


def _split_head(text: bytes) -> tuple[dict[str, str], bytes]:
    head, _, content = text.partition(b"\r\n\r\n") if b"\r\n\r\n" in text else text.partition(b"\n\n")
    headers = {}
    for line in head.decode("utf-8", errors="replace").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers, content


def _request(headers: Mapping[str, str], content: bytes, outer: Operation) -> _Part:
    line, _, rest = content.lstrip(b"\r\n").partition(b"\n")
    words = line.decode("utf-8", errors="replace").split()
    if len(words) < 2:
        raise bad_request("A part of the batch does not begin with a request line.")
    # The request's own headers begin right after its first line; without any, the blank line comes at once.
    inner_headers, body = _split_head(rest) if rest.strip() else ({}, b"")
    if rest.startswith((b"\r\n", b"\n")):
        inner_headers, body = {}, rest.lstrip(b"\r\n")
    path, query = _target(words[1])
    operation = Operation(words[0].upper(), path, query, inner_headers, body, outer.base, outer.request_id)
    return _Part(operation, headers.get("content-id") or inner_headers.get("content-id"))


def _target(url: str) -> tuple[str, str]:
    """Path and query of an absolute URL, of a path from the host on, or of one relative to the service root."""
    split = urlsplit(url)
    path = split.path if split.path.startswith("/") else f"{ROOT}/{split.path}"
    return path, split.query


# --- writing -----------------------------------------------------------------------------------------------------


def _answer_part(answer: Answer, content_id: str | None) -> bytes:
    """One `application/http` part; Content-ID is the last of its own headers."""
    identified = f"Content-ID: {content_id}\r\n" if content_id else ""
    headers = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    phrase = HTTPStatus(answer.status).phrase
    head = (
        f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{identified}\r\n"
        f"HTTP/1.1 {answer.status} {phrase}\r\n{headers}OData-Version: 4.0\r\n\r\n"
    )
    return head.encode() + answer.body


def _multipart(boundary: str, pieces: Sequence[bytes]) -> bytes:
    delimiter = f"--{boundary}\r\n".encode()
    return b"".join(delimiter + piece + b"\r\n" for piece in pieces) + f"--{boundary}--\r\n".encode()
