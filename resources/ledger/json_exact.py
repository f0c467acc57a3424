"""JSON for the ledger's payloads: a Decimal goes in and comes out with every digit."""

import json
from collections.abc import Mapping
from decimal import Decimal

from tieout.odata import json_body


def to_json(value: Mapping[str, object]) -> str:
    """JSON text of an object; Decimal exact."""
    return json_body(value).decode()


def from_json(text: str | bytes) -> object:
    """The object; numbers with a point become Decimal."""
    return json.loads(text, parse_float=Decimal)
