"""What D365 answered to one request, or that it did not: status, body, and the words of an error.

A value only: what an answer means for a delivery is decided in `outcome.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

_GENERIC = {"", "an error has occurred.", "an error has occurred"}
_LONGEST_PLAIN_TEXT = 300
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, whole or as a part of a batch. `retry_after_s` is what the server asked us to wait, in seconds."""

    status: int
    content_type: str = ""
    body: bytes = b""
    retry_after_s: float | None = None

    @property
    def has_error_envelope(self) -> bool:
        """Whether the OData processor itself wrote this error, rather than a gateway in front of it."""
        return "error" in self._document()

    @property
    def message(self) -> str:
        """The target's own words about what went wrong; empty for a success without a body."""
        document = self._document()
        if "error" in document:
            return error_words(document["error"])
        if "Message" in document:
            return str(document["Message"])
        if "html" in self.content_type or self.body.lstrip()[:1] == b"<":
            title = _TITLE.search(self.body)
            name = title.group(1).decode("utf-8", "replace").strip() if title else "no title"
            return f"a web page instead of data (HTTP {self.status}, {name!r})"
        return (
            self.body[:_LONGEST_PLAIN_TEXT].decode("utf-8", "replace").strip() or f"HTTP {self.status} without a text"
        )

    def _document(self) -> Mapping[str, object]:
        if self.body.lstrip()[:1] != b"{":
            return {}
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return document if isinstance(document, dict) else {}


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A request that ended without a usable answer. `may_have_run` is False only where it surely never left this machine."""

    reason: str
    may_have_run: bool = True


def error_words(error: object) -> str:
    """The first message that says something, from the outside of an OData error to its inside.

    `error.message` is always "An error has occurred."; the truth is in `innererror.message`, and at times only in
    `innererror.internalexception.message` below it. Stack traces are left out.
    """
    words = ""
    while isinstance(error, Mapping):
        message = error.get("message")
        words = str(message.get("value", "")) if isinstance(message, Mapping) else str(message or "") or words
        if words.strip().casefold() not in _GENERIC:
            return words.strip()
        error = error.get("innererror") or error.get("internalexception")
    return words.strip() or "An error has occurred."
