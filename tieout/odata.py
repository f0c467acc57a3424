"""How OData is written and read by hand: literals, keys, filters, query strings, JSON bodies and the envelope of a page.

One escape function for each boundary: `text_literal` for a string in an expression, `key_path` for a key in a path,
`query_string` for an option in a query, `json_body` for a value in JSON. `$batch` is in `batch.py`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from urllib.parse import quote, urlsplit

import orjson

from tieout.errors import RecordError

EMPTY_DATE = "1900-01-01"
"""How D365 writes a date that is not there."""

LONGEST_KEY_LIST = 20
"""Keys in one `or` list. Longer lists were seen to slow down or fail on real environments (20 to 30 are fine)."""

_NAMESPACE = "Microsoft.Dynamics.DataEntities"
_VALUE = re.compile(rb'"value"\s*:\s*\[')
_NEXT_LINK = b'"@odata.nextLink"'
# Inside a JSON string the closing quote would be escaped, so these bytes can only be a property of a row.
_ROW_MARK = b'"@odata.etag":'


def text_literal(text: str) -> str:
    """`O'Neil` as the expression `'O''Neil'`."""
    return "'" + text.replace("'", "''") + "'"


def enum_literal(enum: str, member: str) -> str:
    """A qualified enum member; D365 refuses the bare string."""
    return f"{_NAMESPACE}.{enum}{text_literal(member)}"


def instant_literal(at: datetime) -> str:
    """An instant in UTC, unquoted as OData has it; `at` must know its zone."""
    if at.tzinfo is None:
        raise ValueError("An instant without a time zone cannot be compared with D365's. Give it one.")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def date_text(day: date) -> str:
    """A D365 date: noon UTC, so that no time zone moves the day."""
    return f"{day:%Y-%m-%d}T12:00:00Z"


def equals(name: str, value: str) -> str:
    """`name eq 'value'`. A `*` would make D365 match by pattern, so such a value is refused."""
    if "*" in value:
        raise RecordError(f"{name} {value!r} holds a '*', which D365 reads as a wildcard. Remove it from the key.")
    return f"{name} eq {text_literal(value)}"


def any_of(name: str, values: Iterable[str]) -> str:
    """`(name eq 'a' or name eq 'b')`; D365 has no `in`."""
    return "(" + " or ".join(equals(name, value) for value in values) + ")"


def behind(key: Sequence[str], last: Sequence[str]) -> str:
    """The filter for rows whose `key` comes after `last`, in the order of D365's own collation.

    `(a gt 'x' or (a eq 'x' and b gt 'y'))`: rows that come and go elsewhere shift nothing, as they do with `$skip`.
    """
    name, value = key[0], text_literal(last[0])
    if len(key) == 1:
        return f"{name} gt {value}"
    return f"({name} gt {value} or ({name} eq {value} and {behind(key[1:], last[1:])}))"


def in_key_lists(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    """`keys` in lists that one filter can hold."""
    return (keys[start : start + LONGEST_KEY_LIST] for start in range(0, len(keys), LONGEST_KEY_LIST))


def key_path(entity_set: str, key: Mapping[str, str | int]) -> str:
    """`CustomersV3(dataAreaId='usmf',CustomerAccount='US-001')`, encoded for a path. Every part of a key is named; spaces count."""
    parts = (
        f"{name}={value}"
        if isinstance(value, int)
        else f"{name}='{quote(value.replace(chr(39), chr(39) * 2), safe='')}'"
        for name, value in key.items()
    )
    return f"{entity_set}({','.join(parts)})"


def query_string(options: Mapping[str, str]) -> str:
    """`$select=a,b&cross-company=true`, values percent-encoded."""
    return "&".join(f"{name}={quote(value, safe='(),:/$*')}" for name, value in options.items())


def json_body(payload: Mapping[str, object]) -> bytes:
    """A body in which a Decimal keeps every digit; a float is refused, because money never is one."""
    return orjson.dumps(_without_floats(payload), default=_exact_number)


def _exact_number(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{value!r} has no exact form in JSON")


def _without_floats(payload: Mapping[str, object]) -> Mapping[str, object]:
    wrong = [name for name, value in payload.items() if isinstance(value, float)]
    if wrong:
        raise TypeError(f"{', '.join(wrong)}: a float cannot hold money. Use Decimal.")
    return payload


@dataclass(frozen=True, slots=True)
class Envelope:
    """A page without its wrapping: the bytes of its rows as one JSON array, how many they are, and where the next page is."""

    array: memoryview
    rows: int
    next_link: str | None

    def last_row(self) -> Mapping[str, object]:
        """The last row as an object; a page without rows has none (IndexError). The other rows are not parsed."""
        rows = bytes(self.array)
        # The row version is the first property of a row.
        start = rows.rfind(b"{", 0, max(rows.rfind(_ROW_MARK), 0))
        parsed = json.loads(rows[start:-1] if start >= 0 else rows, parse_float=Decimal)
        row: Mapping[str, object] = parsed if isinstance(parsed, dict) else parsed[-1]
        return row


def cut_envelope(body: bytes) -> Envelope:
    """The rows of a page, found by byte search and not parsed (parsing is the wall: 5 times the cost of the transfer).

    Raises RecordError for anything that is not a whole page.
    """
    opening = _VALUE.search(body)
    link_at = body.rfind(_NEXT_LINK)
    end = body.rfind(b"]", 0, link_at if opening and link_at > opening.end() else len(body))
    if opening is None or end < opening.end() - 1:
        raise RecordError("a page without rows and without an end")
    outside = body[: opening.start()] + b'"value":null' + body[end + 1 :]
    try:
        wrapping = orjson.loads(outside)
    except orjson.JSONDecodeError as error:
        raise RecordError("a page that was cut off before its end") from error
    array = memoryview(body)[opening.end() - 1 : end + 1]
    return Envelope(array, _count_rows(body, array), wrapping.get("@odata.nextLink"))


def _count_rows(body: bytes, array: memoryview) -> int:
    marks = body.count(_ROW_MARK)
    if marks or not bytes(array[1:-1]).strip():
        return marks
    return len(orjson.loads(array))  # a server that was told to leave the row versions out


def path_of_next_page(link: str) -> str:
    """Path and query of a next-link, without scheme and host.

    Host and scheme may differ from the ones that were called (behind a gateway `http://` was seen), and a token must never go to a
    host that an answer names.
    """
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
