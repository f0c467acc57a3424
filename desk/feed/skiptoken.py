"""Where a page ended: the values of its last row by which rows are ordered, as a text for the address of the next page.

It is not secret and not signed: whoever changes it asks for another place, which they could do with a filter as well.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from desk.feed.filters import day_of, instant_of, number_of
from desk.feed.model import Edm
from desk.feed.options import Order
from desk.feed.problems import FeedProblem, wrong

_LONGEST = 30_000
_MOST_VERSIONS = 2**40
_JSON_TYPES: Mapping[Edm, type] = {Edm.INT32: int, Edm.INT64: int, Edm.BOOLEAN: bool}
_READERS: Mapping[Edm, Callable[[str], Any]] = {Edm.DECIMAL: number_of, Edm.INSTANT: instant_of, Edm.DATE: day_of}


@dataclass(frozen=True, slots=True)
class Place:
    """`values` are in the order of the steps, None for a missing value; `version` is that of the lake's table, None for the ledger."""

    values: Sequence[Any]
    version: int | None = None


def token_of(place: Place) -> str:
    """The text of a place; `place_of` reads it again."""
    plain = [place.version, [_written(value) for value in place.values]]
    packed = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def place_of(text: str, order: Sequence[Order]) -> Place:
    """The place that a text stands for. FeedProblem 400 where it was not made for this order."""
    try:
        if len(text) > _LONGEST:
            raise ValueError(len(text))
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, values = json.loads(packed)
        if version is not None and not (type(version) is int and 0 <= version < _MOST_VERSIONS):
            raise ValueError(version)
        return Place(
            [_read(value, step) for value, step in zip(values, order, strict=True)],
            version,
        )
    except (ValueError, TypeError, RecursionError, binascii.Error, FeedProblem) as problem:
        raise wrong(
            "$skiptoken is not one of ours for this order. Begin with the first page.", "$skiptoken"
        ) from problem


def _written(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else value


def _read(value: Any, step: Order) -> Any:
    if value is None and step.property.nullable:
        return None
    edm = step.property.edm
    if not isinstance(value, _JSON_TYPES.get(edm, str)):
        raise ValueError(edm)
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError(edm)
        return _READERS.get(edm, str)(value)
    # JSON's true is a number in Python, and a number beyond 64 bits is none in Postgres.
    if (edm is Edm.BOOLEAN) != isinstance(value, bool) or (isinstance(value, int) and abs(value) >= 2**63):
        raise ValueError(edm)
    return value
