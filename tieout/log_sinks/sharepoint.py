"""Rows of the log as a SharePoint list takes them through Graph: items in a `$batch` of 20 (facts 8.2), and whether a list is made for it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import orjson

from tieout.answer import Answer, NoAnswer
from tieout.log_sinks.row import COLUMNS, DIRECTIONS, KEY, LogRow, Value
from tieout.odata import text_literal
from tieout.retry_after import seconds_to_wait

PARTS_AT_ONCE = 20
"""Requests in one batch: Graph refuses a 21st."""

# A kind of ours → the facet of a column that holds it.
_FACETS = {
    "line": "text",
    "text": "text",
    "direction": "choice",
    "instant": "dateTime",
    "whole": "number",
    "decimal": "number",
}


def list_path(site_id: str, list_id: str) -> str:
    """The list below `/v1.0`; a site's id holds commas, which stay."""
    return f"/sites/{quote(site_id, safe=',')}/lists/{quote(list_id, safe='')}"


def creating_body(path: str, rows: Sequence[LogRow]) -> bytes:
    """A batch that creates an item for each row; the id of a part is its place."""
    parts = [
        {
            "id": str(place),
            "method": "POST",
            "url": f"{path}/items",
            "headers": {"Content-Type": "application/json"},
            "body": {"fields": fields_of(row)},
        }
        for place, row in enumerate(rows)
    ]
    return orjson.dumps({"requests": parts}, default=_number)


def looking_body(path: str, keys: Sequence[str]) -> bytes:
    """A batch that asks for the item of each key; the id of a part is its place."""
    parts = [
        {
            "id": str(place),
            "method": "GET",
            "url": f"{path}/items?$select=id&$expand=fields($select={KEY.sharepoint})"
            f"&$filter={quote(f'fields/{KEY.sharepoint} eq {text_literal(key)}')}",
        }
        for place, key in enumerate(keys)
    ]
    return orjson.dumps({"requests": parts})


def fields_of(row: LogRow) -> dict[str, object]:
    """The fields of the item; an empty one is left out."""
    values = {column.sharepoint: _value(column.value_of(row)) for column in COLUMNS}
    values["Direction"] = DIRECTIONS[row.direction]
    return {name: value for name, value in values.items() if value is not None}


def parts_of(body: bytes, count: int) -> list[Answer | NoAnswer]:
    """The answers of a batch in the order of its parts; Graph gives them in any order. A part without a readable answer is `NoAnswer`."""
    missing: list[Answer | NoAnswer] = [NoAnswer("the batch has no answer for a row")] * count
    try:
        told = orjson.loads(body)
        responses = told["responses"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return missing
    for part in responses if isinstance(responses, list) else ():
        place = str(part.get("id", "")) if isinstance(part, dict) else ""
        if place.isdigit() and int(place) < count and isinstance(part.get("status"), int):
            missing[int(place)] = _answer(part)
    return missing


def is_there(answer: Answer | NoAnswer, key: str) -> bool | None:
    """Whether a look found the item of this key; None where the look itself came to nothing."""
    if not isinstance(answer, Answer) or answer.status != 200:
        return None
    found = orjson.loads(answer.body).get("value", [])
    return any(each.get("fields", {}).get(KEY.sharepoint) == key for each in found)


def list_problems(columns: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is not right with the list, by its columns: missing ones, wrong kinds, a key that is not unique. Empty where a log fits."""
    there = {str(each.get("name")): each for each in columns}
    problems = []
    for column in COLUMNS:
        found = there.get(column.sharepoint)
        facet = _FACETS[column.kind]
        if found is None:
            problems.append(f"{column.sharepoint} is missing ({facet}).")
        elif facet not in found:
            problems.append(f"{column.sharepoint} is no column of the kind {facet}.")
        elif column.kind == "text" and not found[facet].get("allowMultipleLines"):
            problems.append(f"{column.sharepoint} has to be multiple lines of text, plain.")
        elif column.kind == "text" and found[facet].get("textType", "plain") != "plain":
            problems.append(
                f"{column.sharepoint} is rich text, where markup of a message would come alive. Make it plain."
            )
    key = there.get(KEY.sharepoint, {})
    if key and not (key.get("enforceUniqueValues") and key.get("indexed")):
        problems.append(f"{KEY.sharepoint} has to be indexed and to enforce unique values.")
    return problems


def _answer(part: Mapping[str, Any]) -> Answer:
    headers = part.get("headers") or {}
    named = {str(name).lower(): str(value) for name, value in headers.items()}
    body = part.get("body")
    return Answer(
        part["status"],
        named.get("content-type", ""),
        b"" if body is None else orjson.dumps(body),
        seconds_to_wait(named.get("retry-after")),
    )


def _value(value: Value) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


def _number(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{value!r} has no exact form in JSON")
