"""Rows as OData JSON: decimals digit by digit, instants in UTC, and the headers that every answer of the feed has."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
from starlette.responses import Response

from desk.feed.formats import JsonFormat
from desk.feed.model import NAMESPACE, Edm, EntitySet, Property
from desk.feed.problems import FeedProblem

VERSION = {"OData-Version": "4.0"}
_CODES = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    410: "Gone",
    501: "NotImplemented",
    503: "ServiceUnavailable",
}
# JSON tells texts, truths and doubles apart by itself; these types have to be named (JSON Format 4.0, 4.5.3).
_NAMED_TYPES = frozenset({Edm.DECIMAL, Edm.INT32, Edm.INT64, Edm.INSTANT, Edm.DATE})


def json_answer(body: Mapping[str, Any], form: JsonFormat, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of 200."""
    return Response(orjson.dumps(body), headers={**VERSION, "content-type": form.media_type, **(headers or {})})


def problem_answer(problem: FeedProblem, headers: Mapping[str, str] | None = None) -> Response:
    """An error in the form of JSON Format 4.0, 19."""
    error = {"code": _CODES.get(problem.status, "Error"), "message": problem.message}
    if problem.target:
        error["target"] = problem.target
    return Response(
        orjson.dumps({"error": error}),
        problem.status,
        headers={**VERSION, "content-type": "application/json;charset=utf-8", **(headers or {})},
    )


def row_as_json(
    entity_set: EntitySet, shown: Sequence[Property], row: Mapping[str, Any], form: JsonFormat, root: str
) -> dict[str, Any]:
    """One row; `root` is the address of the feed, for the row's own address where full metadata is wanted."""
    made: dict[str, Any] = {}
    if form.metadata == "full":
        made["@odata.type"] = f"#{NAMESPACE}.{entity_set.entity_type}"
        if entity_set.key in row:
            made["@odata.id"] = f"{root}{address_of(entity_set, row[entity_set.key])}"
    for each in shown:
        value = row[each.name]
        if form.metadata == "full" and each.edm in _NAMED_TYPES and value is not None:
            made[f"{each.name}@odata.type"] = f"#{each.edm.removeprefix('Edm.')}"
        made[each.name] = _value(each, value, form)
    return made


def address_of(entity_set: EntitySet, key: Any) -> str:
    """The address of a row below the root of the feed."""
    from urllib.parse import quote

    if entity_set.key_property.edm is Edm.TEXT:
        doubled = str(key).replace("'", "''")
        return f"{entity_set.name}('{quote(doubled, safe='')}')"
    return f"{entity_set.name}({key})"


def _value(each: Property, value: Any, form: JsonFormat) -> Any:
    if isinstance(value, Decimal):
        # A float would change the amount, and orjson has no decimals: the digits go into the document as they are.
        digits = f"{value:f}"
        return digits if form.exact_as_text else orjson.Fragment(digits)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if each.edm is Edm.INT64 and form.exact_as_text and value is not None:
        return str(value)
    return value
