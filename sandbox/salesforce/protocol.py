"""One REST call and its answer, apart from the socket: what handlers take and give."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from sandbox.salesforce.errors import SalesforceError, bad_request

JSON = "application/json;charset=UTF-8"
CSV = "text/csv; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Call:
    """A call below `/services/data/vNN.N/`: `path` has no slash at either end, header names are lower case."""

    method: str
    path: str
    version: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    request_id: str
    base_url: str = ""

    def json(self) -> Any:
        """The body; SalesforceError JSON_PARSER_ERROR when there is none or it is no JSON."""
        if not self.body.strip():
            raise bad_request(
                "JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body."
            )
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as problem:
            raise bad_request("JSON_PARSER_ERROR", _parser_message(self.body, problem)) from None

    def json_object(self) -> dict[str, Any]:
        """The body as an object."""
        content = self.json()
        if not isinstance(content, dict):
            raise bad_request("JSON_PARSER_ERROR", "Can not deserialize: expected an object at [line:1, column:1]")
        return content

    def url(self, path: str) -> str:
        """A resource of the version that was called."""
        return f"/services/data/v{self.version}/{path}"


@dataclass(slots=True)
class Answer:
    """What goes back; `body` is ready bytes."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[..., Answer]


@dataclass(frozen=True, slots=True)
class Resource:
    """A path pattern below the version root and its handlers by verb; groups of the pattern become arguments."""

    pattern: re.Pattern[str]
    handlers: Mapping[str, Handler]


def resource(pattern: str, **handlers: Handler) -> Resource:
    """A Resource; `pattern` matches the whole path, whose fixed words are case-insensitive as on a real org."""
    return Resource(re.compile(pattern, re.IGNORECASE), handlers)


def json_answer(content: object, status: int = 200, /, **headers: str) -> Answer:
    return Answer(status, orjson.dumps(content), headers=dict(headers))


def no_content() -> Answer:
    return Answer(204)


def error_answer(error: SalesforceError) -> Answer:
    headers = {"WWW-Authenticate": "Token"} if error.status == 401 else {}
    return json_answer(error.body(), error.status, **headers)


def _parser_message(body: bytes, problem: orjson.JSONDecodeError) -> str:
    text = body.decode("utf-8", errors="replace")
    char = text[problem.pos] if problem.pos < len(text) else ""
    if not char:
        return f"Unexpected end-of-input at [line:{problem.lineno}, column:{problem.colno}]"
    return f"Unexpected character ('{char}' (code {ord(char)})) at [line:{problem.lineno}, column:{problem.colno}]"
