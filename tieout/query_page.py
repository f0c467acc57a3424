"""One page of a Salesforce query without its wrapping: the bytes of its records, and where the next page is.

Found by byte search and not parsed: turning the records into Python objects would cost several times the transfer.
"""

import re
from dataclasses import dataclass

import orjson

from tieout.errors import SourceUnavailable

_RECORDS = re.compile(rb'"records"\s*:\s*\[')


@dataclass(frozen=True, slots=True)
class QueryPage:
    """`records` is one JSON array. `total` counts the records of all pages; `next_path` is None on the last one."""

    records: memoryview
    total: int
    next_path: str | None


def cut(body: bytes) -> QueryPage:
    """The page in `body`, printed prettily or not. Raises SourceUnavailable for anything that is not a whole page."""
    opening = _RECORDS.search(body)
    end = body.rfind(b"]")
    if opening is None or end < opening.end() - 1:
        raise SourceUnavailable("Salesforce sent something that is no page of a query. Run it again.")
    try:
        wrapping = orjson.loads(body[: opening.start()] + b'"records":null' + body[end + 1 :])
    except orjson.JSONDecodeError as problem:
        raise SourceUnavailable("Salesforce sent a page that ends in the middle. Run it again.") from problem
    next_path = wrapping.get("nextRecordsUrl")
    if next_path is None and wrapping.get("done") is not True:
        raise SourceUnavailable(
            "Salesforce sent a page that is not the last one and does not name the next. Run it again."
        )
    return QueryPage(memoryview(body)[opening.end() - 1 : end + 1], int(wrapping.get("totalSize", 0)), next_path)
