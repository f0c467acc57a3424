"""JSON for the ledger: a Decimal goes in and comes out with every digit."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

import orjson

from tieout.odata import json_body


def to_json(value: Mapping[str, object] | Sequence[bool]) -> str:
    """JSON text of an object, Decimal exact; or of a list of truths, such as the recent outcomes of a breaker."""
    return json_body(value).decode() if isinstance(value, Mapping) else orjson.dumps(value).decode()


def from_json(text: str | bytes) -> object:
    """The object; numbers with a point become Decimal."""
    return json.loads(text, parse_float=Decimal)
